"""Where values lie, and what is written at an axis."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.loadtest.report.axis import from_zero, of_time, powers_of_ten


@given(st.lists(st.floats(0, 1e12), max_size=5))
def test_an_axis_from_zero_holds_all_values_and_has_few_ticks(values: list[float]) -> None:
    axis = from_zero(values)
    assert 2 <= len(axis.ticks()) <= 6
    assert axis.ticks()[0] == 0
    assert all(value <= axis.high * (1 + 1e-9) for value in values)
    assert [axis.place(tick) for tick in (axis.low, axis.high)] == [0, 1]


def test_steps_are_round() -> None:
    assert from_zero([23]).ticks() == [0, 5, 10, 15, 20, 25]
    assert from_zero([0.3]).ticks() == pytest.approx([0, 0.1, 0.2, 0.3])
    assert from_zero([]).ticks() == pytest.approx([0, 0.2, 0.4, 0.6, 0.8, 1])


def test_powers_of_ten_reach_around_all_that_is_above_the_least() -> None:
    axis = powers_of_ten([0.0, 3e-6, 0.02, 4.0], 1e-4)
    assert axis.ticks() == pytest.approx([1e-4, 1e-3, 1e-2, 0.1, 1, 10])
    assert axis.place(0.0) == 0
    assert axis.place(1e-9) == 0
    assert axis.place(0.1) == pytest.approx(3 / 5)
    assert axis.place(1e9) == 1


def test_equal_values_have_room() -> None:
    assert powers_of_ten([1.0], 1e-4).ticks() == [1, 10]
    assert powers_of_ten([], 1e-3).ticks() == pytest.approx([1e-3, 1e-2])


@pytest.mark.parametrize(
    ("until", "ticks"),
    [(0.0, [0, 1]), (35.0, [0, 10, 20, 30]), (300.0, [0, 60, 120, 180, 240, 300]), (1e6, [0, 86400, 172800])],
)
def test_times_are_counted_as_people_do(until: float, ticks: list[float]) -> None:
    assert of_time(0.0, until).ticks()[:3] == ticks[:3]
