"""The warm-up is cut off by the rule, and no steady state is made up."""

from __future__ import annotations

import random

import pytest

from node.loadtest.figures.steady import Window, find_window


def noisy(levels: list[float], seed: int = 1, sigma: float = 3.0) -> list[float]:
    chance = random.Random(seed)
    return [chance.gauss(level, sigma) for level in levels]


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("warm_up", [10, 25, 40])
def test_a_ramp_is_cut_off_and_little_else(seed: int, warm_up: int) -> None:
    row = noisy([100 * second / warm_up for second in range(warm_up)] + [100.0] * 120, seed)
    window = find_window({"rate": row})
    assert window.is_steady
    assert warm_up - 8 <= window.start <= warm_up + 60
    assert sum(window.of(row)) / len(window.of(row)) == pytest.approx(100, rel=0.02)


@pytest.mark.parametrize("seed", range(20))
def test_a_queue_that_grows_to_the_end_is_not_steady(seed: int) -> None:
    window = find_window({"depth": noisy([10.0 * second for second in range(120)], seed)})
    assert not window.is_steady
    assert "no steady state of depth" in window.rule
    assert (window.start, window.end) == (0, 120)


def test_a_run_that_begins_steady_loses_little() -> None:
    cuts = [find_window({"rate": noisy([100.0] * 120, seed)}).start for seed in range(50)]
    assert sum(cuts) / len(cuts) < 25


def test_the_window_begins_where_the_last_has_settled_and_keeps_within_the_plan() -> None:
    early, late = noisy([0.0] * 10 + [100.0] * 110), noisy([0.0] * 50 + [50.0] * 70)
    window = find_window({"early": early, "late": late}, start=5, end=115)
    assert window.is_steady
    assert window.start >= 50
    assert window.end == 115
    assert window.rule.startswith("MSER-5 (White 1997)")
    assert "the last to settle was late" in window.rule


def test_a_short_run_has_no_steady_state() -> None:
    window = find_window({"rate": [1.0] * 29})
    assert not window.is_steady
    assert "25 values are too few, 30 are needed" in window.rule
    assert not find_window({"rate": []}).is_steady


def test_missing_values_count_as_those_before_and_are_left_out_of_the_rest() -> None:
    row: list[float | None] = [None, None, *[5.0, None] * 30]
    assert find_window({"rate": row}).is_steady
    assert Window(0, 4, is_steady=True, rule="").of(row) == [5.0]


def test_an_even_run_is_steady_from_its_beginning() -> None:
    assert find_window({"rate": [7.0] * 60}).start == 0
