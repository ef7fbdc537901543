"""Durations, rates and shares as people write them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.loadtest.plan.quantities import (
    duration_text,
    number_text,
    parse_duration_s,
    parse_rate_per_s,
    parse_share,
    rate_text,
    share_text,
)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90s", 90),
        ("1m30s", 90),
        ("1.5min", 90),
        ("250ms", 0.25),
        ("2h 5m", 7500),
        ("40us", 40e-6),
        ("40µs", 40e-6),
        ("1e3 ms", 1),
        ("0s", 0),
    ],
)
def test_durations(text: str, seconds: float) -> None:
    assert parse_duration_s(text) == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["", "90", "s", "1x", "-1s", "1s-", "1 s 2", "1,5s", "9e999s", "1mm"])
def test_what_is_no_duration(text: str) -> None:
    with pytest.raises(ValueError, match=r"unit of time|not a duration"):
        parse_duration_s(text)


@pytest.mark.parametrize(
    ("text", "rate"), [("200/s", 200), ("90/min", 1.5), ("36 / h", 0.01), ("7", 7), (" 0.5/s ", 0.5)]
)
def test_rates(text: str, rate: float) -> None:
    assert parse_rate_per_s(text) == pytest.approx(rate)


@pytest.mark.parametrize("text", ["", "200/x", "-1/s", "fast", "9e999/s", "1//s"])
def test_what_is_no_rate(text: str) -> None:
    with pytest.raises(ValueError, match="not a rate"):
        parse_rate_per_s(text)


def test_shares() -> None:
    assert [parse_share(text) for text in ("10%", "0.1", "2.5 %", "100%")] == pytest.approx([0.1, 0.1, 0.025, 1.0])
    for text in ("", "ten", "10%%", "-1", "9e999"):
        with pytest.raises(ValueError, match="not a share"):
            parse_share(text)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0s"),
        (0.00005, "50us"),
        (0.25, "250ms"),
        (0.99999, "1s"),
        (12.5, "12.5s"),
        (59.999, "1m"),
        (90, "1m30s"),
        (3600, "1h"),
        (7530, "2h5m30s"),
        (-2, "-2s"),
    ],
)
def test_durations_for_people(seconds: float, text: str) -> None:
    assert duration_text(seconds) == text


@given(st.floats(1e-6, 80_000))
def test_a_duration_for_people_is_read_again(seconds: float) -> None:
    assert parse_duration_s(duration_text(seconds)) == pytest.approx(seconds, rel=0.01)


def test_other_figures_for_people() -> None:
    assert [rate_text(400), rate_text(13.3333), share_text(0.1), share_text(0.0015)] == [
        "400/s",
        "13.33/s",
        "10%",
        "0.15%",
    ]
    assert [number_text(-0.0), number_text(123456.7), number_text(float("inf"))] == ["0", "123457", "inf"]
