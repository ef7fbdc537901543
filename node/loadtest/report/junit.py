"""The verdict as JUnit XML, which CI systems show: a case for each threshold, each kind of the audit, the generator.

There is no standard; this is the common part of what Jenkins, GitLab and GitHub's actions read. A kind that could not
be told is skipped, and so are thresholds of a run whose figures are not judged; a threshold that could not be judged is
an error, since the run then fails.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final
from xml.etree import ElementTree as ET

from node.loadtest.audit.kinds import Kind
from node.loadtest.audit.report import AuditVerdict, Finding
from node.loadtest.driver.outcome import LoadOutcome
from node.loadtest.driver.verdict import Verdict
from node.loadtest.report.markup import plain
from node.loadtest.report.wording import iso_text, kind_name, verdict_sentence, why_unknown
from node.loadtest.thresholds.threshold import Outcome, State

_MOST_IDS: Final = 20
_SUITES: Final = "loadtest"
_UNJUDGED: Final = {
    Verdict.VOID: "void: the generator fell short",
    Verdict.STOPPED: "stopped before its time: not judged",
}

SIGNATURE: Final = f"<?xml version='1.0' encoding='utf-8'?>\n<testsuites name=\"{_SUITES}\""
"""What every such file begins with."""


@dataclass(frozen=True, slots=True)
class _Case:
    """``result`` is ``failure``, ``error`` or ``skipped``, empty for success."""

    name: str
    result: str = ""
    message: str = ""
    text: str = ""


def junit_xml(outcome: LoadOutcome) -> str:
    """The document."""
    load_s = outcome.times.settled_at - outcome.times.begun_at
    suites = {
        "thresholds": [_threshold(one, _UNJUDGED.get(outcome.verdict, "")) for one in outcome.outcomes],
        "audit": [_kind(one, outcome) for one in outcome.report.findings],
        "generator": [_generator(outcome)],
    }
    every = [case for suite in suites.values() for case in suite]
    root = ET.Element("testsuites", {"name": _SUITES, **_totals(every, load_s)})
    for number, (name, cases) in enumerate(suites.items()):
        # The whole run's time once, or sums over suites would be wrong.
        attributes = _totals(cases, load_s if number == 0 else 0.0)
        suite = ET.SubElement(root, "testsuite", {"name": plain(f"{outcome.plan.name}: {name}"), **attributes})
        suite.set("timestamp", iso_text(outcome.times.begun_at).rstrip("Z"))
        _describe(suite, outcome)
        for case in cases:
            _add(suite, case, f"{outcome.plan.name}.{name}")
        ET.SubElement(suite, "system-out").text = plain(f"{outcome.verdict.value}: {verdict_sentence(outcome)}")
    ET.indent(root)
    document: bytes = ET.tostring(root, encoding="utf-8", xml_declaration=True)
    return document.decode("utf-8") + "\n"


def _threshold(outcome: Outcome, unjudged: str) -> _Case:
    name = str(outcome.threshold)
    if outcome.state is State.PASSED:
        return _Case(name)
    if unjudged:
        return _Case(name, "skipped", unjudged)
    if outcome.state is State.UNKNOWN:
        return _Case(name, "error", f"could not be judged: {outcome.why}", str(outcome))
    return _Case(name, "failure", str(outcome), str(outcome))


def _kind(finding: Finding, outcome: LoadOutcome) -> _Case:
    name = kind_name(finding.kind)
    if finding.count is None:
        return _Case(name, "skipped", f"unknown: {why_unknown(finding, outcome)}")
    if not finding.count:
        is_empty = outcome.report.verdict is AuditVerdict.EMPTY and not finding.judged
        return _Case(name, "skipped", outcome.report.verdict.words) if is_empty else _Case(name)
    if outcome.verdict is Verdict.STOPPED and finding.kind is Kind.STUCK:
        return _Case(name, "skipped", f"{finding.count} were open when the run was stopped, which accuses nobody")
    left = finding.count - _MOST_IDS
    more = [f"and {left} more"] if left > 0 else []
    text = "\n".join([finding.kind.meaning, "", *finding.examples[:_MOST_IDS], *more])
    return _Case(name, "failure", f"{finding.count} {name}", text)


def _generator(outcome: LoadOutcome) -> _Case:
    reasons = [*outcome.health.reasons, *(f"a defect of this program: {defect}" for defect in outcome.defects)]
    if reasons:
        return _Case("kept up", "error", f"void: {'; '.join(reasons)}", "\n".join(reasons))
    return _Case("kept up")


def _totals(cases: Iterable[_Case], time_s: float) -> dict[str, str]:
    results = [case.result for case in cases]
    return {
        "tests": str(len(results)),
        "failures": str(results.count("failure")),
        "errors": str(results.count("error")),
        "skipped": str(results.count("skipped")),
        "time": f"{time_s:.3f}",
    }


def _describe(suite: ET.Element, outcome: LoadOutcome) -> None:
    properties = ET.SubElement(suite, "properties")
    told = {
        "verdict": outcome.verdict.value,
        "gateway": outcome.gateway,
        "seed": str(outcome.plan.seed),
        **({"sandbox-fault": " ".join(outcome.bugs)} if outcome.bugs else {}),
        **outcome.environment,
    }
    for name, value in told.items():
        ET.SubElement(properties, "property", name=name, value=plain(value))


def _add(suite: ET.Element, case: _Case, classname: str) -> None:
    element = ET.SubElement(suite, "testcase", classname=plain(classname), name=plain(case.name), time="0")
    if case.result:
        found = ET.SubElement(element, case.result, message=plain(case.message))
        if case.result != "skipped":
            found.set("type", "void" if case.message.startswith("void") else classname.rpartition(".")[2])
            found.text = plain(case.text)
