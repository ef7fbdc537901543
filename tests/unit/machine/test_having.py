"""What an engine is asked for."""

from __future__ import annotations

import pytest

from node.domain.errors import Declined
from node.domain.events import EngineChanged
from node.domain.jobs import ChatPayload, Message, Payload
from node.domain.results import Generation
from node.machine.catalogue import CataloguePolicy, ModelCatalogue
from node.machine.having import Having
from node.ports.executor import Partials
from tests.support.virtual_time import VirtualClock, in_virtual_time
from tests.unit.machine.doubles import MemoryLibrary, Told, gone


class Willing:
    """Runs whatever it is asked for."""

    name = "willing"

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.closed = 0

    async def execute(self, payload: Payload, partials: Partials | None = None) -> Generation:
        del partials
        self.asked.append(payload.model)
        return Generation("Well.", payload.model, self.name)

    async def aclose(self) -> None:
        self.closed += 1


def job(model: str) -> ChatPayload:
    return ChatPayload(model, (Message("user", "hello"),))


def catalogue_of(library: MemoryLibrary, told: Told, *allowed: str, pulls: bool = False) -> ModelCatalogue:
    made = ModelCatalogue(library, CataloguePolicy(allowed, pulls), VirtualClock(), told)
    told.attach(made)
    return made


@in_virtual_time
async def test_what_is_not_allowed_is_declined_whatever_the_engine_has() -> None:
    engine = Willing()
    catalogue = catalogue_of(MemoryLibrary().have("tiny", "big:7b"), Told(), "tiny", "llama*")
    having = Having(engine, catalogue)
    assert having.name == "willing"
    for _ in range(2):
        with pytest.raises(Declined, match="willing does not offer big:7b"):
            await having.execute(job("big:7b"))
        await having.execute(job("tiny:latest"))
        await catalogue.refresh()
    with pytest.raises(Declined, match="has no model llama3"):
        await having.execute(job("llama3"))
    assert engine.asked == ["tiny:latest"] * 2
    await having.aclose()
    assert engine.closed == 1


@in_virtual_time
async def test_while_the_engine_does_not_tell_what_it_has_it_decides_itself() -> None:
    engine, library = Willing(), MemoryLibrary().have("tiny")
    catalogue = catalogue_of(library, Told(), "tiny", "later", pulls=True)
    having = Having(engine, catalogue)
    await having.execute(job("later"))
    await catalogue.refresh()
    await having.execute(job("later"))
    library.down = "gone"
    await catalogue.refresh()
    await having.execute(job("tiny"))
    assert engine.asked == ["later", "later", "tiny"]


@in_virtual_time
async def test_whoever_runs_jobs_knows_of_the_engine_before_it_is_told_to_be_there() -> None:
    told, known = Told(), list[str]()
    catalogue = catalogue_of(MemoryLibrary().have("tiny"), told)
    told.subscribe(EngineChanged, lambda event: known.append("told" if event.available else "missing"))
    catalogue.on_answer(lambda: known.append("answered"))
    told.emit(gone("ollama", "a job found it missing"))
    assert catalogue.is_missing
    await catalogue.refresh()
    assert known == ["missing", "answered", "told"]
    assert not catalogue.is_missing
