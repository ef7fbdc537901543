"""How many jobs run at the same time: the operator's number, or the engines'."""

from __future__ import annotations

import asyncio
import random
import ssl
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

from node.app.engine_slots import EngineSlots, set_slots, told_slots
from node.app.engines import EngineBuilder, plan_engines
from node.domain.results import Generation
from node.runtime.system import SystemClock
from node.settings.load import load
from tests.support.events import RecordingSink
from tests.support.virtual_time import in_virtual_time
from tests.unit.executors import ollama_server as ollama
from tests.unit.executors import openai_server as openai
from tests.unit.executors.doubles import chat
from tests.unit.executors.ollama_server import JSON, OllamaServer, ndjson, saying
from tests.unit.executors.openai_server import OpenAiServer
from tests.unit.machine.doubles import MemoryLibrary


@dataclass
class Telling(MemoryLibrary):
    """Says ``says``, after ``after_s``."""

    says: int | None = None
    after_s: float = 0.0

    async def parallel(self) -> int | None:
        await asyncio.sleep(self.after_s)
        return self.says


@in_virtual_time
async def test_a_node_runs_what_its_engines_run_together() -> None:
    libraries = [Telling("a", says=3), Telling("b"), Telling("c", says=8, after_s=2.9), Telling("d", says=9, after_s=3)]
    before = asyncio.get_running_loop().time()
    slots = await told_slots(libraries, 3)
    assert slots == EngineSlots({"a": 3, "b": 5, "c": 8, "d": 5}, 21, frozenset({"a", "c"}))
    assert asyncio.get_running_loop().time() - before == 3
    assert slots.sentence() == (
        "21 jobs at a time: a runs 3, b does not say, so 5, c runs 8, d does not say, so 5. WORKER_CONCURRENCY sets it."
    )


@in_virtual_time
async def test_what_engines_say_has_a_bound() -> None:
    slots = await told_slots([Telling("a", says=1_000_000), Telling("b", says=200)], 3)
    assert (slots.of_engines, slots.node) == ({"a": 256, "b": 200}, 256)


def test_the_operator_s_number_is_everybody_s() -> None:
    slots = set_slots(["a", "b"], 7)
    assert (slots.of_engines, slots.node) == ({"a": 7, "b": 7}, 7)
    assert slots.sentence() == "7 jobs at a time, as worker.slots says."
    assert set_slots(["a", "b"], 0).node == 10


class Bench:
    """An Ollama, which does not say, and a llama.cpp with one slot; ``builder`` is for them both."""

    def __init__(self, stack: AsyncExitStack, folder: Path) -> None:
        self.stack = stack
        self.folder = folder
        self.ollama = OllamaServer()
        self.ollama.tags = ollama.listing({"model": "m:1b", "size": 1})
        self.llama = OpenAiServer(self.slow)
        self.llama.beside["/props"] = saying(200, JSON, ndjson({"total_slots": 1}))

    @staticmethod
    async def slow(exchange: ollama.Exchange) -> None:
        await asyncio.sleep(0.2)
        await openai.answering("Done.")(exchange)

    async def start(self) -> None:
        for server in (self.ollama, self.llama):
            await server.start()
            self.stack.push_async_callback(server.stop)

    def builder(self, slots: int = 0) -> EngineBuilder:
        listed = f"up=ollama:{self.ollama.url},down=openai:{self.llama.url}/v1"
        # What waits at the engine's door would be silent for longer than this.
        flags = {"engines.list": listed, "worker.slots": slots, "engines.first_piece_s": 0.7, "engines.retries": 0}
        loaded = load(config_file=None, profile=None, flags=flags, environ={}, cwd=self.folder)
        return EngineBuilder(
            *(plan_engines(loaded, self.folder), loaded.settings, ssl.create_default_context(), SystemClock()),
            *(random.Random(1), RecordingSink(), lambda: None),
            falls_back=False,
        )


async def test_each_engine_gets_as_many_jobs_as_it_says_and_no_more(tmp_path: Path) -> None:
    async with AsyncExitStack() as stack:
        bench = Bench(stack, tmp_path)
        await bench.start()
        builder = bench.builder()
        slots = await builder.slots()
        assert slots == EngineSlots({"up": 5, "down": 1}, 6, frozenset({"down"}))
        engines = builder.build(slots)
        stack.push_async_callback(engines.executor.aclose)
        for library in engines.libraries:
            stack.push_async_callback(library.aclose)
        for keeper in engines.keepers:
            await keeper.catalogue.refresh()
        made = await asyncio.gather(*(engines.executor.execute(chat("Hi", "tiny")) for _ in range(6)))
    assert all(isinstance(each, Generation) for each in made)
    assert bench.llama.peak == 1


async def test_nobody_is_asked_where_the_operator_has_said(tmp_path: Path) -> None:
    async with AsyncExitStack() as stack:
        bench = Bench(stack, tmp_path)
        await bench.start()
        builder = bench.builder(slots=4)
        assert (await builder.slots()).of_engines == {"up": 4, "down": 4}
        assert builder.build().slots == set_slots(["up", "down"], 4)
    assert bench.llama.paths == bench.ollama.paths == []
