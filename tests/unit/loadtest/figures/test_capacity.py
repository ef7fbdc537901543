"""The search finds a noisy system's knee with few probes."""

from __future__ import annotations

import random
from collections.abc import Callable
from statistics import fmean

import pytest

from node.loadtest.figures.capacity import Knee, Outcome, Probe, Search, known, seek


def found(search: Search, probe: Callable[[float], Outcome]) -> Knee:
    steps = seek(search)
    load = next(steps)
    while True:
        try:
            load = steps.send(probe(load))
        except StopIteration as end:
            knee: Knee = end.value
            return knee


def noisy(seed: int, *, unlucky: float = 0.03, tells: bool = True) -> Callable[[float], Outcome]:
    """A system that does 400 a second: near that its p99 breaks first, above it the queue grows."""
    chance = random.Random(seed)

    def probe(load: float) -> Outcome:
        most = 400 * chance.gauss(1, 0.01)
        is_met = load <= 0.985 * most and chance.random() >= unlucky
        done = min(load * chance.gauss(1, 0.003), most)
        return Outcome(is_met, done if tells else None, 0.02 if is_met else 3.0, "" if is_met else "p99.poll < 50 ms")

    return probe


@pytest.mark.parametrize("start", [50, 64, 300, 777])
def test_four_hundred_is_found_within_five_per_cent_in_some_ten_probes(start: float) -> None:
    knees = [found(Search(start), noisy(seed)) for seed in range(200)]
    good = [knee for knee in knees if knee.under is not None and 380 <= knee.under <= 420]
    assert len(good) >= 198
    assert fmean(len(knee.probes) for knee in knees) <= 14
    assert max(len(knee.probes) for knee in knees) <= 30


def test_without_spells_of_bad_luck_it_is_always_found() -> None:
    for seed in range(200):
        knee = found(Search(50), noisy(seed, unlucky=0))
        assert knee.under is not None
        assert 380 <= knee.under <= 420


def test_a_system_that_only_says_yes_or_no_is_bisected() -> None:
    for seed in range(100):
        knee = found(Search(50), noisy(seed, unlucky=0, tells=False))
        assert knee.under is not None
        assert 375 <= knee.under <= 420


def test_an_exact_system_costs_few_probes_and_ends_in_a_narrow_bracket() -> None:
    knee = found(Search(50, tolerance=0.01), lambda load: Outcome(load <= 400, min(load, 400)))
    assert knee.is_found
    assert knee.under is not None
    assert knee.over is not None
    assert knee.under <= 400 < knee.over
    assert knee.over - knee.under <= 0.01 * knee.under
    assert len(knee.probes) <= 12


def test_nodes_are_whole_numbers() -> None:
    knee = found(Search(3, is_whole=True, tolerance=0.0001), lambda load: Outcome(load <= 37))
    assert (knee.under, knee.over, knee.is_found) == (37.0, 38.0, True)
    assert all(probe.load == int(probe.load) for probe in knee.probes)


def test_what_holds_up_to_the_most_that_may_be_tried_has_no_knee() -> None:
    knee = found(Search(50, most=300), lambda load: Outcome(is_met=True, done=load))
    assert (knee.under, knee.over, knee.is_found) == (300.0, None, True)


def test_what_never_holds_has_none_either() -> None:
    knee = found(Search(50, probes=8), lambda _: Outcome(is_met=False, done=0.0, reason="accepted_rate"))
    assert knee.under is None
    assert not knee.is_found
    assert len(knee.probes) <= 8
    whole = found(Search(4, is_whole=True), lambda _: Outcome(is_met=False))
    assert whole.under is None
    assert whole.over == 1.0


def test_one_unlucky_probe_does_not_end_the_doubling() -> None:
    seen: list[float] = []

    def probe(load: float) -> Outcome:
        seen.append(load)
        return Outcome(load <= 400 and not (load == 100 and seen.count(100) == 1), min(load, 400))

    knee = found(Search(50), probe)
    assert seen[:4] == [50, 100, 100, 100]
    assert knee.under is not None
    assert knee.under > 380


def test_a_lucky_probe_above_the_knee_is_taken_back() -> None:
    """The first look at 396 succeeds by chance; when it is confirmed at the end, it does not."""
    tries: dict[float, int] = {}

    def probe(load: float) -> Outcome:
        tries[load] = tries.get(load, 0) + 1
        return Outcome(load <= 390 or (load < 400 and tries[load] == 1), min(load, 395.0))

    knee = found(Search(50), probe)
    assert knee.under is not None
    assert 375 <= knee.under <= 390


def test_an_unlucky_upper_end_is_looked_at_again() -> None:
    tries: dict[float, int] = {}

    def probe(load: float) -> Outcome:
        tries[load] = tries.get(load, 0) + 1
        return Outcome(load < 395 and not (load == 200 and tries[load] <= 2), load)

    knee = found(Search(50, probes=30), probe)
    assert knee.under is not None
    assert knee.under >= 375


def void_above(most: float, seed: int, share: float = 0.0) -> Callable[[float], Outcome]:
    """A system that always copes, and a generator that does not above a load, and elsewhere now and then."""
    chance = random.Random(seed)

    def probe(load: float) -> Outcome:
        if load > most or chance.random() < share:
            return Outcome(is_met=False, done=load / 2, is_void=True)
        return Outcome(is_met=True, done=load)

    return probe


def test_where_the_generator_gives_way_the_search_ends_and_says_so() -> None:
    knee = found(Search(50), void_above(300, 1))
    assert knee.under is not None
    assert knee.over is not None
    assert 290 <= knee.under <= 300 < knee.over
    assert (knee.is_found, knee.is_void_above, knee.is_void) == (True, True, False)
    assert not found(Search(50), noisy(1)).is_void_above


def test_a_void_probe_now_and_then_is_made_again() -> None:
    given_up = 0
    for seed in range(50):
        chance, gateway = random.Random(seed), noisy(seed, unlucky=0)

        def probe(
            load: float, chance: random.Random = chance, gateway: Callable[[float], Outcome] = gateway
        ) -> Outcome:
            return Outcome(is_met=False, is_void=True, done=1.0) if chance.random() < 0.2 else gateway(load)

        knee = found(Search(50, probes=60), probe)
        assert knee.under is not None
        given_up += knee.is_void_above
        assert knee.is_void_above or 370 <= knee.under <= 420
    assert given_up <= 10


def test_a_search_goes_no_lower_than_the_lowest_load() -> None:
    knee = found(Search(50, least=50), lambda load: Outcome(is_met=False, done=0.1 * load, reason="lost"))
    assert (knee.under, knee.over, knee.is_found, knee.is_void) == (None, 50.0, False, False)
    assert [probe.load for probe in knee.probes] == [50.0]
    down = found(Search(64, least=8), lambda load: Outcome(load < 10, load if load < 10 else 1.0))
    assert down.under is not None
    assert 8 <= down.under < 10
    void = found(Search(50, least=50), lambda _: Outcome(is_met=False, is_void=True))
    assert (void.under, void.is_void, len(void.probes)) == (None, True, 3)


def test_a_search_that_was_ended_tells_what_is_known() -> None:
    def probes(*seen: tuple[float, bool]) -> list[Probe]:
        return [Probe(load, Outcome(is_met)) for load, is_met in seen]

    assert known(Search(50), []) == Knee(None, None, is_found=False, probes=())
    knee = known(Search(50), probes((50, True), (100, True), (200, False), (150, True)))
    assert (knee.under, knee.over, knee.is_found) == (150, 200, False)
    assert known(Search(50), probes((50, False))).over == 50
    assert known(Search(50), probes((50, True))).over is None
