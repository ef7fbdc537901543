"""The sums that a run is judged by."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

Status = Literal["success", "error"]


@dataclass(slots=True)
class Counts:
    """Sums over jobs, those included that have been forgotten."""

    submitted: int = 0
    claimed: int = 0
    """Jobs handed out at least once."""
    claims: int = 0
    """Times that a job was handed out."""
    returned: int = 0
    """Times that a job was queued again: its lease ran out or was given up."""
    succeeded: int = 0
    failed: int = 0
    duplicates_refused: int = 0
    """Results for jobs that had their answer."""
    unknown_results: int = 0
    """Results for jobs that are unknown, or unknown to their sender."""

    def count(self, status: Status) -> None:
        """Count an accepted result."""
        if status == "success":
            self.succeeded += 1
        else:
            self.failed += 1


class Totals(NamedTuple):
    """The ledger at one moment. In a gateway without bugs always: ``submitted == pending + leased + accepted``.

    ``redelivered`` are claims beyond a job's first, ``points`` what all nodes have earned together. ``lost`` are jobs
    that were claimed, have no answer, are not queued and not leased: a defect of the gateway, if there is any.
    """

    submitted: int
    claimed: int
    claims: int
    redelivered: int
    returned: int
    accepted: int
    succeeded: int
    failed: int
    pending: int
    leased: int
    lost: int
    duplicates_refused: int
    unknown_results: int
    points: float
