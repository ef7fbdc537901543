"""An engine that makes text, hangs, fails, and now and then ignores that nobody waits any more."""

from __future__ import annotations

import asyncio
import contextlib
import random
from typing import Final

from node.domain.errors import EngineFailed, EngineOverloaded
from node.domain.jobs import ChatPayload
from node.domain.results import Generation
from node.executors.synthetic import SyntheticExecutor
from node.ports.executor import Partials
from tests.simulation.faults import Plight, Tally
from tests.simulation.plan import CALM_FROM_S, Plan
from tests.simulation.timeline import ProcessClock

_STUBBORN_S: Final = 3.0
_FOREVER_S: Final = 10 * 3600.0


class Engine:
    """The `node.ports.executor.Executor` of a fleet process. ``defects`` counts those that were committed."""

    def __init__(self, plan: Plan, clock: ProcessClock, tally: Tally, chance: random.Random) -> None:
        self.defects = 0
        self._odds = plan.engine
        self._clock = clock
        self._tally = tally
        self._chance = chance
        self._synthetic = SyntheticExecutor(plan.speed, chance)

    @property
    def name(self) -> str:
        """See `node.ports.executor.Executor.name`."""
        return "simulated"

    async def execute(self, payload: ChatPayload, partials: Partials | None = None) -> Generation:
        """See `node.ports.executor.Executor.execute`."""
        if self._clock.monotonic() < CALM_FROM_S:
            await self._misbehave()
        return await self._synthetic.execute(payload, partials)

    async def aclose(self) -> None:
        """See `node.ports.executor.Executor.aclose`."""
        await self._synthetic.aclose()

    async def _misbehave(self) -> None:
        drawn, odds = self._chance.random(), self._odds
        if drawn < odds.hangs:
            self._tally.note(Plight.ENGINE_HANGS)
            await self._hang()
        elif drawn < odds.hangs + odds.fails:
            self._tally.note(Plight.ENGINE_FAILS)
            raise EngineFailed("the engine broke off")
        elif drawn < odds.hangs + odds.fails + odds.overloaded:
            raise EngineOverloaded("the engine is full")
        elif drawn < odds.hangs + odds.fails + odds.overloaded + odds.defect:
            self._tally.note(Plight.ENGINE_DEFECT)
            self.defects += 1
            raise ZeroDivisionError

    async def _hang(self) -> None:
        try:
            await asyncio.sleep(_FOREVER_S)
        except asyncio.CancelledError:
            if self._chance.random() < self._odds.stubborn:
                with contextlib.suppress(asyncio.CancelledError):
                    await asyncio.sleep(_STUBBORN_S)
            raise
