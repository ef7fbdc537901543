"""How many jobs run at the same time: on each engine, and on a node of several."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from node.ports.library import ModelLibrary

DEFAULT_SLOTS: Final = 5
"""Jobs at the same time on an engine where neither the operator nor it says how many."""

MOST_SLOTS: Final = 256
"""Jobs at the same time, as far as engines have a say: the bound of the setting, too."""


@dataclass(frozen=True, slots=True)
class EngineSlots:
    """Jobs at the same time. ``of_engines`` are those of each engine by name, ``node`` of all of them together; ``told``
    names the engines that said so themselves, and with ``as_set`` the operator did.
    """

    of_engines: Mapping[str, int]
    node: int
    told: frozenset[str] = field(default_factory=frozenset)
    as_set: bool = False

    def sentence(self) -> str:
        """What a person should know of it."""
        if self.as_set:
            return f"{self.node} jobs at a time, as worker.slots says."
        parts = [
            f"{engine} runs {slots}" if engine in self.told else f"{engine} does not say, so {slots}"
            for engine, slots in self.of_engines.items()
        ]
        return f"{self.node} jobs at a time: {', '.join(parts)}. WORKER_CONCURRENCY sets it."


def set_slots(engines: Sequence[str], wanted: int) -> EngineSlots:
    """As the operator says, on every engine and in all; with 0 as where engines do not say."""
    if wanted:
        return EngineSlots(dict.fromkeys(engines, wanted), wanted, as_set=True)
    return _together({}, engines)


async def told_slots(libraries: Sequence[ModelLibrary], within_s: float) -> EngineSlots:
    """As the engines say, which are asked all at once; those that have not answered by then do not say."""
    loop, told = asyncio.get_running_loop(), dict[str, int]()

    async def ask(library: ModelLibrary) -> None:
        if (slots := await library.parallel()) is not None:
            told[library.engine] = min(slots, MOST_SLOTS)

    asking = [loop.create_task(ask(library), name=f"slots of {library.engine}") for library in libraries]
    try:
        async with asyncio.timeout(within_s):
            await asyncio.gather(*asking)
    except TimeoutError:
        pass
    return _together(told, [library.engine for library in libraries])


def _together(told: Mapping[str, int], engines: Sequence[str]) -> EngineSlots:
    each = {engine: told.get(engine, DEFAULT_SLOTS) for engine in engines}
    return EngineSlots(each, min(sum(each.values()), MOST_SLOTS), frozenset(told))
