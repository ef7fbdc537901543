"""Thresholds are met, missed, or not known."""

from __future__ import annotations

import copy

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.loadtest.thresholds.parser import parse_threshold
from node.loadtest.thresholds.threshold import State
from node.loadtest.thresholds.vocabulary import canonical, percentile_of


@pytest.mark.parametrize(
    ("text", "values", "state"),
    [
        ("p99.poll < 50ms", {"p99.poll": 0.049}, State.PASSED),
        ("p99.poll < 50ms", {"p99.poll": 0.05}, State.FAILED),
        ("p99.poll <= 50ms", {"p99.poll": 0.05}, State.PASSED),
        ("jobs.lost == 0", {"jobs.lost": 0}, State.PASSED),
        ("jobs.lost == 0", {"jobs.lost": 1}, State.FAILED),
        ("jobs.lost != 0", {"jobs.lost": 1}, State.PASSED),
        ("jobs.lost > 0", {"jobs.lost": 1}, State.PASSED),
        ("accepted_rate >= 0.99 * offered", {"accepted_rate": 99.0, "offered": 100.0}, State.PASSED),
        ("accepted_rate >= 0.99 * offered", {"accepted_rate": 98.9, "offered": 100.0}, State.FAILED),
        ("errors.poll < 0.1%", {"errors.poll": 0.0009}, State.PASSED),
        ("errors.poll < 0.1%", {"errors.poll": 0.0011}, State.FAILED),
        ("max.redelivered <= 1.2 * lease", {"max.redelivered": 6.0, "lease": 5.0}, State.PASSED),
        ("accepted_rate > 60/min", {"accepted_rate": 1.1}, State.PASSED),
        ("p50.job - p50.served < (1 + 1) * 1s", {"p50.job": 3.0, "p50.served": 1.5}, State.PASSED),
        ("-p50.job < 0s", {"p50.job": 3.0}, State.PASSED),
    ],
)
def test_a_figure_decides(text: str, values: dict[str, float], state: State) -> None:
    assert parse_threshold(text).evaluate(values).state is state


@pytest.mark.parametrize("values", [{}, {"jobs.lost": None}, {"jobs.lost": float("nan")}, {"jobs.lost": float("inf")}])
@pytest.mark.parametrize("text", ["jobs.lost == 0", "jobs.lost >= 0", "0 * jobs.lost == 0", "jobs.lost == jobs.lost"])
def test_what_is_not_known_is_no_pass(text: str, values: dict[str, float | None]) -> None:
    outcome = parse_threshold(text).evaluate(values)
    assert outcome.state is State.UNKNOWN
    assert outcome.why == "jobs.lost not known"


def test_what_cannot_be_computed_is_unknown() -> None:
    divided = parse_threshold("jobs.lost / jobs.submitted < 1%").evaluate({"jobs.lost": 0, "jobs.submitted": 0})
    assert (divided.state, divided.why) == (State.UNKNOWN, "it divides by zero")
    huge = parse_threshold("jobs.lost * 1e308 < 1").evaluate({"jobs.lost": 1e308})
    assert huge.state is State.UNKNOWN


@given(
    st.dictionaries(
        st.sampled_from(["p99.poll", "lease", "jobs.lost"]),
        st.none() | st.floats(allow_nan=True, allow_infinity=True),
    )
)
def test_judging_never_fails(values: dict[str, float | None]) -> None:
    for text in ("p99.poll / lease < jobs.lost / 2 / jobs.lost", "lease * 1e300 * 1e300 > p99.poll"):
        outcome = parse_threshold(text).evaluate(values)
        assert (outcome.state is State.UNKNOWN) == (outcome.left is None)
        assert str(outcome)


@pytest.mark.parametrize(
    ("text", "values", "words"),
    [
        ("p99.poll < 50ms", {"p99.poll": 0.0732}, "p99.poll < 50ms: failed, 73.2ms > 50ms"),
        ("jobs.lost == 0", {"jobs.lost": 0.0}, "jobs.lost == 0: passed, 0 = 0"),
        ("jobs.lost < 2.5", {"jobs.lost": 2.0}, "jobs.lost < 2.5: passed, 2 < 2.5"),
        ("errors.poll < 0.1%", {"errors.poll": 0.02}, "errors.poll < 0.1%: failed, 2% > 0.1%"),
        ("accepted_rate >= 400/s", {"accepted_rate": 398.25}, "accepted_rate >= 400/s: failed, 398.2/s < 400/s"),
        ("1 < 2", {}, "1 < 2: passed, 1 < 2"),
        ("jobs.lost == 0", {}, "jobs.lost == 0: unknown, jobs.lost not known"),
    ],
)
def test_an_outcome_reads_well(text: str, values: dict[str, float], words: str) -> None:
    assert str(parse_threshold(text).evaluate(values)) == words


def test_a_recorder_learns_which_percentiles_are_wanted() -> None:
    assert percentile_of("p99.9.poll") == (99.9, "poll")
    assert percentile_of("p0.job") == (0.0, "job")
    assert percentile_of("max.poll") is None
    assert percentile_of("jobs.lost") is None
    assert canonical("p100.poll") == "p100.poll"
    assert canonical("p100.5.poll") is None


def test_it_travels_to_other_processes() -> None:
    threshold = parse_threshold("max.redelivered <= 1.2 * lease")
    # By the same protocol as pickle, without its dangers.
    assert copy.deepcopy(threshold) == threshold
