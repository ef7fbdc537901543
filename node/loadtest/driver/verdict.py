"""What a load test comes to, in one word."""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum

from node.loadtest.audit.kinds import Kind
from node.loadtest.audit.report import AuditReport
from node.loadtest.figures.health import HealthVerdict
from node.loadtest.thresholds.threshold import Outcome, State


class Verdict(Enum):
    """From the best to the worst; each has an exit code of its own."""

    PASSED = "passed"
    STOPPED = "stopped"
    """Ended before its time by who started it: what was measured until then is told, and not judged."""
    FAILED = "failed"
    """A threshold was missed, or could not be judged."""
    VOID = "void"
    """The generator was the bottleneck: its figures say nothing of the gateway."""
    BROKEN = "broken"
    """The audit found something wrong with jobs. That holds however slow the generator was."""


def verdict(
    outcomes: Sequence[Outcome],
    report: AuditReport,
    health: HealthVerdict,
    defects: Sequence[str],
    *,
    was_stopped: bool,
) -> Verdict:
    """The worst of all; ``defects`` are those of this program that showed in the run.

    Of a run that was stopped jobs are left open: that they are stuck accuses nobody.
    """
    found = {finding.kind for finding in report.broken}
    if found - ({Kind.STUCK} if was_stopped else set()):
        return Verdict.BROKEN
    if health.is_void or defects:
        return Verdict.VOID
    if was_stopped:
        return Verdict.STOPPED
    if any(outcome.state is not State.PASSED for outcome in outcomes):
        return Verdict.FAILED
    return Verdict.PASSED
