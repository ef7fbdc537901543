"""The fit tells a rise from noise, and says when it cannot."""

from __future__ import annotations

import random

import pytest

from tests.soak.slope import fit

HOUR = [float(second) for second in range(0, 3600, 2)]


def series(per_hour: float, noise: float, spikes: float = 0.0, seed: int = 1) -> list[float]:
    chance = random.Random(seed)
    return [
        60 + per_hour * at / 3600 + chance.gauss(0, noise) + (spikes if chance.random() < 0.02 else 0) for at in HOUR
    ]


@pytest.mark.parametrize("per_hour", [-3.0, 0.0, 0.5, 1.0, 2.0, 30.0])
@pytest.mark.parametrize("seed", range(5))
def test_the_slope_is_found_under_noise_and_spikes(per_hour: float, seed: int) -> None:
    slope = fit(HOUR, series(per_hour, 0.5, spikes=40.0, seed=seed))
    assert slope is not None
    assert slope.low - 0.05 <= per_hour <= slope.high + 0.05
    assert slope.per_hour == pytest.approx(per_hour, abs=0.2)


def test_a_single_step_is_no_slope_but_stairs_are() -> None:
    step = fit(HOUR, [60.0 if at < 300 else 61.0 for at in HOUR])
    stairs = fit(HOUR, [60.0 + at // 360 for at in HOUR])
    assert step is not None
    assert stairs is not None
    assert step.per_hour == 0
    assert stairs.low > 8


def test_little_time_gives_a_wide_interval_and_less_gives_none() -> None:
    short = fit(HOUR[:60], series(0, 0.5)[:60])
    assert short is not None
    assert short.high - short.low > 5
    assert fit(HOUR[:4], series(0, 0.5)[:4]) is None
    assert fit([], []) is None
