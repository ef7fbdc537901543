"""Where a gateway's state is kept beyond the process."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from node.domain.ids import NodeId
from node.domain.secret import Secret
from node.sandbox.jobs import Answer, Claim, JobRecord
from node.sandbox.nodes import NodeRecord
from node.sandbox.sums import Counts


class Lease(NamedTuple):
    """A lease as it is kept: until a Unix time in seconds."""

    job: JobRecord
    node: NodeId
    until: float


@dataclass(frozen=True, slots=True)
class Recorded:
    """What a journal holds when a gateway begins."""

    secret: Secret
    """What tokens are signed with and node secrets hashed with."""
    nodes: Sequence[NodeRecord] = ()
    jobs: Sequence[JobRecord] = ()
    """In the order of their numbers."""
    leases: Sequence[Lease] = ()
    forgotten: Counts = field(default_factory=Counts)
    """The part of the sums that no record shows: see `Ledger.unshown`."""


class Journal(Protocol):
    """Keeps every change; what a call tells of is durable when it returns.

    Every method but `aclose` raises `StorageUnavailable` when the disk does not take it; then nothing of the
    change is kept.
    """

    async def node(self, node: NodeRecord) -> None:
        """The node's secret, models, standing or uptime changed."""
        ...

    async def left(self, node: NodeRecord) -> None:
        """The node left, and its leases are given up."""
        ...

    async def submitted(self, job: JobRecord) -> None:
        """There is a new job."""
        ...

    async def claimed(self, job: JobRecord, claim: Claim, until: float) -> None:
        """The job is leased to a node until this Unix time; the claim is not in the record yet."""
        ...

    async def answered(self, job: JobRecord, answer: Answer, node: NodeRecord) -> None:
        """The job's result is accepted and counts for its node; neither record shows it yet."""
        ...

    async def checkpoint(self, nodes: Sequence[NodeRecord], gone: Sequence[JobRecord], forgotten: Counts) -> None:
        """Uptimes grew; these jobs are forgotten, and ``forgotten`` are the sums with them."""
        ...

    async def aclose(self) -> None:
        """Finish what is under way. A second call does nothing."""
        ...


class NullJournal:
    """A `Journal` that keeps nothing: the state ends with the process."""

    async def node(self, node: NodeRecord) -> None:
        """See `Journal.node`."""

    async def left(self, node: NodeRecord) -> None:
        """See `Journal.left`."""

    async def submitted(self, job: JobRecord) -> None:
        """See `Journal.submitted`."""

    async def claimed(self, job: JobRecord, claim: Claim, until: float) -> None:
        """See `Journal.claimed`."""

    async def answered(self, job: JobRecord, answer: Answer, node: NodeRecord) -> None:
        """See `Journal.answered`."""

    async def checkpoint(self, nodes: Sequence[NodeRecord], gone: Sequence[JobRecord], forgotten: Counts) -> None:
        """See `Journal.checkpoint`."""

    async def aclose(self) -> None:
        """See `Journal.aclose`."""
