"""The audit's result: a value with a version, for people, thresholds and exit codes."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Any, Final

from node.loadtest.audit.kinds import Kind

VERSION: Final = 1
"""Fields may be added within a version; one that goes, or means something else, is a new version."""


class AuditVerdict(Enum):
    """What the audit comes to."""

    CLEAN = "clean"
    """Nothing is wrong, and whether each job has its result is known."""
    BROKEN = "broken"
    """Something is."""
    UNKNOWN = "unknown"
    """Nothing was found, but whether jobs were lost could not be told."""
    EMPTY = "empty"
    """There was no job."""

    @property
    def words(self) -> str:
        """For people."""
        return "nothing to audit" if self is AuditVerdict.EMPTY else self.value


@dataclass(frozen=True, slots=True)
class Finding:
    """One kind: ``count`` is None where it cannot be told, and a lower bound where ``judged`` falls short of all jobs.

    ``examples`` are ids, of jobs unless the kind says otherwise, the first ones found.
    """

    kind: Kind
    count: int | None
    judged: int
    examples: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class JobTotals:
    """Jobs by how far they came; None is what the gateway does not tell.

    ``claimed``, ``executed``, ``sent`` and ``accepted`` are as the generator's nodes saw it, ``redelivered`` the claims
    beyond each job's first, ``answered`` what ``/get_result`` or the ledger shows, ``credited`` what nodes were credited
    with; ``unconfirmed`` submissions ended without an answer.
    """

    submitted: int
    unconfirmed: int
    claimed: int
    redelivered: int
    executed: int
    sent: int
    accepted: int
    answered: int | None
    credited: int | None


@dataclass(frozen=True, slots=True)
class AuditReport:
    """All findings, every kind once, in the order of `Kind`; ``notes`` are sentences on what limits them."""

    verdict: AuditVerdict
    jobs: JobTotals
    findings: tuple[Finding, ...]
    notes: tuple[str, ...] = ()

    def count(self, kind: Kind) -> int | None:
        """How many there are of a kind; None where it cannot be told."""
        return self.of(kind).count

    def of(self, kind: Kind) -> Finding:
        """The finding of a kind."""
        return next(finding for finding in self.findings if finding.kind is kind)

    @property
    def broken(self) -> tuple[Finding, ...]:
        """The findings that there are any of."""
        return tuple(finding for finding in self.findings if finding.count)

    def to_document(self) -> dict[str, Any]:
        """The report for JSON; what is unknown is null."""
        return {
            "v": VERSION,
            "verdict": self.verdict.value,
            "jobs": {name: getattr(self.jobs, name) for name in JobTotals.__slots__},
            "findings": {
                finding.kind.label: {
                    "count": finding.count,
                    "judged": finding.judged,
                    "examples": list(finding.examples),
                    "meaning": finding.kind.meaning,
                }
                for finding in self.findings
            },
            "notes": list(self.notes),
        }
