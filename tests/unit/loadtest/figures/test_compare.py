"""Twenty comparisons of equal runs call at most one different; a slowdown of 10 % is found."""

from __future__ import annotations

import random

import pytest

from node.loadtest.figures.buckets import FINE
from node.loadtest.figures.compare import Answer, Metric, Run, compare, floors, overall, samples
from node.loadtest.figures.figures import Count, Measure
from node.loadtest.figures.series import Series
from node.loadtest.figures.slices import Slice
from node.loadtest.figures.steady import find_window
from node.loadtest.figures.student import two_sided_t

METRICS = (
    Metric("mean", Measure.POLL),
    Metric("p50", Measure.POLL),
    Metric("p99", Measure.POLL),
    Metric("p99", Measure.JOB),
    Metric("rate", Count.ACCEPTED),
)


def autocorrelated(chance: random.Random, mean: float, spread: float, keep: float, seconds: int = 120) -> list[float]:
    """A first-order autoregressive series with this standard deviation."""
    state, step = chance.gauss(0, spread), spread * (1 - keep**2) ** 0.5
    row = []
    for _ in range(seconds):
        row.append(mean * (1 + state))
        state = keep * state + chance.gauss(0, step)
    return row


def run(chance: random.Random, slower: float = 1.0, keep: float = 0.6) -> Run:
    drift = chance.gauss(1, 0.01)
    spreads = (0.05, 0.04, 0.12, 0.12, 0.03)
    means = (0.002, 0.0018, 0.008, 3.0, 1 / slower**2)
    rows = zip(METRICS, means, spreads, strict=True)
    return {metric.name: autocorrelated(chance, mean * drift * slower, spread, keep) for metric, mean, spread in rows}


@pytest.mark.parametrize("keep", [0.0, 0.6, 0.85])
def test_of_twenty_comparisons_of_equal_runs_at_most_one_is_called_different(keep: float) -> None:
    for group in range(10):
        chance = random.Random(group)
        different = 0
        for _ in range(20):
            answers = compare([run(chance, keep=keep)], [run(chance, keep=keep)], METRICS)
            different += overall(answers) is not Answer.SAME
        assert different <= 1


def test_without_the_margin_the_confidence_holds_too() -> None:
    bare = [Metric(metric.statistic, metric.of, margin=0.0) for metric in METRICS]
    chance = random.Random(7)
    different = 0
    for _ in range(300):
        # No drift between runs: what is left is the error within them, which the interval is to cover.
        sides = [{m.name: autocorrelated(chance, 1.0, 0.1, 0.6) for m in bare} for _ in range(2)]
        different += overall(compare([sides[0]], [sides[1]], bare, confidence=0.95)) is not Answer.SAME
    assert different <= 300 * 0.09


@pytest.mark.parametrize("keep", [0.0, 0.6])
def test_a_slowdown_of_a_tenth_is_found(keep: float) -> None:
    chance = random.Random(3)
    found = sum(
        overall(compare([run(chance, keep=keep)], [run(chance, 1.1, keep=keep)], METRICS)) is Answer.WORSE
        for _ in range(100)
    )
    assert found >= 98


def test_a_speed_up_is_better_and_a_lower_rate_is_worse() -> None:
    chance = random.Random(5)
    by_name = {one.metric: one for one in compare([run(chance, 1.2)], [run(chance)], METRICS)}
    assert by_name["mean.poll"].answer is Answer.BETTER
    assert by_name["rate.accepted"].answer is Answer.BETTER
    assert overall(by_name.values()) is Answer.BETTER
    mean = by_name["mean.poll"]
    assert mean.change is not None
    assert mean.low is not None
    assert mean.high is not None
    assert mean.low < mean.change < mean.high < 0
    worse = compare([run(chance)], [run(chance, 1.2)], METRICS[4:])
    assert worse[0].answer is Answer.WORSE


def test_a_same_that_only_noise_allows_is_not_sharp() -> None:
    chance = random.Random(5)
    loud = [[{"mean.poll": autocorrelated(chance, 1.0, 0.8, 0.5)}] for _ in range(2)]
    calm = [[{"mean.poll": autocorrelated(chance, 1.0, 0.02, 0.5)}] for _ in range(2)]
    assert not compare(loud[0], loud[1], METRICS[:1])[0].is_sharp
    assert compare(calm[0], calm[1], METRICS[:1])[0].is_sharp


def test_several_runs_a_side_show_how_runs_differ() -> None:
    def side(*means: float) -> list[Run]:
        return [{"mean.poll": autocorrelated(random.Random(round(mean * 1000)), mean, 0.01, 0.3)} for mean in means]

    assert compare(side(1.0), side(1.12), METRICS[:1])[0].answer is Answer.WORSE
    assert compare(side(1.0, 1.2, 0.9), side(1.12, 1.3, 1.0), METRICS[:1])[0].answer is Answer.SAME
    assert compare(side(1.0, 1.01, 0.99), side(1.12, 1.13, 1.11), METRICS[:1])[0].answer is Answer.WORSE


def test_repetitions_of_one_side_tell_of_the_other() -> None:
    """By itself each run is calm, and yet runs differ by a tenth: one more that does is nothing new."""

    def runs(*means: float) -> list[Run]:
        return [{"mean.poll": autocorrelated(random.Random(round(mean * 1000)), mean, 0.01, 0.3)} for mean in means]

    assert compare(runs(1.0), runs(1.1), METRICS[:1])[0].answer is Answer.WORSE
    assert compare(runs(1.0, 1.1, 0.95), runs(1.15), METRICS[:1])[0].answer is Answer.SAME
    assert compare(runs(1.0, 1.1, 0.95, 1.03), runs(3.0), METRICS[:1])[0].answer is Answer.WORSE


def test_a_change_below_what_the_generator_can_tell_is_none() -> None:
    fast, slow = ({"mean.poll": [seconds] * 40, "rate.accepted": [seconds] * 40} for seconds in (0.001, 0.002))

    def answer(metric: Metric, **floor: float) -> Answer:
        return compare([fast], [slow], [metric], floor=floor)[0].answer

    assert answer(METRICS[0], mean=0.0009) is Answer.WORSE
    assert answer(METRICS[0], mean=0.0011) is Answer.SAME
    assert answer(METRICS[4], rate=1.0) is Answer.BETTER


def test_the_floors_are_twice_the_lateness_of_the_generator() -> None:
    series = Series()
    for second in range(60):
        series.count(Count.ACCEPTED, 1000 + second, 5)
        series.latencies(Measure.LATENESS, 1000 + second, Slice.of({FINE.index(1000): 50, FINE.index(9000): 50}))
    window = find_window({"rate": series.rates(Count.ACCEPTED)})
    found = floors(series, window)
    assert found["mean"] == pytest.approx(0.010, rel=0.02)
    assert found["p50"] == pytest.approx(0.002, rel=0.02)
    assert found["p99"] == pytest.approx(0.018, rel=0.02)
    assert floors(Series(), window) == {}


def test_too_little_is_unknown() -> None:
    short: Run = {"mean.poll": [1.0] * 9}
    whole: Run = {"mean.poll": [1.0] * 40}
    (answer,) = compare([short], [whole], METRICS[:1])
    assert (answer.answer, answer.baseline, answer.candidate) == (Answer.UNKNOWN, None, 1.0)
    assert compare([whole], [{}], METRICS[:1])[0].answer is Answer.UNKNOWN
    assert compare([{"mean.poll": [0.0] * 40}], [whole], METRICS[:1])[0].answer is Answer.UNKNOWN
    assert overall([answer]) is Answer.UNKNOWN


def test_runs_without_any_noise_are_compared_too() -> None:
    flat: Run = {"mean.poll": [1.0] * 40}
    assert compare([flat], [flat], METRICS[:1])[0].answer is Answer.SAME
    assert compare([flat], [{"mean.poll": [1.2] * 40}], METRICS[:1])[0].answer is Answer.WORSE


def test_failures_are_better_fewer() -> None:
    assert Metric("rate", Count.POLL_FAILED).is_better_lower
    assert not Metric("rate", Count.ACCEPTED).is_better_lower
    assert Metric("p99", Measure.POLL).is_better_lower
    assert not Metric("rate", Measure.POLL).is_better_lower


def test_samples_are_the_seconds_of_the_window() -> None:
    series = Series()
    for second in range(60):
        series.count(Count.ACCEPTED, 1000 + second, 5 if second > 10 else 0)
        series.latencies(Measure.POLL, 1000 + second, Slice.of({FINE.index(1000): 99, FINE.index(9000): 1}))
    window = find_window({"rate": series.rates(Count.ACCEPTED)})
    rows = samples(series, window, METRICS)
    assert rows["rate.accepted"] == [5.0] * (window.end - window.start)
    assert rows["p50.poll"][0] == pytest.approx(0.001, rel=0.01)
    assert rows["mean.poll"][0] == pytest.approx(0.00108, rel=0.01)
    assert rows["p99.submitted_accepted"] == []


@pytest.mark.parametrize(
    ("level", "freedom", "value"),
    [
        (0.05, 10, 2.2281), (0.05, 3, 3.1824), (0.01, 5, 4.0321), (0.01, 30, 2.7500),
        (0.002, 19, 3.5794), (0.05, 1000, 1.9623), (0.001, 4, 8.6103), (0.8, 10, 0.2602),
    ],
)  # fmt: skip
def test_the_quantiles_are_those_of_the_tables(level: float, freedom: float, value: float) -> None:
    assert two_sided_t(level, freedom) == pytest.approx(value, rel=2e-3)


def test_few_degrees_of_freedom_and_many() -> None:
    assert two_sided_t(0.05, 1.0) == two_sided_t(0.05, 2.5) > 3.1
    assert two_sided_t(0.05, 1e9) == pytest.approx(1.95996, rel=1e-4)
