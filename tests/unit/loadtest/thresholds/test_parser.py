"""Thresholds are read, written and refused."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.domain.errors import InvalidInput
from node.loadtest.thresholds.dimensions import COUNT, RATE, SHARE, TIME
from node.loadtest.thresholds.expression import UNITS, Combined, Expression, Named, Negated, Quantity, dimension
from node.loadtest.thresholds.parser import MAX_CHARS, parse_threshold
from node.loadtest.thresholds.threshold import Threshold
from node.loadtest.thresholds.vocabulary import COUNTS, MEASURES, RATES


@pytest.mark.parametrize(
    ("text", "names", "kind"),
    [
        ("p99.poll < 50ms", ("p99.poll",), TIME),
        ("p95.job < 2s", ("p95.job",), TIME),
        ("p99.9.register <= 1m", ("p99.9.register",), TIME),
        ("jobs.lost == 0", ("jobs.lost",), COUNT),
        ("accepted_rate >= 0.99 * offered", ("accepted_rate", "offered"), RATE),
        ("accepted_rate >= 400/s", ("accepted_rate",), RATE),
        ("errors.poll < 0.1%", ("errors.poll",), SHARE),
        ("errors.poll < 0.001", ("errors.poll",), SHARE),
        ("jobs.lost / jobs.submitted < 1%", ("jobs.lost", "jobs.submitted"), SHARE),
        ("jobs.accepted >= offered * 10s", ("jobs.accepted", "offered"), COUNT),
        ("2 * (lease + 1s) > -p50.poll", ("lease", "p50.poll"), TIME),
    ],
)
def test_what_a_threshold_needs_and_compares(text: str, names: tuple[str, ...], kind: object) -> None:
    threshold = parse_threshold(text)
    assert (str(threshold), threshold.names, threshold.kind) == (text, names, kind)


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("redelivered.max<=1.2*lease", "max.redelivered <= 1.2 * lease"),
        ("poll.p99 < 1s", "p99.poll < 1s"),
        ("poll.p99.90 < 1s", "p99.9.poll < 1s"),
        ("jobs.unclaimed_answers == 0", "jobs.unclaimed_answer == 0"),
        ("p099.00.poll < 1 s", "p99.poll < 1s"),
        ("((lease)) > ((1s + 2s) + 3s)", "lease > 1s + 2s + 3s"),
        ("lease > 1s - (2s - 3s)", "lease > 1s - (2s - 3s)"),
        ("jobs.lost/(2*3)<1", "jobs.lost / (2 * 3) < 1"),
        ("lease > -(1s + 1s)", "lease > -(1s + 1s)"),
    ],
)
def test_it_is_written_in_one_way(text: str, canonical: str) -> None:
    assert str(parse_threshold(text)) == canonical


@pytest.mark.parametrize(
    ("text", "marked", "problem", "remedy"),
    [
        ("p99.pol < 50ms", "p99.pol", "p99.pol is no name", "did you mean p99.poll?"),
        ("lost == 0", "lost", "lost is no name", "did you mean jobs.lost?"),
        ("JOBS.LOST == 0", "JOBS.LOST", "no name", "did you mean jobs.lost?"),
        ("jobs.double-credited == 0", "jobs.double", "no name", "did you mean jobs.double_credited?"),
        ("p101.poll < 1s", "p101.poll", "no name", ""),
        ("zebra < 1s", "zebra", "no name", "documentation"),
        ("p99.poll < 50", "<", "a time is compared with a number without a unit", "50ms"),
        ("offered > 400", ">", "a rate is compared with a number without a unit", "400/s"),
        ("jobs.lost < 1%", "<", "a count is compared with a share", "jobs.lost / jobs.submitted"),
        ("jobs.lost < lease", "<", "a count is compared with a time", "one kind"),
        ("lease + jobs.lost < 5s", "+", "a time cannot be added to a count", ""),
        ("lease - 5 < 5s", "-", "a number without a unit cannot be taken from a time", ""),
        ("lease * lease < 5s", "<", "a number of mixed units is compared with a time", ""),
        ("p99.poll < 50 mss", "mss", "mss is no unit", "did you mean ms?"),
        ("1.2lease < 5s", "lease", "lease is no unit", "units are"),
        ("p99.poll = 5ms", "=", "= has no meaning here", "did you mean ==?"),
        ("p99.poll ≤ 5ms", "≤", "no meaning", "did you mean <=?"),
        ("p99.poll < .5s", ".", "no meaning", "begin with a digit"),
        ("p99.poll < 5ms < 4s", "<", "a second comparison", ""),
        ("p99.poll < 5 5", "5", "too much", ""),
        ("p99.poll", "", "a comparison is missing", "p99.poll < 50ms"),
        ("", "", "something is missing", ""),
        ("p99.poll <", "", "something is missing", ""),
        ("(p99.poll < 5ms", "<", "a ) is missing", ""),
        ("p99.poll < )", ")", "no place here", ""),
        ("__import__(1) < 1", "__import__", "no name", ""),
    ],
)
def test_what_is_wrong_is_pointed_at(text: str, marked: str, problem: str, remedy: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        parse_threshold(text)
    (fault,) = caught.value.faults
    said, shown, carets = fault.problem.split("\n")
    assert problem in said
    assert remedy in fault.remedy
    assert shown.removeprefix("    ") == text
    start, end = carets.index("^") - 4, len(carets) - 4
    assert text[start:end] == marked or (not marked and start == len(text))


def test_what_goes_too_deep_or_too_far_is_refused() -> None:
    for text in ("(" * 100 + "1" + ")" * 100 + " < 2", "-" * 100 + "1 < 2", "1 + " * MAX_CHARS + "1 < 2"):
        with pytest.raises(InvalidInput, match=r"within each other|too many"):
            parse_threshold(text)


@given(st.text(alphabet=st.sampled_from("p9.5jobslease<>=!+-*/() \t0123msh%_≤é\n\x00")) | st.text())
def test_any_text_is_read_or_refused(text: str) -> None:
    with contextlib.suppress(InvalidInput):
        threshold = parse_threshold(text)
        assert parse_threshold(str(threshold)) == threshold


numbers = st.integers(0, 10**6).map(str) | st.floats(0, 1e6).map(lambda value: f"{value:.4f}")
all_names = st.sampled_from(
    [f"jobs.{name}" for name in COUNTS]
    + [*RATES, "lease", "duration", "empty_polls"]
    + [f"{statistic}.{of}" for statistic in ("p50", "p99.95", "p100", "max", "mean") for of in MEASURES]
)
leaves = st.builds(Quantity, numbers, st.sampled_from(sorted(UNITS))) | st.builds(Named, all_names)


def branches(inner: st.SearchStrategy[Expression]) -> st.SearchStrategy[Expression]:
    return st.builds(Negated, inner) | st.builds(Combined, st.sampled_from(["+", "-", "*", "/"]), inner, inner)


@given(st.recursive(leaves, branches, max_leaves=6), st.recursive(leaves, branches, max_leaves=6))
def test_what_is_written_is_read_again(left: Expression, right: Expression) -> None:
    threshold = Threshold(left, "<=", right)
    first, second = dimension(left), dimension(right)
    try:
        read = parse_threshold(str(threshold))
    except InvalidInput:
        assert first is None or second is None or first.common(second) is None
    else:
        assert read == threshold
