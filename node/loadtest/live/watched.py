"""What those who show a load test see of it, and what they may order."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from node.loadtest.driver.run import Phase
from node.loadtest.driver.verdict import Verdict
from node.loadtest.figures.figures import Figures
from node.loadtest.plan.model import Plan
from node.loadtest.thresholds.threshold import Outcome


@dataclass(frozen=True, slots=True)
class Standing:
    """How a run stands; counts are from its beginning.

    ``elapsed_s`` is the plan's time, which stands still while the run is paused, and is below 0 before its start.
    ``states`` are how many nodes are in each state that a person reads, ``crashed`` among them; states without any
    are left out. ``queued`` jobs are submitted and nobody's yet, ``working`` are claimed without an accepted result.
    ``in_flight`` submissions have no answer yet, ``outbox`` results wait to be sent.
    """

    phase: Phase
    is_paused: bool
    elapsed_s: float
    duration_s: float
    nodes: int
    planned_nodes: int
    states: dict[str, int]
    offered: int
    submitted: int
    accepted: int
    queued: int
    working: int
    in_flight: int
    outbox: int
    lag_s: float
    """The worst delay of the event loop in the last second."""
    cpu: float
    """CPU time of the busiest process in the last second, in cores."""


class WatchedRun(Protocol):
    """A load test as its displays see it. Everything but `on_tick` is read or ordered at any time, from the event loop."""

    @property
    def plan(self) -> Plan:
        """What it does."""
        ...

    @property
    def gateway(self) -> str:
        """The URL of the gateway under test."""
        ...

    @property
    def standing(self) -> Standing:
        """As of the last second."""
        ...

    @property
    def figures(self) -> Figures:
        """What was measured up to the last second, with faults, pauses and their ends as marks of its series.

        Gauges of the series, beside ``nodes.<life>``: ``nodes.planned``, ``in_flight``, ``queued``, ``working``,
        ``outbox`` and ``cpu`` (in cores, of all processes), with the meanings that `Standing` gives them; ``lag`` (in
        seconds) is a maximum.
        """
        ...

    @property
    def verdict(self) -> Verdict | None:
        """None until the run is judged."""
        ...

    @property
    def outcomes(self) -> Sequence[Outcome]:
        """What came of the plan's thresholds; empty until the run is judged."""
        ...

    def on_tick(self, hear: Callable[[], object]) -> Callable[[], None]:
        """Have ``hear`` called once a second, and at each change of phase; call what is returned to end it."""
        ...

    def start(self) -> None:
        """Begin, where it waits for this order; else nothing."""
        ...

    def pause(self) -> None:
        """Hold the plan's time: no submission, no order to nodes, no fault. Nodes go on with what they have."""
        ...

    def resume(self) -> None:
        """Let the plan's time go on."""
        ...

    def stop(self) -> None:
        """End the load, settle briefly, and judge."""
        ...
