"""Jobs handed out wrongly."""

from __future__ import annotations

import math
from collections.abc import Callable

from node.domain.ids import JobId, NodeId
from node.protocol.messages import JobData
from node.sandbox.bugs import Bugs
from node.sandbox.dispatch import Dispatcher
from node.sandbox.ground import Ground
from node.sandbox.jobs import HowEnded, JobRecord
from node.sandbox.leases import Leases
from node.sandbox.ledger import Ledger
from node.sandbox.nodes import NodeRecord, Nodes


class BuggyDispatcher(Dispatcher):
    """A `Dispatcher` with the bugs ``double-deliver``, ``phantom-job``, ``no-redelivery``, short and endless leases.

    ``is_leaked`` tells of an answered job whose lease was not ended; when that lapses, the job is handed out again.
    """

    def __init__(
        self,
        bugs: Bugs,
        is_leaked: Callable[[JobId], bool],
        ground: Ground,
        *,
        nodes: Nodes,
        ledger: Ledger,
        leases: Leases,
        is_settling: Callable[[JobId], bool],
    ) -> None:
        super().__init__(ground, nodes=nodes, ledger=ledger, leases=leases, is_settling=is_settling)
        self._bugs = bugs
        self._ids = ground.ids
        self._is_leaked = is_leaked
        self._endless: set[JobId] = set()

    def _is_open(self, job: JobRecord) -> bool:
        return super()._is_open(job) or self._is_leaked(job.job_id)

    def _is_unfit(self, job_id: JobId, node: NodeRecord, now: float) -> bool:
        return self._leases.holder(job_id) == node.node_id or super()._is_unfit(job_id, node, now)

    async def _lease(self, job: JobRecord, node: NodeRecord, now: float) -> JobRecord | None:
        # The table of leases has room for one a job: the second delivery takes the place of the first.
        is_second = self._leases.end(job.job_id) is not None
        leased = await super()._lease(job, node, now)
        if leased is None:
            return None
        if not is_second and self._bugs.strikes("double-deliver"):
            await self._broker.requeue(job.ticket)
        if not math.isnan(job.submitted_at) and self._bugs.strikes("phantom-job"):
            await self._make_up(job)
        if self._bugs.strikes("endless-lease"):
            self._endless.add(job.job_id)
            self._bend(job.job_id, node.node_id, math.inf)
        elif self._bugs.strikes("short-lease"):
            self._bend(job.job_id, node.node_id, now + self._policy.lease_s / 2)
        return leased

    async def _give_back(self, job_id: JobId, node: NodeId, how: HowEnded) -> None:
        if self._ledger.find(job_id) is None:
            return
        if job_id in self._endless:
            self._leases.grant(job_id, node, math.inf)
        elif self._bugs.strikes("no-redelivery"):
            self._ledger.lease_ended(job_id, node, how, self._clock.wall())
        else:
            await super()._give_back(job_id, node, how)

    def _bend(self, job_id: JobId, node: NodeId, until: float) -> None:
        """Let the lease end at another monotonic time."""
        self._leases.end(job_id)
        self._leases.grant(job_id, node, until)

    async def _make_up(self, job: JobRecord) -> None:
        """Queue a copy of a job under a new id."""
        job_id = JobId(self._ids.new())
        data = JobData.model_validate_json(job.body).model_copy(update={"job_id": job_id})
        copy = JobRecord(job_id, self._ledger.next_seq(), job.model, job.api_key, math.nan, data.to_wire())
        self._ledger.take_up(copy)
        await self._broker.requeue(copy.ticket)
