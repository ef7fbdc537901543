"""Verdicts in a sentence, figures in three digits."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from node.loadtest.driver.outcome import LoadOutcome
from node.loadtest.report.wording import (
    amount_text,
    clock_text,
    count_text,
    iso_text,
    latency_text,
    tick_text,
    verdict_sentence,
    why_unknown,
)
from tests.unit.loadtest.report.outcomes import broken, idle, outcome_of, passed, stopped, untold, void


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, "–"),
        (float("nan"), "–"),
        (0.0, "0"),
        (3e-6, "3 µs"),
        (0.00094, "940 µs"),
        (0.0009996, "1.00 ms"),
        (0.00147, "1.47 ms"),
        (0.0314, "31.4 ms"),
        (0.151, "151 ms"),
        (0.9996, "1.00 s"),
        (5.738, "5.74 s"),
        (95.04, "95.0 s"),
        (3600.0, "3600 s"),
    ],
)
def test_latencies(seconds: float | None, text: str) -> None:
    assert latency_text(seconds).replace("\u00a0", " ") == text


def test_other_figures() -> None:
    assert [tick_text(at).replace("\u00a0", " ") for at in (1e-5, 0.01, 10.0)] == ["10 µs", "10 ms", "10 s"]
    assert count_text(1234567) == "1\u202f234\u202f567"
    assert (amount_text(1500), amount_text(0.25)) == ("1\u202f500", "0.25")
    assert clock_text(1_700_000_000) == "2023-11-14 22:13:20 UTC"
    assert iso_text(1_700_000_000.25) == "2023-11-14T22:13:20.250Z"


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (passed, "all 2 thresholds are met. The audit of 100 jobs found nothing wrong."),
        (idle, "the plan sets no thresholds. No job was taken by the gateway: nothing to audit."),
        (broken, "found something wrong: "),
        (broken, " lost, "),
        (broken, " double credited, and 3 of 5 thresholds are not met."),
        (outcome_of, "2 of 5 thresholds are not met. The audit of 100 jobs"),
        (void, "so its figures say nothing of the gateway: the event loop was late by"),
        (void, "a defect of this program: submit: KeyError"),
        (stopped, "ended before its time"),
        (
            untold,
            "the plan sets no thresholds. The audit found nothing wrong, but could not tell whether jobs were lost.",
        ),
    ],
)
def test_a_verdict_says_why(make: Callable[[], LoadOutcome], words: str) -> None:
    assert words in verdict_sentence(make())


def test_what_is_unknown_has_a_reason() -> None:
    outcome = untold()
    reasons = {finding.kind.label: why_unknown(finding, outcome) for finding in outcome.report.findings}
    assert all(reasons.values())
    assert reasons["orphaned"] == "the gateway's lease is not known"
    assert "credited" in reasons["double_credited"]
