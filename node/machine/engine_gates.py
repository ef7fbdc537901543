"""Gates that engines close: no job is claimed while none could run it. They listen to events, and ask nobody.

All are `node.ports.gates.ClaimGate`, and subscribers of an event bus.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from node.domain.circuit import Circuit
from node.domain.events import BreakerChanged, EngineCalled, EngineChanged, JobClaimed, JobEnded, ResultLost
from node.domain.ids import JobKey
from node.domain.model_names import full_name
from node.domain.states import Hold
from node.ports.clock import Clock

_CLOSED: Final = Circuit.CLOSED.value
_HALF_OPEN: Final = Circuit.HALF_OPEN.value
_FULL_S: Final = 5.0


class EngineGate:
    """Closed while every one of these engines is missing, or full, or fails with every model that it offers.

    Until it is heard of, an engine counts as there. One that turned a call away for being full is given 5 s, or until
    it answers another: jobs that it has no room for are better left to other nodes. Half open, a breaker lets one job
    through, which must come from somewhere: the gate opens for one claim, and again when that job has ended or a
    breaker has moved. ``models_of`` tells which models an engine offers; while it tells none, those are meant whose
    breakers were heard of.
    """

    hold = Hold.ENGINE

    def __init__(
        self, engines: Sequence[str], clock: Clock, models_of: Callable[[str], Collection[str]] = lambda _: ()
    ) -> None:
        self._clock = clock
        self._full_until = dict.fromkeys(engines, float("-inf"))
        self._missing: dict[str, str] = dict.fromkeys(engines, "")
        self._circuits: dict[str, dict[str, str]] = {engine: {} for engine in engines}
        self._models_of = models_of
        self._probe: JobKey | None = None

    @property
    def closed_because(self) -> str:
        """See `node.ports.gates.ClaimGate.closed_because`."""
        return self._of_all(
            lambda engine: self._missing[engine] or self._full_because(engine) or self._broken_because(engine)
        )

    @property
    def down_because(self) -> str:
        """Why every one of the engines is missing or fails; empty while one is well, be it full or not."""
        return self._of_all(self._down_because)

    @property
    def missing(self) -> Mapping[str, str]:
        """Every engine, with why it is missing; an empty text for one that counts as there."""
        return dict(self._missing)

    def handlers(self) -> Mapping[type[Any], Callable[[Any], object]]:
        """What to call for which kind of event, as an event bus asks for it."""
        return {
            EngineChanged: self._on_engine,
            EngineCalled: self._on_call,
            BreakerChanged: self._on_breaker,
            JobClaimed: self._on_claimed,
            JobEnded: self._on_over,
            ResultLost: self._on_over,
        }

    def _of_all(self, because: Callable[[str], str]) -> str:
        reasons = [because(engine) for engine in self._missing]
        return "; ".join(reasons) if all(reasons) else ""

    def _down_because(self, engine: str) -> str:
        return self._missing[engine] or self._broken_because(engine)

    def _full_because(self, engine: str) -> str:
        return f"{engine} is full" if self._clock.monotonic() < self._full_until[engine] else ""

    def _broken_because(self, engine: str) -> str:
        circuits = self._circuits[engine]
        models = [full_name(model) for model in self._models_of(engine)] or list(circuits)
        states = {circuits.get(model, _CLOSED) for model in models}
        if not states or _CLOSED in states:
            return ""
        if _HALF_OPEN not in states:
            return f"{engine} failed too often, and is left alone for a while"
        return f"{engine} failed too often, and one job is trying it" if self._probe is not None else ""

    def _on_engine(self, event: EngineChanged) -> None:
        if event.engine in self._missing:
            because = "" if event.available else event.reason or f"{event.engine} is missing"
            self._missing[event.engine] = because

    def _on_call(self, event: EngineCalled) -> None:
        if event.engine not in self._full_until:
            return
        if event.is_overload:
            self._full_until[event.engine] = self._clock.monotonic() + _FULL_S
        elif not event.error:
            self._full_until[event.engine] = float("-inf")

    def _on_breaker(self, event: BreakerChanged) -> None:
        if (circuits := self._circuits.get(event.engine)) is None:
            return
        self._probe = None
        if event.state == _CLOSED:
            circuits.pop(full_name(event.model), None)
        else:
            circuits[full_name(event.model)] = event.state

    def _on_claimed(self, event: JobClaimed) -> None:
        if self._probe is None and any(_HALF_OPEN in circuits.values() for circuits in self._circuits.values()):
            self._probe = event.key

    def _on_over(self, event: JobEnded | ResultLost) -> None:
        if event.key == self._probe:
            self._probe = None


@dataclass(frozen=True, slots=True)
class FailureStreakPolicy:
    """Closed for ``rest_s`` after so many failed jobs in a row; with 0 ``failures`` never."""

    failures: int = 10
    rest_s: float = 60.0


class FailureStreakGate:
    """Closed after jobs in a row that engines failed at; then open for one job, which decides how it goes on.

    A failed job counts where an engine failed at a call while it ran: what rules or engines refuse for its own faults,
    or for a full engine, says nothing of the machine. Any job that is done opens the gate. Jobs that were claimed at
    the same moment as the one that is let through run as well.
    """

    hold = Hold.FAILURES

    def __init__(self, policy: FailureStreakPolicy, clock: Clock) -> None:
        self._policy = policy
        self._clock = clock
        self._streak = 0
        self._failed_at = float("-inf")
        self._rests_until: float | None = None
        self._probe: JobKey | None = None
        self._claimed_at: dict[JobKey, float] = {}

    @property
    def closed_because(self) -> str:
        """See `node.ports.gates.ClaimGate.closed_because`."""
        if self._rests_until is None:
            return ""
        if self._clock.monotonic() < self._rests_until:
            return f"{self._streak} jobs in a row failed on the engine; the next is tried in a while"
        if self._probe is not None:
            return f"{self._streak} jobs in a row failed on the engine; one is being tried"
        return ""

    def handlers(self) -> Mapping[type[Any], Callable[[Any], object]]:
        """What to call for which kind of event, as an event bus asks for it."""
        return {
            EngineCalled: self._on_call,
            JobClaimed: self._on_claimed,
            JobEnded: self._on_ended,
            ResultLost: self._on_lost,
        }

    def _on_call(self, event: EngineCalled) -> None:
        if event.error and not event.is_overload and not event.is_refusal:
            self._failed_at = self._clock.monotonic()

    def _on_claimed(self, event: JobClaimed) -> None:
        now = self._claimed_at[event.key] = self._clock.monotonic()
        if self._rests_until is not None and self._probe is None and now >= self._rests_until:
            self._probe = event.key

    def _on_ended(self, event: JobEnded) -> None:
        now = self._clock.monotonic()
        claimed_at = self._claimed_at.pop(event.key, now - event.took_s)
        if not event.error:
            self._streak, self._rests_until, self._probe = 0, None, None
            return
        was_probe = event.key == self._probe
        if was_probe:
            self._probe = None
        if self._policy.failures and self._failed_at >= claimed_at:
            self._streak += 1
            if was_probe or (self._rests_until is None and self._streak >= self._policy.failures):
                self._rests_until = now + self._policy.rest_s

    def _on_lost(self, event: ResultLost) -> None:
        self._claimed_at.pop(event.key, None)
        if event.key == self._probe:
            self._probe = None
