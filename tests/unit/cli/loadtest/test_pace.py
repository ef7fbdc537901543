"""What happened in the last second."""

from __future__ import annotations

import pytest

from node.cli.loadtest.pace import Pace
from node.loadtest.driver.run import Phase
from node.loadtest.figures.figures import Measure
from tests.unit.cli.loadtest.watched import AT, Shown


def test_rates_are_of_the_time_since_the_last_look() -> None:
    run, pace = Shown(), Pace(2)
    run.stand(phase=Phase.LOAD, elapsed_s=1.0, offered=10, submitted=9, accepted=8)
    assert pace.take(run, 101.0, AT)
    run.stand(elapsed_s=3.0, offered=30, submitted=19, accepted=8)
    assert pace.take(run, 103.0, AT)
    first, second = pace.seconds
    assert (first.offered_per_s, first.submitted_per_s, first.accepted_per_s) == (10, 9, 8)
    assert (second.offered_per_s, second.submitted_per_s, second.accepted_per_s) == (10, 5, 0)


def test_a_change_of_phase_makes_no_second() -> None:
    run, pace = Shown(), Pace(5)
    run.stand(phase=Phase.LOAD, offered=10)
    assert pace.take(run, 101.0, AT)
    run.stand(phase=Phase.SETTLING, offered=12)
    assert not pace.take(run, 101.1, AT)
    assert pace.take(run, 102.0, AT)
    assert [second.offered_per_s for second in pace.seconds] == [10, 2]
    run.stand(phase=Phase.OVER)
    assert not pace.take(run, 105.0, AT)


def test_latencies_are_those_of_the_last_second_that_has_any() -> None:
    run, pace = Shown(), Pace(5)
    run.measured(0, Measure.POLL, *[0.010] * 99, 0.5, 0.5)
    pace.take(run, 101.0, AT)
    run.measured(1, Measure.JOB, 2.0)
    pace.take(run, 102.0, AT)
    first, second = (one.latencies_s for one in pace.seconds)
    assert first["poll", 50.0] == pytest.approx(0.010, rel=0.02)
    assert first["poll", 99.0] == pytest.approx(0.5, rel=0.02)
    assert first["job", 99.0] is None
    assert (second["poll", 50.0], second["job", 50.0]) == (None, pytest.approx(2.0, rel=0.02))


def test_marks_have_the_times_of_the_plan() -> None:
    run, pace = Shown(), Pace()
    run.stand(phase=Phase.LOAD, elapsed_s=13.0)
    run.mark(12.4, "kill 10%")
    pace.take(run, 113.0, AT + 13.0)
    run.stand(elapsed_s=14.0)
    run.mark(13.9, "over")
    # The machine's clock has been set.
    pace.take(run, 114.0, AT + 5000.0)
    run.stand(is_paused=True, elapsed_s=14.2)
    run.mark(14.2, "paused")
    pace.take(run, 114.2, AT + 20.0)
    assert pace.marks == [(pytest.approx(12.4), "kill 10%"), (12.0, "over"), (14.2, "paused")]
