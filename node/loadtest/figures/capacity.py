"""The search for the highest load that meets the thresholds: doubling, then bisection, with care near the knee.

The search asks for probes and is told their outcomes; whoever runs it measures each in steady state. Probes are noisy:
a failure that saturation does not explain is believed only when a repetition confirms it, and both ends of the last
bracket are probed again before the knee is told. An overloaded gateway tells its own capacity by what it still
gets done, so that the next probe is set just above that instead of in the middle. A void probe tells nothing, and is
made again; a load of which nothing else comes is as high as the generator gets.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass
from math import inf
from statistics import median
from typing import Final

_SATURATED: Final = 0.95
"""A probe that got less than this share of its load done has met a wall, not a spell of bad luck."""

_VOIDS: Final = 3
"""Void probes of a load after which it is given up, as long as no other one was made of it."""

_SHORT: Final = 0.99
"""One that got less than this done tells where the wall is."""


@dataclass(frozen=True, slots=True)
class Search:
    """How to look. ``tolerance`` is the width of the last bracket relative to its lower end.

    Loads are jobs a second, or with ``is_whole`` nodes. The search begins at ``start``, goes no lower than ``least``
    and no higher than ``most``, and makes no more than ``probes`` probes.
    """

    start: float
    most: float = inf
    least: float = 0.0
    tolerance: float = 0.03
    probes: int = 30
    is_whole: bool = False


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a probe came to: whether all thresholds were met, and figures for the table, None where not measured.

    ``done`` is what was accomplished in the unit of the load (accepted jobs a second); ``reason`` names the threshold
    that broke first, empty when none did. With ``is_void`` the generator was the bottleneck: the load is not held to
    be met, and nothing is told of what the gateway can do.
    """

    is_met: bool
    done: float | None = None
    p99_s: float | None = None
    reason: str = ""
    is_void: bool = False


@dataclass(frozen=True, slots=True)
class Probe:
    """A load and its outcome."""

    load: float
    outcome: Outcome


@dataclass(frozen=True, slots=True)
class Knee:
    """The highest load that was held to meet the thresholds and the lowest held not to; None where there is none.

    ``is_found`` says that they are as near to each other as was asked, and confirmed. With ``over``
    None the thresholds held up to the most that was to be tried.
    """

    under: float | None
    over: float | None
    is_found: bool
    probes: tuple[Probe, ...]

    @property
    def is_void_above(self) -> bool:
        """Whether it was the generator alone that kept the load from going higher."""
        return _is_void_alone(self.over, self.probes)

    @property
    def is_void(self) -> bool:
        """Whether nothing was met, and the generator alone kept the lowest load from it."""
        lowest = min((probe.load for probe in self.probes), default=None)
        return self.under is None and _is_void_alone(lowest, self.probes)


def _is_void_alone(load: float | None, probes: Sequence[Probe]) -> bool:
    failed = [probe.outcome for probe in probes if probe.load == load and not probe.outcome.is_met]
    return bool(failed) and all(outcome.is_void for outcome in failed)


class _Notes:
    """What was probed so far."""

    def __init__(self, search: Search, probes: Sequence[Probe] = ()) -> None:
        self.search = search
        self.probes = list(probes)

    @property
    def is_spent(self) -> bool:
        return len(self.probes) >= self.search.probes

    def of(self, load: float) -> list[Outcome]:
        return [probe.outcome for probe in self.probes if probe.load == load and not probe.outcome.is_void]

    def voids(self, load: float) -> list[Outcome]:
        return [probe.outcome for probe in self.probes if probe.load == load and probe.outcome.is_void]

    def met_below(self, load: float) -> float:
        """The highest lower load that was met at least as often as not; 0 without one."""
        lower = {probe.load for probe in self.probes if probe.load < load}
        return max((one for one in lower if _is_mostly_met(self.of(one))), default=0.0)

    def failed_above(self, load: float) -> float:
        """The lowest higher load that failed more often than not; infinite without one."""
        higher = {probe.load for probe in self.probes if probe.load > load}
        return min((one for one in higher if not _is_mostly_met(self.of(one))), default=inf)

    def walls(self) -> list[float]:
        """What probes got done that were asked for more than could be."""
        return [
            probe.outcome.done
            for probe in self.probes
            if probe.outcome.done is not None and _is_wall(probe.load, probe.outcome, _SHORT)
        ]


def seek(search: Search) -> Generator[float, Outcome, Knee]:
    """A generator of loads to probe: ``next`` gives the first, ``send`` of each outcome the next.

    The `Knee` is the value of its `StopIteration`.
    """
    notes = _Notes(search)
    under, over = 0.0, inf
    is_done = False
    while not (is_done or notes.is_spent or over <= search.least):
        is_end = under >= search.most or _is_narrow(search, under, over)
        load = under if is_end else _next(notes, under, over)
        if is_end:
            if not (yield from _majority(notes, load)):
                under, over = notes.met_below(under), under
            elif over < inf and (yield from _doubted(notes, over)):
                under, over = over, notes.failed_above(over)
            else:
                is_done = True
        elif (yield from _first_sight(notes, load)):
            under = load
        else:
            over = load
    return Knee(under or None, None if over == inf else over, is_done, tuple(notes.probes))


def known(search: Search, probes: Sequence[Probe]) -> Knee:
    """What the probes of a search that was ended early say."""
    notes = _Notes(search, probes)
    under = notes.met_below(inf)
    over = notes.failed_above(under)
    return Knee(under or None, None if over == inf else over, is_found=False, probes=tuple(probes))


def _probe(notes: _Notes, load: float) -> Generator[float, Outcome, Outcome]:
    """One more look at a load, and others as long as they are void."""
    while True:
        outcome = yield load
        notes.probes.append(Probe(load, outcome))
        if not outcome.is_void or len(notes.voids(load)) >= _VOIDS or notes.is_spent:
            return outcome


def _first_sight(notes: _Notes, load: float) -> Generator[float, Outcome, bool]:
    """Believe a success, and a failure that saturation explains; have any other one confirmed."""
    outcome = yield from _probe(notes, load)
    if outcome.is_met or outcome.is_void or _is_wall(load, outcome, _SATURATED):
        return outcome.is_met
    return (yield from _majority(notes, load))


def _majority(notes: _Notes, load: float) -> Generator[float, Outcome, bool]:
    """Probe until a load was met twice, or failed twice."""
    while True:
        seen = notes.of(load)
        met = sum(outcome.is_met for outcome in seen)
        if met > 1 or len(seen) - met > 1 or notes.is_spent or len(notes.voids(load)) >= _VOIDS:
            return _is_mostly_met(seen)
        yield from _probe(notes, load)


def _doubted(notes: _Notes, load: float) -> Generator[float, Outcome, bool]:
    """Probe a load that has failed once more, unless a wall explains it; whether it is held to be met after all."""
    if any(_is_wall(load, outcome, _SATURATED) for outcome in notes.of(load)) or notes.is_spent:
        return False
    while True:
        outcome = yield from _probe(notes, load)
        if not outcome.is_met or notes.is_spent:
            return False
        if _is_mostly_met(notes.of(load)):
            return True


def _next(notes: _Notes, under: float, over: float) -> float:
    """Twice the load while none has failed; then about the wall that was met, if any, from below; then the middle."""
    search = notes.search
    if over == inf:
        return _rounded(search, min(search.most, 2 * under if notes.probes else search.start))
    guesses = [(under + over) / 2]
    if walls := notes.walls():
        wall, aside = median(walls), 0.45 * search.tolerance
        guesses = [wall * (1 - aside), wall * (1 + aside), wall * (1 + 3 * aside), *guesses]
    loads = [_rounded(search, max(search.least, guess)) for guess in guesses]
    # A guess next to an end says little, unless the bracket is that small.
    room = min(search.tolerance * over, over - under) / 4
    return next((load for load in loads if under + room < load < over - room), loads[-1])


def _is_wall(load: float, outcome: Outcome, share: float) -> bool:
    return not (outcome.is_met or outcome.is_void) and outcome.done is not None and outcome.done < share * load


def _is_mostly_met(seen: Sequence[Outcome]) -> bool:
    """Of what was seen, void probes apart; of a load that was void each time nothing was."""
    return 2 * sum(outcome.is_met for outcome in seen) >= max(1, len(seen))


def _is_narrow(search: Search, under: float, over: float) -> bool:
    if search.is_whole and over - under <= 1:
        return under > 0
    return under > 0 and over - under <= search.tolerance * under


def _rounded(search: Search, load: float) -> float:
    return float(max(1, round(load))) if search.is_whole else float(f"{load:.5g}")
