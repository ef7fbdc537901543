"""JUnit XML as CI systems read it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from xml.etree import ElementTree as ET

from node.loadtest.audit.kinds import Kind
from node.loadtest.driver.outcome import LoadOutcome
from node.loadtest.report.junit import junit_xml
from tests.unit.loadtest.report.outcomes import (
    broken,
    every,
    idle,
    outcome_of,
    passed,
    stopped,
    untold,
    void,
)
from tests.unit.loadtest.report.trees import tree


def read(outcome: LoadOutcome) -> ET.Element:
    return tree(junit_xml(outcome))


def results(outcome: LoadOutcome) -> dict[str, str]:
    """What came of each case: the name of its child, empty for success."""
    return {case.attrib["name"]: next((child.tag for child in case), "") for case in read(outcome).iter("testcase")}


@every
def test_its_shape_is_what_readers_expect(make: Callable[[], LoadOutcome]) -> None:
    root = read(make())
    assert root.tag == "testsuites"
    assert {suite.tag for suite in root} == {"testsuite"}
    for element in (root, *root):
        cases = list(element.iter("testcase"))
        assert int(element.attrib["tests"]) == len(cases)
        for name, tag in (("failures", "failure"), ("errors", "error"), ("skipped", "skipped")):
            assert int(element.attrib[name]) == sum(case.find(tag) is not None for case in cases)
        float(element.attrib["time"])
    for suite in root:
        order = [child.tag for child in suite]
        assert order == ["properties", *["testcase"] * (len(order) - 2), "system-out"]
        assert set(suite.attrib) == {"name", "tests", "failures", "errors", "skipped", "time", "timestamp"}
        assert all(one.attrib.keys() == {"name", "value"} for one in suite.iter("property"))
    for case in root.iter("testcase"):
        assert set(case.attrib) == {"classname", "name", "time"}
        assert len(case) <= 1
    assert len([case for case in root.iter("testcase") if case.attrib["classname"].endswith(".audit")]) == len(Kind)


def test_all_is_well() -> None:
    assert set(results(passed()).values()) == {""}


def test_where_there_was_no_job_no_kind_of_the_audit_has_passed() -> None:
    found = results(idle())
    assert {name for name, result in found.items() if result != "skipped"} == {"intrusion", "kept up"}


def test_a_planted_bug_is_a_failure_that_names_its_jobs() -> None:
    outcome = broken()
    assert results(outcome)["lost"] == results(outcome)["double credited"] == "failure"
    text = "".join(read(outcome).itertext())
    assert all(name in text for finding in outcome.report.broken for name in finding.examples[:20])
    planted = [one.attrib["value"] for one in read(outcome).iter("property") if one.attrib["name"] == "sandbox-fault"]
    assert set(planted) == {"lose-result=0.1 double-credit=0.1"}


def test_thresholds_that_are_missed_or_not_judged() -> None:
    found = results(outcome_of())
    assert (found["p50.served < 100ms"], found["p99.renewed < 1s"], found["jobs.lost == 0"]) == ("failure", "error", "")


def test_a_void_run_judges_no_threshold_and_is_an_error() -> None:
    found = results(void())
    assert (found["p50.served < 100ms"], found["p99.renewed < 1s"]) == ("skipped", "skipped")
    assert found["kept up"] == "error"


def test_a_stopped_run_accuses_nobody() -> None:
    found = results(stopped())
    assert (found["p50.served < 100ms"], found["stuck"]) == ("skipped", "skipped")
    assert "failure" not in found.values()


def test_what_is_unknown_is_skipped() -> None:
    found = results(untold())
    assert found.pop("kept up") == ""
    assert set(found.values()) == {"skipped"}


def test_of_many_jobs_the_first_ones_are_named() -> None:
    outcome = broken()
    many = tuple(f"job-{number}" for number in range(100))
    findings = tuple(
        replace(one, count=200, examples=many) if one.kind is Kind.LOST else one for one in outcome.report.findings
    )
    failure = read(replace(outcome, report=replace(outcome.report, findings=findings))).find(
        ".//failure[@message='200 lost']"
    )
    assert failure is not None
    assert failure.text is not None
    assert failure.text.endswith("job-19\nand 180 more")
