"""What the audit takes for granted about a gateway."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class AuditPolicy:
    """What the gateway promises, and how much of it is the generator's alone.

    ``owns_nodes`` says that no other nodes take its jobs while the test runs, ``owns_jobs`` that nobody else submits
    any; where that is not so, what others may have done reads as unknown.
    """

    lease_s: float | None = 300.0
    """How long a node may take over a job before another one gets it; None: not known, and neither is what hangs on it."""
    slack_s: float = 1.0
    """What clocks may be apart, those of several machines or two of one gateway, and how long a lease's end may go unseen.

    A gateway that is busy ends a lease by the time that its event loop had some milliseconds ago, and tells of it by its
    wall clock. A lease that ends earlier than promised by no more than this is no finding.
    """
    copies: int = 1
    """To how many nodes the gateway gives each job at a time, and how many results it takes."""
    owns_nodes: bool = True
    owns_jobs: bool = True
    points_per_job: float | None = None
    """What a node earns for a job, where that is known: then points show double credits too."""
    points_per_minute: float = 0.0
    """What a node earns at most for a minute in session."""
    examples: int = 20
    """Ids that are kept of each kind."""
