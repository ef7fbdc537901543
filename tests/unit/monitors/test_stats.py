from __future__ import annotations

import pytest

from node.domain.ids import NodeId
from node.monitors.feed import QUIET_S, Feed
from node.monitors.stats import MAX_ERROR_CHARS, NodeStats, RateWindow


def test_a_rate_is_over_the_time_since_the_start_while_that_is_short() -> None:
    window = RateWindow(1000.0)
    for tenth in range(100):
        window.mark(1000.0 + tenth / 10)
    assert window.per_second(1010.0) == pytest.approx(10.0)


def test_a_rate_forgets_what_is_older_than_its_window() -> None:
    window = RateWindow(1000.5, window_s=10)
    for second in range(100):
        window.mark(1000.5 + second)
    assert window.per_second(1099.9) == pytest.approx(1.0, rel=0.1)
    assert window.per_second(1200.0) == 0.0
    window.mark(1200.5)
    assert window.per_second(1200.9) == pytest.approx(0.1, rel=0.1)


def test_a_rate_in_the_first_moment_is_finite() -> None:
    window = RateWindow(5.0)
    window.mark(5.0)
    assert window.per_second(5.0) == 1.0


def test_long_errors_are_cut() -> None:
    stats = NodeStats(NodeId("node-1"))
    stats.note_error("word " * 1000)
    assert MAX_ERROR_CHARS - 5 <= len(stats.last_error) <= MAX_ERROR_CHARS
    assert stats.last_error.endswith("word …")
    stats.note_error("short")
    assert stats.view().last_error == "short"


def test_events_of_one_kind_are_counted_while_their_sentence_is_young() -> None:
    feed = Feed()
    for number in range(1001):
        feed.add("poll", f"node-{number}: poll failed", now=number / 1000, wall=7.0, is_trouble=True)
    feed.add("auth", "auth circuit open", now=1.0, wall=8.0)
    feed.add("poll", "node-5: poll failed", now=QUIET_S, wall=9.0)
    assert [str(happening) for happening in feed.happenings()] == [
        "node-0: poll failed (and 1,000 more)",
        "auth circuit open",
        "node-5: poll failed",
    ]
    assert [happening.is_trouble for happening in feed.happenings()] == [True, False, False]


def test_only_the_last_sentences_are_kept() -> None:
    feed = Feed(length=3)
    for number in range(10):
        feed.add("kind", str(number), now=number * QUIET_S, wall=0.0)
    assert [happening.text for happening in feed.happenings()] == ["7", "8", "9"]
