"""What the gateway itself says, beyond the result of each job: counts, credits, and a sandbox's ledger."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from math import nan
from types import MappingProxyType
from typing import Final, NamedTuple

from node.domain.ids import JobId, NodeId
from node.loadtest.audit.book import Book
from node.loadtest.audit.kinds import Kind
from node.loadtest.audit.ledger_rows import accepted, kinds_of
from node.loadtest.audit.policy import AuditPolicy
from node.loadtest.audit.views import Held, Said
from node.sandbox.job_rows import JobRow
from node.sandbox.jobs import JobState

_HELD: Final[Mapping[JobState, Held]] = MappingProxyType(
    {"queued": Held.QUEUED, "leased": Held.LEASED, "answered": Held.ANSWERED, "lost": Held.NOWHERE}
)


class Credit(NamedTuple):
    """A figure of one node before and after the test."""

    before: float
    after: float

    @property
    def gain(self) -> float:
        """What the test brought."""
        return self.after - self.before


@dataclass(slots=True, eq=False)
class GatewayWord:
    """To be filled after the run, when all has settled and the books are merged; what stays empty reads as unknown.

    ``job_count`` is what ``/total_job_count`` said before and after, ``job_credits`` the same of ``/node_job_count`` and
    ``points`` of ``/get_points`` for each node; ``minutes`` is the time between those two looks.
    """

    book: Book
    policy: AuditPolicy
    job_count: Credit | None = None
    job_credits: dict[NodeId, Credit] = field(default_factory=dict)
    points: dict[NodeId, Credit] = field(default_factory=dict)
    minutes: float = 0.0
    rows: int = 0
    """Jobs of the sandbox's ledger that were read."""
    credited: int = 0
    """Credits that they show."""
    found: dict[Kind, list[JobId]] = field(default_factory=dict)
    """What the ledger's rows and probes show by themselves."""
    probes: int = 0
    """Things that a gateway must refuse, and was asked for."""

    @property
    def is_ledger_whole(self) -> bool:
        """Whether the ledger's rows show all jobs."""
        return 0 < self.rows >= len(self.book)

    def take_row(self, row: JobRow) -> None:
        """Read a job of a sandbox's ``GET /sandbox/jobs``, by `node.sandbox.job_rows.decode`.

        Its digest stands in for that of ``/get_result`` where that was not asked.
        """
        self.rows += 1
        self._learn_lease(row)
        self.credited += len(row.credits)
        node, at = (row.claims[-1].node, row.claims[-1].at) if row.claims else (NodeId(""), nan)
        if row.submitted_at is not None or row.claims:
            self.book.handed(row.job_id, len(row.claims), at, node, _HELD[row.state])
        for answer in accepted(row):
            if answer.digest and not self.book.view(row.job_id).said:
                said = Said.SUCCESS if answer.status == "success" else Said.ERROR
                self.book.said(row.job_id, said, int(answer.digest, 16) or 1, answer.model)
        for kind in kinds_of(row, self.policy):
            self.found.setdefault(kind, []).append(row.job_id)

    def _learn_lease(self, row: JobRow) -> None:
        """A ledger tells how long its leases were promised to last, to whom does not know."""
        if self.policy.lease_s is None and row.claims and (until := row.claims[-1].until) is not None:
            self.policy = replace(self.policy, lease_s=until - row.claims[-1].at)
