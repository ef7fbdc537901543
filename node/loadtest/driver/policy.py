"""How the driver itself behaves, apart from any plan. Durations are in seconds."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class DriverPolicy:
    """The bounds that a run keeps to, whatever its plan says."""

    start_in_s: float = 0.5
    """From the order to run to the plan's time 0, where no other start is agreed on."""
    max_in_flight: int = 10_000
    """Submissions without an answer yet: while there are so many, what is due is dropped, which counts against the gateway."""
    submit_timeout_s: float = 30.0
    """What a submission may take."""
    overdue_s: float = 5.0
    """How long after the plan's end submissions that were due before it are still sent."""
    look_s: float = 0.25
    """Between two looks at whether all has settled."""
    brief_settle_s: float = 5.0
    """How long is waited for that, at most, after an order to stop."""
    drain_s: float = 15.0
    """What all nodes together may take to leave in good order."""
    abort_s: float = 3.0
    """What they may take to end at once."""
    lag_s: float = 0.05
    """Between two looks at how late the event loop is."""
    tick_s: float = 1.0
    """Between two readings of all figures."""
    ask_at_once: int = 64
    """Questions about results under way at the same time, when all is over."""
    ask_s: float = 10.0
    """What one of them may take."""
