"""A generator that was the bottleneck says so."""

from __future__ import annotations

import json

import pytest

from node.loadtest.figures.health import Health, HealthLimits
from node.loadtest.figures.histogram import Histogram, Tally

LIMITS = HealthLimits()


def healthy(seconds: int = 100) -> Health:
    health = Health()
    for _ in range(seconds):
        health.loop_lag(0.002, 0.05)
        health.offered()
        health.sent(0.003)
        health.cpu(0.6)
    return health


def test_a_generator_with_room_is_not_void() -> None:
    verdict = healthy().verdict(LIMITS)
    assert not verdict.is_void
    assert verdict.found["offered_share"] == 1.0
    assert verdict.found["lateness_s"] is None


def test_a_second_of_load_in_a_hundred_is_no_bottleneck() -> None:
    health = healthy()
    for _ in range(5):
        health.cpu(1.0)
    assert not health.verdict(LIMITS).is_void


def starved(what: str) -> tuple[Health, Histogram | None]:
    health, lateness = healthy(), Histogram()
    for _ in range(20):
        match what:
            case "loop":
                health.loop_lag(0.2, 0.05)
            case "send":
                health.offered()
                health.sent(0.2)
            case "cpu":
                health.cpu(0.99)
            case "offered":
                health.offered()
            case "lateness":
                tally = Tally()
                tally.record(0.5)
                lateness.take(tally)
    return health, lateness if what == "lateness" else None


@pytest.mark.parametrize(
    ("what", "words"),
    [
        ("loop", "the event loop was late by 0.2"),
        ("send", "submissions were sent 0.2"),
        ("cpu", "more than 95% of its core in 17% of the seconds"),
        ("offered", "only 83.3% of the submissions"),
        ("lateness", "polls began 0.5"),
    ],
)
def test_each_shortage_voids_the_run_by_name(what: str, words: str) -> None:
    health, lateness = starved(what)
    verdict = health.verdict(LIMITS, lateness)
    assert verdict.is_void
    assert len(verdict.reasons) == 1
    assert words in verdict.reasons[0]


@pytest.mark.parametrize("what", ["loop", "send", "cpu"])
def test_one_starved_process_of_many_is_not_averaged_away(what: str) -> None:
    whole = healthy()
    for _ in range(9):
        whole.merge(healthy(1000))
    starving, _ = starved(what)
    whole.merge(Health.from_document(json.loads(json.dumps(starving.to_document()))))
    assert len(whole.verdict(LIMITS).reasons) == 1
    assert Health.from_document(whole.to_document()).verdict(LIMITS) == whole.verdict(LIMITS)


def test_a_loop_that_stood_still_once_for_long_is_void() -> None:
    health = Health()
    for _ in range(1100):
        health.loop_lag(0.001, 0.05)
    health.loop_lag(5.0, 0.05)
    verdict = health.verdict(LIMITS)
    assert verdict.is_void
    assert verdict.found["loop_lag_s"] == pytest.approx(4.4, abs=0.2)


def test_a_lost_part_voids_whatever_it_is_merged_into() -> None:
    part = healthy()
    part.lost_part("shard 1 was lost")
    whole = healthy()
    whole.merge(part)
    assert whole.verdict(LIMITS).reasons == ("shard 1 was lost",)


def test_what_the_machine_ran_out_of_voids_the_run() -> None:
    verdict = healthy().verdict(LIMITS, shortages=["no more ports"])
    assert (verdict.is_void, verdict.reasons) == (True, ("no more ports",))


def test_nothing_noted_voids_nothing() -> None:
    verdict = Health().verdict(LIMITS, Histogram())
    assert not verdict.is_void
    assert set(verdict.found.values()) == {None}


@pytest.mark.parametrize("change", [{"v": 2}, {"cpu": 1}, {"cpu": []}, {"loop_lag": ["!"]}])
def test_a_document_that_is_none_is_refused(change: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r".+"):
        Health.from_document(Health().to_document() | change)
