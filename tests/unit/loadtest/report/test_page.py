"""The page: whole, alone, safe, and saying what matters first."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Callable
from html.parser import HTMLParser

from node.loadtest.audit.kinds import Kind
from node.loadtest.driver.outcome import LoadOutcome
from node.loadtest.report.page import page
from tests.unit.loadtest.report.outcomes import (
    broken,
    compared,
    every,
    failing,
    hostile,
    idle,
    outcome_of,
    passed,
    untold,
    void,
)

VOID = {"meta", "br", "hr", "col"}


class Checker(HTMLParser):
    """Sees that elements end where they should, and what there is that a page may not have."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: set[str] = set()
        self.attributes: list[tuple[str, str]] = []
        self.texts: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes += [(name, value or "") for name, value in attrs]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] != "style":
            self.texts.append(data)


def checked(html: str) -> Checker:
    checker = Checker()
    checker.feed(html)
    checker.close()
    assert checker.open == []
    return checker


def words(outcome: LoadOutcome) -> str:
    return " ".join(" ".join(checked(page(outcome)).texts).split())


@every
def test_it_is_well_formed_and_needs_nothing_else(make: Callable[[], LoadOutcome]) -> None:
    found = checked(page(make()))
    assert not found.tags & {"script", "img", "link", "iframe", "object", "a", "form", "base", "use"}
    names = {name.lower() for name, _ in found.attributes}
    assert not {name for name in names if name.startswith("on")} | (names & {"src", "href", "style", "action"})


@every
def test_its_policy_allows_its_own_style_alone(make: Callable[[], LoadOutcome]) -> None:
    html = page(make())
    policy = dict(checked(html).attributes)["content"]
    assert "Content-Security-Policy" in html
    policies = [value for name, value in checked(html).attributes if name == "content" and "default-src" in value]
    assert policies
    assert policy
    style = re.search("<style>(.*?)</style>", html, re.DOTALL)
    assert style is not None
    digest = base64.b64encode(hashlib.sha256(style[1].encode()).digest()).decode()
    assert policies == [f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"]
    assert html.index("Content-Security-Policy") < html.index("<style>")
    assert html.count("<style") == 1
    assert "url(" not in style[1]
    assert "@import" not in style[1]


def test_hostile_names_are_shown_and_do_nothing() -> None:
    html = page(hostile())
    assert "<script" not in html
    assert "<img" not in html
    assert "\x00" not in html
    html.encode("utf-8")
    shown = '"><script>alert(1)</script><img src=x onerror=alert(2)>&'
    assert words(hostile()).count(shown) >= 10


def test_the_verdict_comes_first_with_what_was_planted() -> None:
    text = words(broken())
    assert text.index("Failed:") < text.index("Planted into the sandbox on purpose: lose-result=0.1 double-credit=0.1")
    assert text.index("Planted") < text.index("Thresholds") < text.index("Over time") < text.index("What was run")
    assert f"{broken().report.count(Kind.LOST)} lost" in text


def test_every_kind_is_defined_and_accused_jobs_are_named() -> None:
    outcome = broken()
    text = words(outcome)
    for kind in Kind:
        assert " ".join(kind.meaning.split()) in text
    for finding in outcome.report.broken:
        assert finding.examples
        assert all(name in text for name in finding.examples)


def test_what_is_unknown_reads_unknown_with_its_reason() -> None:
    text = words(untold())
    assert text.count("Unknown: ") == len(Kind)
    assert "Unknown: the gateway's lease is not known." in text
    assert "unknown have a result" in text
    assert "lease not known" in text


def test_thresholds_stand_with_what_was_measured() -> None:
    text = words(outcome_of())
    assert re.search(r"p50\.served < 100ms 50\d(\.\d)?ms < 100ms ✗ missed", text)
    assert "p99.renewed < 1s p99.renewed not known – < – ? unknown" in text
    assert "jobs.lost == 0 0 == 0 ✓ met" in text


def test_a_generator_that_fell_behind_says_so() -> None:
    text = words(void())
    assert "Void: the generator fell short" in text
    assert "event loop late, p99 200ms ≤ 50ms ✗ beyond" in text
    assert "? not watched" in text


def test_figures_of_latencies_are_those_of_the_histograms() -> None:
    text = words(passed())
    assert re.search(r"claimed to accepted 100 50\d ms 50\d ms", text)
    assert "poll that brought a job 100" in text
    assert "crash to redelivered" not in text


def test_failures_have_their_own_times() -> None:
    text = words(failing())
    assert re.search(r"submit that failed \d\d \d", text)
    assert "poll that failed" not in text


def test_where_there_was_no_job_there_is_nothing_to_audit() -> None:
    text = words(idle())
    assert "No job was taken by the gateway: nothing to audit ." in text.replace("audit.", "audit .")
    assert "The books are" not in text


def test_a_comparison_is_shown_metric_by_metric() -> None:
    text = words(compared())
    assert "Against earlier runs Worse than the baseline. Baseline: before" in text
    assert "p99.poll 10.0 ms 20.0 ms +100 % +80 % to +120 % worse" in text
    assert "accepted_rate 20/s 19.9/s -0.5 % -20 % to +19 % too noisy to tell" in text
    assert "mean.result 10.0 ms 10.0 ms 0 % -1 % to +1 % the same" in text
    assert "p99.job – – – – too little data" in text
    assert "another plan: duration_s" in text
    assert "Against earlier runs" not in words(passed())
