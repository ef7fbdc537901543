"""When jobs arrive, and what they ask for."""

from __future__ import annotations

import itertools
import math
import tracemalloc
from pathlib import Path
from statistics import correlation, fmean, variance
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from node.loadtest.plan.curve import Segment
from node.loadtest.plan.scenario import Schedule, Shard
from node.loadtest.plan.trace import TraceJob
from tests.unit.loadtest.plan.plans import schedule

DURATION_S = 60.0

rates = st.integers(0, 40)
starts = st.floats(0, 50).map(lambda value: round(value, 1))
lengths = st.floats(0.1, 10).map(lambda value: round(value, 1))
streams = st.lists(
    st.fixed_dictionaries(
        {"kind": st.sampled_from(["constant", "poisson"]), "rate": rates, "at_s": starts}, optional={"for_s": lengths}
    )
    | st.fixed_dictionaries(
        {"kind": st.just("ramp"), "from": rates, "to": rates, "pattern": st.sampled_from(["even", "poisson"])},
        optional={"at_s": starts, "for_s": lengths},
    )
    | st.fixed_dictionaries({"kind": st.just("burst"), "count": st.integers(1, 50)}, optional={"over_s": lengths}),
    max_size=4,
)


def of(*arrivals: dict[str, Any], shard: Shard | None = None, seed: int = 1, **jobs: Any) -> Schedule:
    return schedule(shard, seed=seed, jobs={"arrivals": list(arrivals), **jobs})


@settings(max_examples=60)
@given(streams, st.integers(1, 6))
def test_shards_are_disjoint_and_together_the_whole(arrivals: list[dict[str, Any]], count: int) -> None:
    whole = list(of(*arrivals).arrivals())
    assert [job.number for job in whole] == list(range(len(whole)))
    assert [job.at_s for job in whole] == sorted(job.at_s for job in whole)
    assert all(0 <= job.at_s <= DURATION_S and job.max_output >= 1 and job.prompt_tokens >= 1 for job in whole)
    parts = [list(of(*arrivals, shard=Shard(index, count)).arrivals()) for index in range(count)]
    assert sorted(job for part in parts for job in part) == sorted(whole)


@settings(max_examples=60)
@given(streams, st.floats(0, DURATION_S), st.floats(0, DURATION_S))
def test_as_many_arrive_as_the_rate_s_integral_says(
    arrivals: list[dict[str, Any]], first: float, second: float
) -> None:
    from_s, to_s = sorted((first, second))
    plan = of(*arrivals)
    expected = plan.jobs.expected(from_s, to_s)
    count = sum(from_s <= job.at_s < to_s for job in plan.arrivals())
    # Six standard deviations of a Poisson count, and a job at either end of each stream.
    assert abs(count - expected) <= 6 * math.sqrt(expected + 1) + 2 * len(arrivals) + 2


@given(st.integers(0, 1000), st.integers(0, 1000), st.floats(0.5, 100), st.floats(0, 1))
def test_a_line_s_area_leads_back_to_its_time(begin: float, end: float, length_s: float, share: float) -> None:
    segment = Segment(3.0, 3.0 + length_s, begin, end)
    at_s = segment.time_of_area(share * segment.area)
    assert segment.area_until(at_s) == pytest.approx(share * segment.area, rel=1e-6, abs=1e-6)


def test_even_arrivals_are_exact() -> None:
    jobs = list(of({"kind": "constant", "rate": "2/s", "at": "1s", "for": "3s"}).arrivals())
    assert [job.at_s for job in jobs] == pytest.approx([1.25, 1.75, 2.25, 2.75, 3.25, 3.75])
    ramp = list(of({"kind": "ramp", "to": "8/s", "pattern": "even", "for": "4s"}).arrivals())
    assert len(ramp) == 16
    assert sum(job.at_s < 2 for job in ramp) == 4


def test_poisson_gaps_are_exponential_and_counts_vary_as_their_average() -> None:
    times = [job.at_s for job in of({"kind": "poisson", "rate": 500}).arrivals()]
    gaps = [later - earlier for earlier, later in itertools.pairwise(times)]
    assert len(times) == pytest.approx(30_000, rel=0.03)
    assert fmean(gaps) == pytest.approx(1 / 500, rel=0.03)
    assert sum(gap > 2 / 500 for gap in gaps) / len(gaps) == pytest.approx(math.exp(-2), rel=0.05)
    counts = [sum(1 for _ in group) for _, group in itertools.groupby(times, key=lambda at_s: int(at_s * 10))]
    assert variance(counts) / fmean(counts) == pytest.approx(1, abs=0.2)


def test_a_seed_decides_everything() -> None:
    stream = {"kind": "poisson", "rate": 50}
    shapes = {"max_output": {"kind": "uniform", "low": 10, "high": 90}, "models": [{"name": "a"}, {"name": "b"}]}
    first, again, other = (list(of(stream, seed=seed, **shapes).arrivals()) for seed in (1, 1, 2))
    assert first == again
    assert [job.at_s for job in first[:20]] != [job.at_s for job in other[:20]]
    assert fmean(job.max_output for job in first) == pytest.approx(50, rel=0.05)


def test_models_are_asked_for_by_their_weights() -> None:
    models = [{"name": "often", "weight": 3}, {"name": "seldom", "weight": 1}]
    jobs = list(of({"kind": "constant", "rate": 200}, models=models).arrivals())
    assert sum(job.model == "often" for job in jobs) / len(jobs) == pytest.approx(0.75, abs=0.02)


def test_what_jobs_ask_for_is_independent() -> None:
    shape = {"kind": "uniform", "low": 1, "high": 1000}
    models = [{"name": "a"}, {"name": "b"}]
    stream = {"kind": "constant", "rate": 50}
    jobs = list(of(stream, prompt_tokens=shape, max_output=shape, models=models).arrivals())
    draws = [(job.prompt_tokens, job.max_output, 1000.0 * (job.model == "a")) for job in jobs]
    for first, second in itertools.combinations(zip(*draws, strict=True), 2):
        assert abs(correlation(first, second)) < 0.1


def test_bursts_come_at_once_or_over_a_time() -> None:
    jobs = list(
        of(
            {"kind": "burst", "count": 3, "at": "5s"}, {"kind": "burst", "count": 2, "at": "4s", "over": "4s"}
        ).arrivals()
    )
    assert [job.at_s for job in jobs] == [5.0, 5.0, 5.0, 5.0, 7.0]


def test_a_million_jobs_take_no_space() -> None:
    plan = of({"kind": "poisson", "rate": 20_000}, {"kind": "burst", "count": 1_000_000, "at": "1s"})
    tracemalloc.start()
    try:
        assert sum(1 for _ in itertools.islice(plan.arrivals(), 20_000)) == 20_000
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
    finally:
        tracemalloc.stop()


TRACE = Path("trace.jsonl")
RECORDED = (
    TraceJob(0.0, "a", 64, 9),
    TraceJob(1.0, "b"),
    TraceJob(4.0, "a", 1, 0),
    TraceJob(100.0, "a"),
)


def replay(**more: Any) -> Schedule:
    stream = {"kind": "replay", "file": "trace.jsonl", "at": "10s", **more}
    return schedule(traces={TRACE: RECORDED}, jobs={"arrivals": [stream], "max_output": 7})


def test_a_trace_is_replayed_at_its_times() -> None:
    jobs = [(job.at_s, job.model, job.max_output, job.prompt_tokens) for job in replay().arrivals()]
    assert jobs == [(10.0, "a", 64, 9), (11.0, "b", 7, 20), (14.0, "a", 1, 1)]
    assert [job.at_s for job in replay(speed=2.0).arrivals()] == [10.0, 10.5, 12.0, 60.0][:3]
    assert [job.at_s for job in replay(**{"for": "2s"}).arrivals()] == [10.0, 11.0]


def test_what_is_expected_of_a_trace_is_what_is_in_it() -> None:
    assert [replay().jobs.expected(*span) for span in ((0, 60), (0, 10), (10, 11), (10, 11.5), (20, 60))] == [
        3,
        0,
        1,
        2,
        0,
    ]
    assert replay(**{"for": "2s"}).jobs.expected(0, 60) == 2
