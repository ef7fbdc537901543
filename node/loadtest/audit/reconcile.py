"""The audit: every job of the book against what the gateway says."""

from __future__ import annotations

from collections import Counter
from math import isnan

from node.loadtest.audit.book import Book
from node.loadtest.audit.credits import Credits
from node.loadtest.audit.gateway_word import GatewayWord
from node.loadtest.audit.judge import Judge
from node.loadtest.audit.kinds import Kind
from node.loadtest.audit.report import AuditReport, AuditVerdict, Finding, JobTotals
from node.loadtest.audit.views import Held, JobView, Said


def reconcile(word: GatewayWord, settled_at: float, *, is_cut_short: bool = False) -> AuditReport:
    """Judge all jobs of ``word``'s book, when the time is ``settled_at`` (Unix seconds) and nothing is under way.

    See `Audit` for ``is_cut_short``. It blocks for some 15 s a million jobs: where an event loop must live on give an
    `Audit` the jobs one by one.
    """
    audit = Audit(word, settled_at, is_cut_short=is_cut_short)
    for job in word.book:
        audit.take(job)
    return audit.report()


class Audit:
    """Judges jobs one after the other, and at last the whole.

    To be made when ``word`` has all that it will have, the time is ``settled_at`` (Unix seconds) and nothing is under
    way. ``is_cut_short`` says that nodes had no time to fetch what may still wait for them; see `Judge`.
    """

    def __init__(self, word: GatewayWord, settled_at: float, *, is_cut_short: bool = False) -> None:
        self._word = word
        self._book: Book = word.book
        self._judge = Judge(
            presences=word.book.presences,
            policy=word.policy,
            settled_at=settled_at,
            is_whole=not word.book.lost_shards,
            is_cut_short=is_cut_short,
        )
        self._found: dict[Kind, dict[str, None]] = {kind: dict.fromkeys(word.found.get(kind, ())) for kind in Kind}
        self._more: Counter[Kind] = Counter()
        self._seen: Counter[str] = Counter()
        self._credits = Credits()

    def report(self) -> AuditReport:
        """What came of it; to be asked for once, when every job of the book was taken."""
        self._count_credits()
        self._count_jobs()
        findings = tuple(self._finding(kind) for kind in Kind)
        return AuditReport(self._verdict(findings), self._totals(), findings, tuple(self._notes()))

    def take(self, job: JobView) -> None:
        """Judge a job of the book."""
        kinds = set(self._judge.kinds(job))
        for kind in kinds:
            self._found[kind][job.job] = None
        # Whether a failure is credited is the gateway's own affair.
        is_sure = not kinds & {Kind.LOST, Kind.DUPLICATED} and job.said is not Said.ERROR
        self._credits.note(job, is_sure=is_sure)
        seen, deliveries, is_ours = self._seen, len(job.deliveries), job.is_submitted
        seen["submitted"] += is_ours
        seen["claimed"] += deliveries > 0
        seen["foreign"] += deliveries > 0 and not is_ours
        seen["redelivered"] += max(0, deliveries - 1)
        seen["executed"] += any(not isnan(claim.ended_at) for claim in job.claims)
        seen["sent"] += bool(job.sent)
        seen["accepted"] += job.is_told_answered()
        seen["looked_up"] += is_ours and (bool(job.said) or job.held is not Held.UNTOLD)
        seen["answered"] += is_ours and (job.said.is_answer or job.held is Held.ANSWERED)
        seen["doubtful"] += Kind.STUCK in kinds and self._judge.is_doubtful(job)
        seen["judged"] += is_ours and self._judge.is_answered(job) is not None
        seen["comparable"] += self._judge.is_comparable(job)

    def _count_credits(self) -> None:
        """Judge nodes' credits, where no ledger shows those of each job."""
        if self._word.is_ledger_whole:
            return
        for kind, (count, nodes) in (
            (Kind.DOUBLE_CREDITED, self._credits.excess(self._word)),
            (Kind.UNCREDITED, self._credits.shortfall(self._word)),
        ):
            self._found[kind].update(dict.fromkeys(nodes))
            self._more[kind] = count - len(nodes)

    def _count_jobs(self) -> None:
        phantoms = self._found[Kind.PHANTOM]
        # A submission whose answer never came may have become a job all the same.
        if len(phantoms) <= self._book.unconfirmed:
            phantoms.clear()
        self._more[Kind.MISCOUNTED] = self._book.repeated
        if self._word.job_count is not None and self._knows_all_jobs:
            least = self._seen["submitted"] + self._book.repeated
            grown = round(self._word.job_count.gain)
            self._more[Kind.MISCOUNTED] += max(least - grown, grown - least - self._book.unconfirmed, 0)

    @property
    def _knows_all_jobs(self) -> bool:
        return self._word.policy.owns_jobs and not self._book.lost_shards

    def _finding(self, kind: Kind) -> Finding:
        count = len(self._found[kind]) + self._more[kind]
        judged, is_known = self._evidence(kind)
        examples = tuple(list(self._found[kind])[: self._word.policy.examples])
        return Finding(kind, count if count or is_known else None, judged, examples)

    def _evidence(self, kind: Kind) -> tuple[int, bool]:
        """For how many jobs a kind could be told, and whether that is enough to say "none"."""
        seen, jobs = self._seen, len(self._book)
        is_told = seen["looked_up"] > 0 or not seen["submitted"]
        match kind:
            case Kind.LOST:
                return seen["looked_up"], is_told
            case Kind.ORPHANED | Kind.LEAKED_LEASE | Kind.STUCK:
                doubtful = 0 if kind is Kind.STUCK else seen["doubtful"]
                return seen["judged"] - doubtful, not doubtful and (seen["judged"] > 0 or not seen["submitted"])
            case Kind.DOUBLE_DELIVERED:
                return seen["claimed"], self._word.policy.lease_s is not None or not seen["redelivered"]
            case Kind.ALTERED | Kind.WRONG_MODEL:
                return seen["comparable"], seen["comparable"] > 0 or (is_told and not seen["answered"])
            case Kind.UNCLAIMED_ANSWER:
                is_closed = self._word.policy.owns_nodes and not self._book.lost_shards
                return seen["looked_up"], self._word.rows > 0 or (is_closed and is_told)
            case Kind.DOUBLE_CREDITED | Kind.UNCREDITED | Kind.MISCREDITED:
                return self._evidence_of_credits(kind)
            case Kind.PHANTOM:
                return jobs, self._knows_all_jobs
            case Kind.MISCOUNTED:
                return seen["submitted"], self._word.job_count is not None and self._knows_all_jobs
            case Kind.INTRUSION:
                return self._word.probes, self._word.probes > 0
            case _:
                return seen["claimed"], True

    def _evidence_of_credits(self, kind: Kind) -> tuple[int, bool]:
        word, accepted = self._word, self._seen["accepted"]
        if kind is Kind.MISCREDITED:
            return word.rows, word.is_ledger_whole
        is_told = Credits.is_told(word) if kind is Kind.DOUBLE_CREDITED else bool(word.job_credits)
        return accepted, word.is_ledger_whole or is_told

    def _totals(self) -> JobTotals:
        seen, word = self._seen, self._word
        gains = [credit.gain for credit in word.job_credits.values()]
        credited = word.credited if word.is_ledger_whole else round(sum(gains)) if gains else None
        return JobTotals(
            submitted=seen["submitted"],
            unconfirmed=self._book.unconfirmed,
            claimed=seen["claimed"],
            redelivered=seen["redelivered"],
            executed=seen["executed"],
            sent=seen["sent"],
            accepted=seen["accepted"],
            answered=seen["answered"] if seen["looked_up"] or not seen["submitted"] else None,
            credited=credited,
        )

    def _notes(self) -> list[str]:
        notes, seen = [], self._seen
        if lost := self._book.lost_shards:
            notes.append(f"{lost} of the generator's processes were lost: their nodes count as crashed")
        if 0 < seen["looked_up"] < seen["submitted"]:
            notes.append(f"{seen['looked_up']} of {seen['submitted']} jobs were looked up at the gateway")
        if self._word.policy.lease_s is None and (seen["doubtful"] or seen["redelivered"]):
            notes.append("the gateway's lease is not known: what hangs on it cannot be told")
        elif doubtful := seen["doubtful"]:
            notes.append(f"{doubtful} jobs had no time to be done: that they are stuck may not be the gateway's fault")
        # What a lost process submitted, or was not told of, may be among those that nobody is known to have submitted.
        is_foreign = seen["foreign"] > self._book.unconfirmed and not self._book.lost_shards
        if is_foreign and not self._word.policy.owns_jobs:
            notes.append(
                f"{seen['foreign']} jobs that this run did not submit were handed to its nodes: the rates of claims,"
                " accepted results and polls count them, too"
            )
        if unconfirmed := self._book.unconfirmed:
            notes.append(f"{unconfirmed} submissions ended without an answer: those jobs are not audited")
        return notes

    def _verdict(self, findings: tuple[Finding, ...]) -> AuditVerdict:
        if any(finding.count for finding in findings):
            return AuditVerdict.BROKEN
        if not (self._seen["submitted"] or self._seen["claimed"]):
            return AuditVerdict.EMPTY
        is_lost_known = next(finding for finding in findings if finding.kind is Kind.LOST).count is not None
        return AuditVerdict.CLEAN if is_lost_known else AuditVerdict.UNKNOWN
