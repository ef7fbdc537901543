"""What is wrong with one job.

A doubt is never a finding: between the time at which a node asked and the one at which it had the answer the gateway may
have handed the job out at any moment, and each rule takes the one that speaks for the gateway.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from math import isnan

from node.domain.ids import NodeId
from node.domain.model_names import full_name
from node.loadtest.audit.kinds import Kind
from node.loadtest.audit.policy import AuditPolicy
from node.loadtest.audit.presence import Presences
from node.loadtest.audit.views import Claim, Held, JobView, Marked


@dataclass(frozen=True, slots=True)
class Judge:
    """Judges jobs when all has settled, at that Unix time; ``is_whole`` says that no process's book is missing.

    ``is_cut_short`` says that nodes had no time to fetch what may still wait for them: then a job without a result is
    stuck, unless the gateway itself shows that it is worse.
    """

    presences: Presences
    policy: AuditPolicy
    settled_at: float
    is_whole: bool = True
    is_cut_short: bool = False

    def kinds(self, job: JobView) -> Iterator[Kind]:
        """All that is wrong with it."""
        if job.is_submitted and self.is_answered(job) is False:
            yield self._unanswered(job)
        if sum(claim.accepted for claim in job.claims) > self.policy.copies:
            yield Kind.DUPLICATED
        if self._is_unclaimed(job):
            yield Kind.UNCLAIMED_ANSWER
        if len(job.claims) > 1:
            yield from self._deliveries(job)
        if self.is_comparable(job) and job.stored not in {digest for digest, _ in job.sent}:
            yield Kind.ALTERED
        if self._is_of_wrong_model(job):
            yield Kind.WRONG_MODEL
        if job.deliveries and not job.is_submitted and self.policy.owns_jobs and self.is_whole:
            yield Kind.PHANTOM

    def is_answered(self, job: JobView) -> bool | None:
        """Whether there is a result: as the gateway shows it, else by its word to nodes; None where nobody can tell."""
        if job.said:
            return job.said.is_answer
        if job.held is not Held.UNTOLD:
            return job.held is Held.ANSWERED
        if job.is_told_answered():
            return True if job.is_told_answered(self.policy.copies) else None
        return False if self.policy.owns_nodes and self.is_whole else None

    def is_doubtful(self, job: JobView) -> bool:
        """Whether a job without a result is stuck for want of knowledge: it may as well be lost, orphaned or leaked."""
        if not (job.claims or job.handed) or job.held in {Held.QUEUED, Held.NOWHERE}:
            return False
        return self.policy.lease_s is None or (self.is_cut_short and job.held is Held.UNTOLD)

    def is_comparable(self, job: JobView) -> bool:
        """Whether the stored result and all that nodes sent are known."""
        return bool(job.said.is_answer and job.stored and job.sent and self.is_whole)

    def _is_lease_running(self, job: JobView) -> bool:
        """Whether the last lease of a job may still run, if it ever had one."""
        if self.policy.lease_s is None:
            return job.held is not Held.NOWHERE
        _, at = _last_holder(job, self.policy.slack_s)
        return not isnan(at) and self.settled_at <= at + self.policy.lease_s + self.policy.slack_s

    def _unanswered(self, job: JobView) -> Kind:
        node, at = _last_holder(job, self.policy.slack_s)
        if job.is_told_answered(self.policy.copies) or job.held is Held.ANSWERED:
            return Kind.LOST
        if isnan(at) or job.held is Held.QUEUED or self._is_lease_running(job):
            return Kind.STUCK
        if job.held is Held.UNTOLD and self.is_cut_short:
            return Kind.STUCK
        if job.held is Held.LEASED:
            return Kind.LEAKED_LEASE
        if self.presences.is_gone_since(node, at - self.policy.slack_s):
            return Kind.ORPHANED
        was_given_back = any(claim.marks & Marked.BURIED for claim in job.claims)
        return Kind.LOST if was_given_back or job.held is Held.NOWHERE else Kind.LEAKED_LEASE

    def _is_unclaimed(self, job: JobView) -> bool:
        if any(claim.accepted and not claim.is_delivery for claim in job.claims):
            return True
        nobody_had_it = not job.deliveries and not job.handed
        return nobody_had_it and job.said.is_answer and self.policy.owns_nodes and self.is_whole

    def _deliveries(self, job: JobView) -> Iterator[Kind]:
        deliveries = job.deliveries
        is_double = is_late = False
        for number, claim in enumerate(deliveries):
            running = sum(self._ran_at(other, claim) for other in deliveries[:number])
            taken = sum(other.accepted for other in job.claims if other.accepted_at < claim.asked_at)
            is_late |= taken >= self.policy.copies
            is_double |= running >= self.policy.copies and not taken
        if is_double:
            yield Kind.DOUBLE_DELIVERED
        if is_late:
            yield Kind.LATE_DELIVERED

    def _ran_at(self, claim: Claim, later: Claim) -> bool:
        """Whether the lease of a claim surely ran when a later one was received."""
        if self.policy.lease_s is None or claim.marks & Marked.BURIED:
            return False
        if claim.accepted and claim.accepted_at <= later.at:
            return False
        end = min(claim.asked_at + self.policy.lease_s, self.presences.left_after(claim.node, claim.asked_at))
        return later.at < end - self.policy.slack_s

    def _is_of_wrong_model(self, job: JobView) -> bool:
        if any(self._is_misplaced(claim, job.model) for claim in job.deliveries):
            return True
        if not (job.stored_model and self.is_comparable(job)):
            return False
        named = [model for digest, model in job.sent if digest == job.stored and model]
        return bool(named) and not _is_among(job.stored_model, named)

    def _is_misplaced(self, claim: Claim, asked: str) -> bool:
        model = claim.model or asked
        offered = self.presences.offers(claim.node)
        if model and offered is not None and not _is_among(model, offered):
            return True
        return bool(claim.model and asked) and not _is_among(claim.model, [asked])


def _is_among(model: str, models: Collection[str]) -> bool:
    return model in models or full_name(model) in map(full_name, models)


def _last_holder(job: JobView, slack_s: float) -> tuple[NodeId, float]:
    """Who had the job last and when, as its nodes saw it, or the ledger where it knows of a later time; NaN if nobody."""
    last = max(job.deliveries, key=lambda claim: claim.at, default=None)
    if last is None or job.handed_at > last.at + slack_s:
        return job.handed_to, job.handed_at
    return last.node, last.at
