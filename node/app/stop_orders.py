"""What signals and the clock ask of a run."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from node.app.display import Display
from node.app.sandbox import CONTROL_TIMEOUT_S
from node.settings.sections.fleet import StopSettings

_LAST_WORD_S: Final = 0.25
"""Time for the gateway's ledger at the end of a stop that has used up its own: a well one on this machine needs less."""


@dataclass(slots=True)
class StopOrders:
    """What signals and the clock ask for, kept until there is a fleet that can obey."""

    display: Display
    policy: StopSettings
    drain_asked: bool = False
    aborted: bool = False
    _ends_at: float = math.inf
    _drain: Callable[[], None] | None = None
    _abort: Callable[[], None] | None = None

    def obeyed_by(self, drain: Callable[[], None], abort: Callable[[], None]) -> None:
        """Pass orders on from now on, the former ones too."""
        self._drain, self._abort = drain, abort
        if self.drain_asked:
            drain()
        if self.aborted:
            abort()

    def drain(self) -> None:
        """Stop gracefully; a second time does nothing."""
        if not self.drain_asked:
            self.drain_asked = True
            self._ends_at = asyncio.get_running_loop().time() + self.policy.drain_s
            if self._drain is not None:
                self._drain()
            else:
                self.display.say("Stopping, as soon as what is being started can be stopped.")

    def abort(self) -> None:
        """Stop at once."""
        self.aborted = True
        self._ends_at = min(self._ends_at, asyncio.get_running_loop().time() + self.policy.abort_s)
        self.display.say("Stopping at once; unsent results stay in the outbox.")
        if self._abort is not None:
            self._abort()

    def patience_s(self) -> float:
        """How long the last question of the run may take: a stop's time is over when it is over, whoever is silent."""
        left_s = self._ends_at - asyncio.get_running_loop().time()
        return min(CONTROL_TIMEOUT_S, max(_LAST_WORD_S, left_s))
