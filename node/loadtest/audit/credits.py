"""Whether nodes were credited with what they did, once each."""

from __future__ import annotations

from collections import Counter
from math import floor

from node.domain.ids import NodeId
from node.loadtest.audit.gateway_word import GatewayWord
from node.loadtest.audit.policy import AuditPolicy
from node.loadtest.audit.views import JobView


class Credits:
    """Counts what each node can have earned, job by job, and compares it with what the gateway says.

    Jobs that a gateway took from a node without its hearing of it (a crash, a lost reply) may be credited and need not
    be: nobody can tell, and neither counts.
    """

    def __init__(self) -> None:
        self._sure: Counter[NodeId] = Counter()
        self._possible: Counter[NodeId] = Counter()
        self._jobs_taken = 0

    def note(self, job: JobView, *, is_sure: bool) -> None:
        """Take up a job; ``is_sure`` says that who had its result taken must have been credited with it."""
        nodes = {claim.node for claim in job.claims if claim.accepted}
        maybe = {claim.node for claim in job.claims if claim.ended_at == claim.ended_at or claim.sent} - nodes
        self._jobs_taken += bool(nodes or maybe)
        for node in nodes:
            self._possible[node] += 1
            self._sure[node] += is_sure
        for node in maybe:
            self._possible[node] += 1

    def excess(self, word: GatewayWord) -> tuple[int, list[NodeId]]:
        """How many credits are too many at least, and the nodes that show it."""
        if not self.is_told(word):
            return 0, []
        gains = self._gains(word)
        over = {node: gain - self._possible[node] for node, gain in gains.items() if gain > self._possible[node]}
        # Two nodes may each have earned a job that only one of them may be credited with.
        together = sum(gains.values()) - self._jobs_taken * word.policy.copies
        return max(sum(over.values()), together, 0), list(over)

    def shortfall(self, word: GatewayWord) -> tuple[int, list[NodeId]]:
        """How many credits are missing at least, and the nodes that show it."""
        short = {
            node: self._sure[node] - round(credit.gain)
            for node, credit in word.job_credits.items()
            if credit.gain < self._sure[node]
        }
        return sum(short.values()), list(short)

    @staticmethod
    def is_told(word: GatewayWord) -> bool:
        """Whether the gateway told any credits, and what was earned is known: no process's book is missing."""
        is_told = bool(word.job_credits) or bool(word.points and word.policy.points_per_job)
        return is_told and not word.book.lost_shards

    def _gains(self, word: GatewayWord) -> dict[NodeId, int]:
        """Jobs credited by node; from points no more than they prove."""
        gains = {node: round(credit.gain) for node, credit in word.job_credits.items()}
        if word.policy.points_per_job:
            for node, credit in word.points.items():
                gains.setdefault(node, _proven(credit.gain, word.policy, word.minutes))
        return gains


def _proven(points: float, policy: AuditPolicy, minutes: float) -> int:
    per_job = policy.points_per_job or 1.0
    return max(0, floor((points - policy.points_per_minute * minutes) / per_job + 1e-6))
