"""Who is working on what, and until when."""

from __future__ import annotations

import heapq

from node.domain.ids import JobId, NodeId


class Leases:
    """Jobs handed out, each to one node until a deadline; times are monotonic seconds.

    A lease ends by `end`, `give_up` or `expired`; nothing extends it, a node's signs of life included.
    """

    def __init__(self) -> None:
        self._holders: dict[JobId, tuple[NodeId, float]] = {}
        self._of: dict[NodeId, dict[JobId, None]] = {}
        self._deadlines: list[tuple[float, JobId]] = []

    def __len__(self) -> int:
        return len(self._holders)

    def grant(self, job: JobId, node: NodeId, until: float) -> None:
        """Lease a job that is not leased.

        Raises:
            RuntimeError: it is leased already.
        """
        if job in self._holders:
            raise RuntimeError(f"job {job} is leased already")
        self._holders[job] = (node, until)
        self._of.setdefault(node, {})[job] = None
        heapq.heappush(self._deadlines, (until, job))

    def holder(self, job: JobId) -> NodeId | None:
        """The node that holds the job; None when it is not leased."""
        lease = self._holders.get(job)
        return lease[0] if lease else None

    def end(self, job: JobId) -> NodeId | None:
        """End the lease of a job; the node that held it, None when there was no lease."""
        lease = self._holders.pop(job, None)
        if lease is None:
            return None
        node = lease[0]
        held = self._of[node]
        del held[job]
        if not held:
            del self._of[node]
        if len(self._deadlines) > 64 and len(self._deadlines) > 4 * len(self._holders):
            self._deadlines = [(until, job) for job, (_, until) in self._holders.items()]
            heapq.heapify(self._deadlines)
        return node

    def give_up(self, node: NodeId) -> list[JobId]:
        """End all leases of a node; the jobs, in the order in which they were leased."""
        jobs = list(self._of.get(node, ()))
        for job in jobs:
            self.end(job)
        return jobs

    def due(self, now: float) -> bool:
        """Whether a deadline has passed: cheap, for every poll."""
        return bool(self._deadlines) and self._deadlines[0][0] <= now

    def expired(self, now: float) -> list[tuple[JobId, NodeId]]:
        """End all leases whose time is over; their jobs and nodes, earliest deadline first."""
        over = []
        while self.due(now):
            until, job = heapq.heappop(self._deadlines)
            lease = self._holders.get(job)
            if lease is not None and lease[1] == until:
                self.end(job)
                over.append((job, lease[0]))
        return over
