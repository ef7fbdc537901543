"""Figures and verdicts in words."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final, assert_never

from node.loadtest.audit.kinds import Kind
from node.loadtest.audit.report import AuditVerdict, Finding
from node.loadtest.driver.outcome import LoadOutcome
from node.loadtest.driver.verdict import Verdict
from node.loadtest.plan.quantities import number_text
from node.loadtest.thresholds.threshold import State

HEADLINES: Final = {
    Verdict.PASSED: "Passed",
    Verdict.STOPPED: "Stopped",
    Verdict.FAILED: "Failed",
    Verdict.VOID: "Void",
    Verdict.BROKEN: "Failed",
}
"""A verdict in one word."""

_NO_LEASE: Final = "the gateway's lease is not known"
_UNTOLD: Final = "the gateway did not tell which jobs have a result, or nodes had no time to fetch what is left"
_OTHERS: Final = "others may use the gateway too, or a part of the generator was lost"
_UNSEEN: Final = "no stored result could be compared with what nodes sent"
_NO_CREDITS: Final = "the gateway does not tell what nodes were credited with"
_UNASKED: Final = "the gateway was not asked, or did not tell"
_WHY_UNKNOWN: Final = {
    **dict.fromkeys((Kind.LOST, Kind.ORPHANED, Kind.LEAKED_LEASE, Kind.STUCK), _UNTOLD),
    Kind.DOUBLE_CREDITED: _NO_CREDITS,
    Kind.UNCREDITED: _NO_CREDITS,
    Kind.MISCREDITED: "only a ledger tells which job was credited to whom, and the gateway showed none",
    Kind.UNCLAIMED_ANSWER: _OTHERS,
    Kind.ALTERED: _UNSEEN,
    Kind.WRONG_MODEL: _UNSEEN,
    Kind.PHANTOM: _OTHERS,
    Kind.MISCOUNTED: "the gateway does not tell how many jobs it has, or others may submit jobs too",
}
_OF_LEASES: Final = frozenset({Kind.ORPHANED, Kind.LEAKED_LEASE, Kind.DOUBLE_DELIVERED})


def why_unknown(finding: Finding, outcome: LoadOutcome) -> str:
    """Why a kind could not be told, as a part of a sentence."""
    if finding.kind in _OF_LEASES and outcome.values.get("lease") is None:
        return _NO_LEASE
    return _WHY_UNKNOWN.get(finding.kind, _UNASKED)


def kind_name(kind: Kind) -> str:
    """A kind of finding for people."""
    return kind.label.replace("_", " ")


def found_text(findings: Sequence[Finding]) -> str:
    """What an audit found, as ``3 lost, 1 double credited``."""
    return ", ".join(f"{finding.count} {kind_name(finding.kind)}" for finding in findings)


def verdict_sentence(outcome: LoadOutcome) -> str:
    """What it came to and why, in one sentence."""
    match outcome.verdict:
        case Verdict.BROKEN:
            jobs = outcome.report.jobs.submitted
            more = f", and {_missed(outcome)}" if _not_met(outcome) else ""
            found = found_text(outcome.report.broken)
            return f"the audit of {_jobs(jobs)} found something wrong: {found}{more}."
        case Verdict.VOID:
            why = [*outcome.health.reasons, *(f"a defect of this program: {defect}" for defect in outcome.defects)]
            return f"the generator fell short, so its figures say nothing of the gateway: {'; '.join(why)}."
        case Verdict.STOPPED:
            return "it was ended before its time: what was measured until then is shown, and not judged."
        case Verdict.FAILED:
            return f"{_missed(outcome)}. {_audited(outcome)}"
        case Verdict.PASSED:
            many = len(outcome.outcomes)
            met = {0: "the plan sets no thresholds", 1: "the threshold is met"}.get(
                many, f"all {many} thresholds are met"
            )
            return f"{met}. {_audited(outcome)}"
        case _:
            assert_never(outcome.verdict)


def _not_met(outcome: LoadOutcome) -> int:
    return sum(found.state is not State.PASSED for found in outcome.outcomes)


def _missed(outcome: LoadOutcome) -> str:
    missed, many = _not_met(outcome), len(outcome.outcomes)
    return f"{missed} of {many} thresholds {'is' if missed == 1 else 'are'} not met"


def _audited(outcome: LoadOutcome) -> str:
    match outcome.report.verdict:
        case AuditVerdict.CLEAN:
            return f"The audit of {_jobs(outcome.report.jobs.submitted)} found nothing wrong."
        case AuditVerdict.UNKNOWN:
            return "The audit found nothing wrong, but could not tell whether jobs were lost."
        case AuditVerdict.BROKEN:
            return f"The audit found {found_text(outcome.report.broken)}, which accuses nobody."
        case AuditVerdict.EMPTY:
            return f"No job was taken by the gateway: {outcome.report.verdict.words}."
        case _:
            assert_never(outcome.report.verdict)


def _jobs(count: int) -> str:
    return f"{count:,} job{'' if count == 1 else 's'}".replace(",", "\u202f")


def count_text(count: float) -> str:
    """A whole number with its thousands apart."""
    return f"{count:,.0f}".replace(",", "\u202f")


def latency_text(seconds: float | None) -> str:
    """A time with three significant digits: ``940 µs``, ``1.47 ms``, ``5.74 s``, ``95.0 s``; a dash for None."""
    if seconds is None or not math.isfinite(seconds):
        return "–"
    if seconds == 0:
        return "0"
    factor, unit = (1e6, "µs") if seconds < 0.9995e-3 else (1e3, "ms") if seconds < 0.9995 else (1.0, "s")
    value = seconds * factor
    digits = 0 if unit == "µs" else min(2, max(0, 2 - math.floor(math.log10(value))))
    return f"{value:.{digits}f}\u00a0{unit}"


def tick_text(seconds: float) -> str:
    """A power of ten of seconds."""
    factor, unit = (1e6, "µs") if seconds < 0.9995e-3 else (1e3, "ms") if seconds < 0.9995 else (1.0, "s")
    return f"{seconds * factor:g}\u00a0{unit}"


def clock_text(at: float) -> str:
    """A Unix time for people, in UTC."""
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def iso_text(at: float) -> str:
    """A Unix time as ISO 8601 has it, in UTC with milliseconds."""
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def amount_text(value: float) -> str:
    """A number at an axis or in a chart."""
    return count_text(value) if value >= 1000 else number_text(value)
