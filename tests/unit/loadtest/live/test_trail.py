"""How a run stood, second by second."""

from __future__ import annotations

import pytest

from node.loadtest.driver.run import Phase
from node.loadtest.live.trail import Trail
from tests.unit.loadtest.live.known_run import BEGUN_AT, KnownRun


def followed(run: KnownRun) -> Trail:
    trail = Trail(lambda: run.now)
    run.on_tick(lambda: trail.note(run.standing))
    return trail


def test_before_the_start_there_is_no_trace() -> None:
    run = KnownRun()
    trail = followed(run)
    for _ in range(5):
        run.now += 60
        run.tell()
    assert not trail.series.span
    assert trail.begun_at is None
    run.now = float(BEGUN_AT)
    run.second(1, {})
    assert len(trail.series.span) == 1


def test_levels_fall_into_the_second_that_they_end() -> None:
    run = KnownRun()
    trail = followed(run)
    run.second(1, {})
    run.second(2, {}, queued=7, lag_s=0.03)
    assert trail.begun_at == BEGUN_AT
    assert list(trail.series.span) == list(run.figures.series.span)
    assert trail.series.levels("queued") == [3, 7]
    assert trail.series.maxima("lag_s") == [0.002, 0.03]


def test_a_state_that_nobody_is_in_any_more_has_no_nodes() -> None:
    run = KnownRun()
    trail = followed(run)
    run.second(1, {}, states={"idle": 20})
    run.second(2, {}, states={"crashed": 20})
    assert trail.series.levels("nodes.idle") == [20, 0]
    assert trail.series.levels("nodes.crashed") == [None, 20]


def test_rates_are_of_the_last_second_and_a_change_of_phase_is_none() -> None:
    run = KnownRun()
    trail = followed(run)
    run.second(1, {})
    assert trail.rates == {"offered": 20, "submitted": 20, "accepted": 19}
    run.now += 0.2
    run.become(phase=Phase.SETTLING)
    assert trail.rates["offered"] == 20
    run.now += 1.8
    run.become(offered=60)
    assert trail.rates["offered"] == pytest.approx(20)


def test_who_comes_late_sees_the_mean_first() -> None:
    run = KnownRun()
    for second in range(1, 11):
        run.second(second, {})
    trail = followed(run)
    run.second(11, {})
    assert trail.rates["offered"] == pytest.approx(20)


def test_the_load_has_lasted_until_it_was_over() -> None:
    run = KnownRun()
    trail = followed(run)
    run.second(12, {})
    run.become(phase=Phase.SETTLING, elapsed_s=12.4)
    run.now += 1
    run.become(elapsed_s=13.4)
    assert trail.load_s == 12.4
