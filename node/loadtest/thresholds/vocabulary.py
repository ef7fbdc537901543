"""The names that thresholds know, each with its kind. A recorder gives its figures by these names.

- ``p99.poll``, ``p99.9.poll``, ``min.poll``, ``mean.poll``, ``max.poll``: times of a step or of a phase of jobs;
  the parts may be exchanged (``poll.p99``). They are those of `MEASURES`
- ``jobs.lost``: how many jobs, or nodes where the kind says so; those of `COUNTS`
- ``errors.poll``: the share of a step's requests that failed; ``empty_polls``: the share of polls without a job
- ``offered``: jobs a second that the plan has arrive; ``accepted_rate`` and others: what came of them
- ``lease``, ``duration``: of the gateway, and of the time that is judged
"""

from __future__ import annotations

import re
from dataclasses import fields
from difflib import get_close_matches
from typing import Final

from node.loadtest.audit.kinds import Kind
from node.loadtest.audit.report import JobTotals
from node.loadtest.figures.figures import Measure
from node.loadtest.thresholds.dimensions import COUNT, RATE, SHARE, TIME, Dimension

MEASURES: Final = {
    "register": Measure.REGISTER,
    "poll": Measure.POLL,
    "empty_poll": Measure.EMPTY_POLL,
    "lateness": Measure.LATENESS,
    "result": Measure.RESULT,
    "submit": Measure.SUBMIT,
    "failed_poll": Measure.FAILED_POLL,
    "failed_submit": Measure.FAILED_SUBMIT,
    "queued": Measure.CLAIM,
    "served": Measure.WORK,
    "job": Measure.JOB,
    "redelivered": Measure.REDELIVERY,
    "renewed": Measure.RENEWAL,
}
"""What is timed; see the members for what begins and ends each time."""

STEPS: Final = ("register", "poll", "result", "submit")
"""Requests, of which a share may fail."""

TOTALS: Final = tuple(field.name for field in fields(JobTotals))
"""How far jobs came, as the audit tells it."""

COUNTS: Final = (*TOTALS, *(kind.label for kind in Kind), "dropped", "unknown")
"""What is counted, each written with ``jobs.`` before it, in the plural too.

These are `TOTALS`, the audit's findings, the jobs that were due and not submitted since too many others had no answer,
and those of which the audit cannot tell what became.
"""

RATES: Final = ("offered", "submitted_rate", "claimed_rate", "accepted_rate", "poll_rate")

_STATISTICS: Final = ("min", "mean", "max")
_PERCENTILE: Final = re.compile(r"p(\d{1,3}(?:\.\d+)?)")
_PLAIN: Final = {
    **{f"jobs.{name}": COUNT for name in COUNTS},
    **{f"errors.{step}": SHARE for step in STEPS},
    "empty_polls": SHARE,
    **dict.fromkeys(RATES, RATE),
    "lease": TIME,
    "duration": TIME,
}
_OFFERED: Final = (
    *_PLAIN,
    *(f"{statistic}.{of}" for of in MEASURES for statistic in ("p50", "p90", "p95", "p99", "p99.9", *_STATISTICS)),
)


def canonical(name: str) -> str | None:
    """The name as figures are given by it; None where there is no such name."""
    if name in _PLAIN:
        return name
    if name.removesuffix("s") in _PLAIN:
        return name.removesuffix("s")
    first, _, last = name.rpartition(".")
    if last in MEASURES and _is_statistic(first):
        return f"{_tidy(first)}.{last}"
    first, _, last = name.partition(".")
    return f"{_tidy(last)}.{first}" if first in MEASURES and _is_statistic(last) else None


def dimension_of(name: str) -> Dimension:
    """The kind of a canonical name's figures; times are in seconds, rates a second, shares from 0 to 1."""
    return _PLAIN.get(name, TIME)


def percentile_of(name: str) -> tuple[float, str] | None:
    """The percentage, 0 to 100, and the step or phase of a canonical name; None where it is no percentile's."""
    statistic, _, of = name.rpartition(".")
    match = _PERCENTILE.fullmatch(statistic)
    return (float(match[1]), of) if match else None


def suggestion(name: str) -> str:
    """The name that was perhaps meant; empty where none is near."""
    lowered = name.lower().replace("-", "_")
    if canonical(lowered) is not None:
        return lowered
    near = get_close_matches(lowered, [*_OFFERED, *COUNTS], n=1, cutoff=0.6)
    return f"jobs.{near[0]}" if near and near[0] in COUNTS else next(iter(near), "")


def _is_statistic(text: str) -> bool:
    match = _PERCENTILE.fullmatch(text)
    return text in _STATISTICS or (match is not None and float(match[1]) <= 100)


def _tidy(statistic: str) -> str:
    match = _PERCENTILE.fullmatch(statistic)
    return f"p{float(match[1]):.12g}" if match else statistic
