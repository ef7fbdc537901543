"""The report as one page that needs nothing else: no network, no script, and a policy that allows none."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterator
from typing import Final

from node.loadtest.audit.report import AuditVerdict
from node.loadtest.driver.outcome import LoadOutcome
from node.loadtest.driver.verdict import Verdict
from node.loadtest.figures.figures import Measure
from node.loadtest.plan.distributions import Constant
from node.loadtest.plan.model import Engine, Plan
from node.loadtest.plan.population import Population
from node.loadtest.plan.quantities import duration_text, rate_text
from node.loadtest.report.charts import charts, key_to_moments
from node.loadtest.report.comparison_table import comparison_table
from node.loadtest.report.markup import Child, Markup, joined, tag
from node.loadtest.report.percentile_chart import percentile_chart
from node.loadtest.report.style import CSS
from node.loadtest.report.tables import (
    JOB_NAMES,
    STEP_NAMES,
    audit_table,
    audit_words,
    errors_table,
    health_table,
    latency_table,
    requests_table,
    thresholds_table,
)
from node.loadtest.report.wording import (
    HEADLINES,
    clock_text,
    count_text,
    found_text,
    latency_text,
    verdict_sentence,
)

SIGNATURE: Final = "<!doctype html>\n<!-- a load test's report -->\n"
"""What every such page begins with."""

_COLOURS: Final = {
    Verdict.PASSED: "good",
    Verdict.STOPPED: "doubt",
    Verdict.FAILED: "bad",
    Verdict.VOID: "doubt",
    Verdict.BROKEN: "bad",
}


def page(outcome: LoadOutcome) -> str:
    """The whole page."""
    body = tag("main", _heading(outcome), _sections(outcome), _footer())
    title = f"{HEADLINES[outcome.verdict]}: {outcome.plan.name}"
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", http_equiv="Content-Security-Policy", content=_policy()),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="color-scheme", content="light dark"),
        tag("meta", name="referrer", content="no-referrer"),
        tag("title", title),
        tag("style", Markup(CSS)),
    )
    return SIGNATURE + tag("html", head, tag("body", body), lang="en") + "\n"


def _policy() -> str:
    """Nothing but this style: what may have slipped in as markup could neither run, nor load, nor send anything."""
    digest = base64.b64encode(hashlib.sha256(CSS.encode()).digest()).decode("ascii")
    return f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"


def _heading(outcome: LoadOutcome) -> Iterator[Markup]:
    plan = outcome.plan
    load_s = outcome.times.load_ended_at - outcome.times.begun_at
    yield tag("h1", tag("bdi", plan.name))
    yield tag("p", duration_text(round(load_s, 1)), " of load on ", tag("bdi", outcome.gateway), class_="dim")
    sentence = verdict_sentence(outcome)
    planted = None
    if outcome.bugs:
        named = [joined(tag("code", bug), " ") for bug in outcome.bugs]
        planted = tag("p", "Planted into the sandbox on purpose: ", named, class_="planted")
    yield tag(
        "div",
        tag("p", tag("b", f"{HEADLINES[outcome.verdict]}:", class_="word"), " ", sentence),
        planted,
        class_=f"verdict {_COLOURS[outcome.verdict]}",
        role="status",
    )
    yield tag("ul", (tag("li", tag("b", value), tag("span", name)) for name, value in _tiles(outcome)), class_="tiles")


def _tiles(outcome: LoadOutcome) -> Iterator[tuple[str, str]]:
    jobs, values = outcome.report.jobs, outcome.values
    yield "jobs submitted", count_text(jobs.submitted)
    yield "have a result", "unknown" if jobs.answered is None else count_text(jobs.answered)
    yield "offered", _rate(values.get("offered"))
    yield "accepted", _rate(values.get("accepted_rate"))
    yield "polls", _rate(values.get("poll_rate"))
    job = outcome.histograms[Measure.JOB]
    if job.count:
        median, tail = job.percentiles_s(50, 99)
        yield "a job, p50", latency_text(median)
        yield "a job, p99", latency_text(tail)


def _rate(per_s: float | None) -> str:
    return "unknown" if per_s is None else rate_text(float(f"{per_s:.3g}"))


def _sections(outcome: LoadOutcome) -> Iterator[Markup]:
    if outcome.outcomes:
        yield _section("Thresholds", thresholds_table(outcome.outcomes))
    notes = [*outcome.notes, *outcome.report.notes, *(f"a defect of this program: {one}" for one in outcome.defects)]
    if notes:
        yield _section("Notes", tag("ul", (tag("li", note) for note in notes)))
    if outcome.comparison is not None:
        yield _section("Against earlier runs", comparison_table(outcome.comparison))
    if outcome.figures.series.span:
        yield _charts(outcome)
    yield _section("Latency", _latency_words(outcome), latency_table(outcome.histograms), _percentiles(outcome))
    yield _audit(outcome)
    found = outcome.figures.errors.most_common()
    what = tag("h3", "By class") if found else tag("p", "No request failed.")
    yield _section("Failures", requests_table(outcome), tag("br"), what, errors_table(found) if found else None)
    yield _generator(outcome)
    yield _section("What was run", tag("dl", _terms(_facts(outcome))), _plan(outcome.plan))


def _section(title: str, *children: Child) -> Markup:
    return tag("section", tag("h2", title), children)


def _charts(outcome: LoadOutcome) -> Markup:
    shaded = tag(
        "p", tag("span", class_="swatch"), f" counts for the verdict: {outcome.stretch.rule}.", class_="caption"
    )
    drawn = (
        tag("figure", tag("h3", one.title), tag("p", one.caption, class_="caption"), one.chart)
        for one in charts(outcome)
    )
    return _section("Over time", shaded, tag("div", drawn, class_="charts"), key_to_moments(outcome))


def _latency_words(outcome: LoadOutcome) -> Markup:
    words = f"Each time begins when its work was due, be that before it could begin; {outcome.stretch.rule}."
    return tag("p", words, class_="caption")


def _percentiles(outcome: LoadOutcome) -> Iterator[Markup]:
    for title, names in (("Requests by percentile", STEP_NAMES), ("Jobs by percentile", JOB_NAMES)):
        chart = percentile_chart({name: outcome.histograms[measure] for measure, name in names.items()})
        if chart is not None:
            yield joined(tag("br"), tag("h3", title), chart)


def _audit(outcome: LoadOutcome) -> Markup:
    report, jobs = outcome.report, outcome.report.jobs
    found = f": {found_text(report.broken)}" if report.broken else ""
    followed = "Every job was followed from its submission to its credit. The books are "
    followed = "No job was taken by the gateway: " if report.verdict is AuditVerdict.EMPTY else followed
    words = tag("p", followed, audit_words(outcome), found, ".")
    told = {
        "submitted": jobs.submitted,
        "claimed": jobs.claimed,
        "times redelivered": jobs.redelivered,
        "executed": jobs.executed,
        "accepted": jobs.accepted,
        "with a result": jobs.answered,
        "credited": jobs.credited,
    }
    totals = ", ".join(f"{'unknown' if count is None else count_text(count)} {name}" for name, count in told.items())
    return _section("Audit", words, tag("p", totals, class_="caption"), audit_table(outcome))


def _generator(outcome: LoadOutcome) -> Markup:
    reasons = outcome.health.reasons
    words = "It fell short: " + "; ".join(reasons) if reasons else "It kept up: what was measured is the gateway's."
    return _section("The generator itself", tag("p", words), health_table(outcome))


def _facts(outcome: LoadOutcome) -> Iterator[tuple[str, Child]]:
    plan, times = outcome.plan, outcome.times
    peak = Population(plan.nodes.curve(plan.duration_s)).peak
    slots = f", {plan.nodes.slots} slots each" if plan.nodes.slots > 1 else ""
    yield "plan", tag("bdi", f"{plan.name}{f' – {plan.description}' if plan.description else ''}")
    yield "gateway", tag("bdi", outcome.gateway)
    yield "begun", clock_text(times.begun_at)
    yield (
        "load",
        f"{duration_text(round(times.load_ended_at - times.begun_at, 1))} of {duration_text(plan.duration_s)} planned",
    )
    yield "then", f"{duration_text(max(0.0, round(times.settled_at - times.load_ended_at, 1)))} to settle and leave"
    yield "nodes", f"{count_text(peak)} at most{slots}, a poll every {duration_text(plan.nodes.poll_cycle_s)}"
    yield "models", tag("bdi", ", ".join(model.name for model in plan.jobs.models))
    yield "engine", _engine(plan)
    lease_s = outcome.values.get("lease")
    yield "lease", "not known" if lease_s is None else duration_text(lease_s)
    yield "seed", str(plan.seed)
    yield from outcome.environment.items()


def _engine(plan: Plan) -> str:
    if not isinstance(plan.engine, Engine):
        return "the real one"
    if isinstance(plan.engine.tokens_per_s, Constant) and not plan.engine.tokens_per_s.value:
        return "synthetic, at once"
    return f"synthetic, about {duration_text(float(f'{plan.engine.mean_s:.2g}'))} a job"


def _terms(facts: Iterator[tuple[str, Child]]) -> Iterator[Markup]:
    for name, value in facts:
        yield joined(tag("dt", name), tag("dd", value))


def _plan(plan: Plan) -> Markup:
    text = json.dumps(plan.model_dump(mode="json", exclude_none=True), indent=2, ensure_ascii=False)
    return tag("details", tag("summary", "The whole plan"), tag("pre", text))


def _footer() -> Markup:
    return tag(
        "footer", "Times are UTC. All that is here, and more, is in report.json, series.csv and jobs.csv beside it."
    )
