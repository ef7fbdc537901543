"""The tables of the page: thresholds, latencies, the audit, failures, the generator's health."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from node.loadtest.audit.kinds import Kind
from node.loadtest.audit.report import AuditVerdict, Finding
from node.loadtest.driver.judged import errors, tries
from node.loadtest.driver.outcome import LoadOutcome
from node.loadtest.figures.figures import Measure
from node.loadtest.figures.health import HealthLimits
from node.loadtest.figures.histogram import Histogram
from node.loadtest.plan.quantities import duration_text, share_text
from node.loadtest.report.markup import Child, Markup, joined, tag
from node.loadtest.report.wording import count_text, kind_name, latency_text, why_unknown
from node.loadtest.thresholds.threshold import Outcome, State, amount_text
from node.loadtest.thresholds.vocabulary import STEPS

STEP_NAMES: Final[Mapping[Measure, str]] = {
    Measure.REGISTER: "register",
    Measure.POLL: "poll that brought a job",
    Measure.EMPTY_POLL: "poll that brought none",
    Measure.FAILED_POLL: "poll that failed",
    Measure.RESULT: "result",
    Measure.SUBMIT: "submit",
    Measure.FAILED_SUBMIT: "submit that failed",
    Measure.RENEWAL: "token renewed",
}
"""What is timed of each step."""

JOB_NAMES: Final[Mapping[Measure, str]] = {
    Measure.CLAIM: "submitted to claimed",
    Measure.WORK: "claimed to accepted",
    Measure.JOB: "submitted to accepted",
    Measure.REDELIVERY: "crash to redelivered",
}
"""What is timed of a job."""

_STATES: Final = {
    State.PASSED: ("good", "✓ met"),
    State.FAILED: ("bad", "✗ missed"),
    State.UNKNOWN: ("doubt", "? unknown"),
}
_PERCENTS: Final = (50.0, 90.0, 95.0, 99.0, 99.9)
_MOST_IDS: Final = 20
_MOST_ERRORS: Final = 64
_HEALTH: Final = {
    "loop_lag_s": "event loop late, p99",
    "send_lag_s": "submissions late, p99",
    "lateness_s": "polls late, p99",
    "busy_share": "seconds with a full core",
    "offered_share": "submissions tried of those due",
}


def table(heads: Sequence[str], rows: Child, numbers: Sequence[int] = ()) -> Markup:
    """A table with a head, whose columns of these places hold numbers; its cells stand below each other where it is narrow."""
    cells = (
        tag("th", head, scope="col", class_="number" if place in numbers else None) for place, head in enumerate(heads)
    )
    return tag("table", tag("thead", tag("tr", cells)), tag("tbody", rows), class_="stack")


def thresholds_table(outcomes: Sequence[Outcome]) -> Markup:
    """Each threshold with what was measured and its limit."""
    heads = ("Threshold", "Measured", "Limit", "")
    return table(heads, (_threshold(outcome, heads) for outcome in outcomes), (1, 2))


def _threshold(outcome: Outcome, heads: Sequence[str]) -> Markup:
    colour, words = _STATES[outcome.state]
    kind = outcome.threshold.kind
    left, right = (
        "–" if value is None else amount_text(value, kind).replace("us", "µs")
        for value in (outcome.left, outcome.right)
    )
    limit = joined(outcome.threshold.comparison, "\u00a0", right)
    why = tag("div", outcome.why, class_="meaning") if outcome.why else None
    return tag(
        "tr",
        tag("th", tag("code", str(outcome.threshold)), why, scope="row"),
        tag("td", left, class_="number", data_label=heads[1]),
        tag("td", limit, class_="number", data_label=heads[2]),
        tag("td", words, class_=colour),
    )


def latency_table(histograms: Mapping[Measure, Histogram]) -> Markup:
    """Count and percentiles of each step and of jobs; what was never timed is left out."""
    heads = ("", "count", "mean", *(f"p{percent:g}" for percent in _PERCENTS), "max")
    rows: list[Child] = []
    for group, names in (("Requests", STEP_NAMES), ("Jobs", JOB_NAMES)):
        held = [(name, histograms[measure]) for measure, name in names.items() if histograms[measure].count]
        if held:
            rows.append(tag("tr", tag("th", group, colspan=len(heads), scope="rowgroup"), class_="group"))
        rows += [_latencies(name, histogram, heads) for name, histogram in held]
    return table(heads, rows, range(1, len(heads)))


def _latencies(name: str, histogram: Histogram, heads: Sequence[str]) -> Markup:
    found = (histogram.mean_s, *histogram.percentiles_s(*_PERCENTS), histogram.max_s)
    texts = (count_text(histogram.count), *map(latency_text, found))
    return tag(
        "tr",
        tag("th", name, scope="row"),
        [tag("td", text, class_="number", data_label=head) for head, text in zip(heads[1:], texts, strict=True)],
    )


def audit_table(outcome: LoadOutcome) -> Markup:
    """Every kind with what it means, how many there are, and examples."""
    found = sorted(outcome.report.findings, key=lambda finding: not finding.count)
    return table(("Kind", "Jobs", "What it means"), (_finding(one, outcome) for one in found), (1,))


def _finding(finding: Finding, outcome: LoadOutcome) -> Markup:
    count, submitted = finding.count, outcome.report.jobs.submitted
    text, colour = ("unknown", "doubt") if count is None else (count_text(count), "bad" if count else "good")
    more: list[Child] = []
    if count is None:
        more.append(tag("p", tag("b", f"Unknown: {why_unknown(finding, outcome)}.", class_="doubt"), class_="ids"))
    elif 0 < finding.judged < submitted and finding.kind is not Kind.INTRUSION:
        known = f"Could be told of {count_text(finding.judged)} jobs of {count_text(submitted)}."
        more.append(tag("p", known, class_="ids doubt"))
    if finding.examples:
        left = (count or 0) - _MOST_IDS
        ids = [joined(tag("bdi", name, class_="id"), " ") for name in finding.examples[:_MOST_IDS]]
        more.append(tag("p", ids, f"and {count_text(left)} more" if left > 0 else None, class_="ids"))
    return tag(
        "tr",
        tag("th", kind_name(finding.kind), scope="row", class_="name"),
        tag("td", text, class_=f"number {colour}", data_label=None),
        tag("td", tag("span", finding.kind.meaning, class_="meaning"), more, class_="wide"),
        class_="found" if count else None,
    )


def audit_words(outcome: LoadOutcome) -> Markup:
    """What the audit comes to, as a coloured word."""
    colour = {AuditVerdict.CLEAN: "good", AuditVerdict.BROKEN: "bad"}
    verdict = outcome.report.verdict
    return tag("b", verdict.words, class_=colour.get(verdict, "doubt"))


def requests_table(outcome: LoadOutcome) -> Markup:
    """How many requests of each step failed."""
    heads = ("Step", "tried", "failed", "share")
    rows = (
        tag(
            "tr",
            tag("th", step, scope="row"),
            tag("td", count_text(tried), class_="number", data_label=heads[1]),
            tag("td", count_text(failed), class_="number", data_label=heads[2]),
            tag("td", share_text(failed / tried) if tried else "–", class_="number", data_label=heads[3]),
        )
        for step, failed, tried in (
            (step, errors(outcome.figures, step), tries(outcome.figures, step)) for step in STEPS
        )
    )
    return table(heads, rows, (1, 2, 3))


def errors_table(found: Sequence[tuple[str, int]]) -> Markup:
    """Failures by class, the most frequent first."""
    rows = (
        tag(
            "tr",
            tag("td", count_text(times), class_="number", data_label=None),
            tag("td", tag("bdi", name), class_="wide"),
        )
        for name, times in found[:_MOST_ERRORS]
    )
    return table(("times", "what failed, and why"), rows, (0,))


def health_table(outcome: LoadOutcome) -> Markup:
    """What the generator found of itself, against what it may be."""
    limits = HealthLimits()
    heads = ("", "Found", "Limit", "")
    return table(heads, _health(outcome.health.found, limits, heads), (1, 2))


def _health(found: Mapping[str, float | None], limits: HealthLimits, heads: Sequence[str]) -> Iterator[Markup]:
    for name, value in found.items():
        limit = float(getattr(limits, name))
        told = (lambda amount: duration_text(amount).replace("us", "µs")) if name.endswith("_s") else share_text
        is_least = name == "offered_share"
        colour, words = "doubt", "? not watched"
        if value is not None:
            is_good = value >= limit if is_least else value <= limit
            colour, words = ("good", "✓ within") if is_good else ("bad", "✗ beyond")
        yield tag(
            "tr",
            tag("th", _HEALTH.get(name, name), scope="row"),
            tag("td", "–" if value is None else told(value), class_="number", data_label=heads[1]),
            tag("td", f"{'≥' if is_least else '≤'}\u00a0{told(limit)}", class_="number", data_label=heads[2]),
            tag("td", words, class_=colour),
        )
