"""One node as it is seen and steered from outside."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from node import __version__
from node.app.engine_watch import EngineView
from node.domain import events as ev
from node.domain.ids import NodeId
from node.domain.presence import Presence
from node.domain.states import Hold, Life
from node.monitors.node_monitor import NodeMonitor
from node.observability.status_document import hold_names
from node.ports.clock import Clock
from node.ports.control import Check, EngineStatus, OutboxStatus, Status
from node.ports.outbox import Outbox

_CLOSED: Final = "closed"

_EXCUSES: Final = Hold.PAUSED | Hold.NO_SLOT | Hold.GPU_BUSY
"""Why a node that is in order does not poll: readiness tells of trouble, and these are as somebody wants it."""


@dataclass(frozen=True, slots=True)
class NodeFacts:
    """What does not change while a node runs. ``worker`` names the process."""

    node: NodeId
    worker: str
    slots: int
    ready_poll_s: float
    """Age of the last answered poll above which the node is not ready."""


class NodeStatus:
    """Implements `node.ports.control.StatusSource`, from events and from what the parts tell when asked."""

    def __init__(
        self, facts: NodeFacts, monitor: NodeMonitor, outbox: Outbox, engines: EngineView, clock: Clock
    ) -> None:
        self._facts = facts
        self._monitor = monitor
        self._outbox = outbox
        self._engines = engines
        self._clock = clock
        self._started = clock.monotonic()
        self._polled_at: float | None = None
        self._holds = Hold.NOTHING
        self._open_since = -math.inf
        self._models: tuple[str, ...] = ()
        self._breakers: dict[str, dict[str, str]] = {}

    def handlers(self) -> Mapping[type[Any], Callable[[Any], object]]:
        """See `node.observability.bus.Subscriber`."""
        return {
            ev.PollEnded: self._on_poll,
            ev.HoldsChanged: self._on_holds,
            ev.ModelsAnnounced: self._on_models,
            ev.BreakerChanged: self._on_breaker,
        }

    def status(self) -> Status:
        """See `node.ports.control.StatusSource.status`."""
        now = self._clock.monotonic()
        view = self._monitor.node(self._facts.node)
        jobs = {} if view is None else _job_counts(view.jobs)
        return Status(
            node=self._facts.node,
            worker=self._facts.worker,
            version=__version__,
            life=Life.NEW if view is None else view.life,
            presence=Presence.INITIALIZING if view is None else view.presence,
            holds=Hold.NOTHING if view is None else view.holds,
            slots_used=0 if view is None else view.jobs_running,
            slots_total=self._facts.slots,
            last_poll_age_s=None if self._polled_at is None else now - self._polled_at,
            jobs=jobs,
            outbox=self.outbox(),
            engines=self._engine_states(),
            models=self._models,
            uptime_s=now - self._started,
        )

    def outbox(self) -> OutboxStatus:
        """How many results wait, and for how long the oldest has."""
        oldest = next(iter(self._outbox.pending()), None)
        age_s = None if oldest is None else max(0.0, self._clock.wall() - oldest.finished_at)
        return OutboxStatus(self._outbox.count(), age_s)

    def checks(self) -> tuple[Check, ...]:
        """See `node.ports.control.StatusSource.checks`."""
        view = self._monitor.node(self._facts.node)
        life = Life.NEW if view is None else view.life
        holds = Hold.NOTHING if view is None else view.holds
        return (
            Check("registered", life is Life.RUNNING, f"the node is {life.value}"),
            self._polled(holds, busy=view is not None and view.jobs_running >= self._facts.slots),
            self._engine(),
            self._offer(),
            self._disk(holds),
            Check(
                "draining",
                life is not Life.DRAINING,
                "it takes jobs" if life is not Life.DRAINING else "it is stopping",
            ),
        )

    def _polled(self, holds: Hold, *, busy: bool) -> Check:
        if busy:
            return Check("polled", ok=True, detail="all slots are busy")
        if holds & _EXCUSES:
            return Check("polled", ok=True, detail=f"it need not poll: {_named(holds & _EXCUSES)}")
        if self._polled_at is None:
            return Check("polled", ok=False, detail="no poll was answered yet")
        now = self._clock.monotonic()
        held = f", and none is made: {_named(holds)}" if holds & ~Hold.BACK_OFF else ""
        text = f"the last poll was answered {now - self._polled_at:.0f} s ago{held}"
        # One that was held back has its time anew from when it was let go.
        age_s = now - max(self._polled_at, self._open_since)
        return Check("polled", age_s <= self._facts.ready_poll_s, text)

    def _engine(self) -> Check:
        if down := self._engines.down_because:
            return Check("engine", ok=False, detail=down)
        engines = self._engines.missing
        there = ", ".join(name for name, missing in engines.items() if not missing)
        missing = "".join(f"; {reason}" for reason in engines.values() if reason)
        return Check("engine", ok=True, detail=f"jobs go to {there}{missing}")

    def _offer(self) -> Check:
        nothing = self._engines.nothing_because
        if nothing:
            return Check("models", ok=False, detail=f"no model is on offer: {nothing}")
        return Check("models", ok=True, detail=f"models on offer: {self._engines.offered}")

    def _disk(self, holds: Hold) -> Check:
        if not self._outbox.accepting:
            return Check("disk", ok=False, detail="no result can be kept")
        if Hold.DISK in holds:
            return Check("disk", ok=False, detail="there is too little room to take on work")
        return Check("disk", ok=True, detail="results can be kept")

    def _engine_states(self) -> tuple[EngineStatus, ...]:
        return tuple(
            EngineStatus(name, not reason, reason, breakers=dict(self._breakers.get(name, {})))
            for name, reason in self._engines.missing.items()
        )

    def _on_poll(self, _: ev.PollEnded) -> None:
        self._polled_at = self._clock.monotonic()

    def _on_holds(self, event: ev.HoldsChanged) -> None:
        if self._holds & ~Hold.BACK_OFF and not event.holds & ~Hold.BACK_OFF:
            self._open_since = self._clock.monotonic()
        self._holds = event.holds

    def _on_models(self, event: ev.ModelsAnnounced) -> None:
        self._models = event.models

    def _on_breaker(self, event: ev.BreakerChanged) -> None:
        states = self._breakers.setdefault(event.engine, {})
        if event.state == _CLOSED:
            # Only what is out of order is kept, so that models that come and go leave nothing behind.
            states.pop(event.model, None)
        else:
            states[event.model] = event.state


def _named(holds: Hold) -> str:
    return ", ".join(hold_names(holds))


def _job_counts(jobs: Any) -> dict[str, int]:
    names = ("received", "succeeded", "failed", "skipped", "accepted", "refused", "unkept")
    return {name: getattr(jobs, name) for name in names}
