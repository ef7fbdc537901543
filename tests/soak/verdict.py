"""What measurements say of a fleet: flat, growing, or too little to tell."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any, Final

from tests.soak.slope import Slope, fit

LIMIT_MIB_PER_HOUR: Final = 1.0
WARM_UP_SHARE: Final = 0.3
"""Share of the run that is not judged: pools, caches and the allocator fill up. At most `WARM_UP_MOST_S`."""

WARM_UP_MOST_S: Final = 900.0
LEAST_JUDGED_S: Final = 300.0
"""Without as much time after the warm-up RSS cannot be said to grow: it may be warming up still."""

_SLACK_DESCRIPTORS: Final = 8
_SLACK_ENTRIES: Final = 100
_LEAST_CENSUSES: Final = 6


class Verdict(StrEnum):
    """How it went."""

    FLAT = "FLAT"
    GROWING = "GROWING"
    TOO_SHORT = "TOO SHORT TO TELL"


@dataclass
class Samples:
    """What was measured from outside, by seconds since the start."""

    at_s: list[float] = field(default_factory=list)
    rss_mib: list[float] = field(default_factory=list)
    descriptors: list[int] = field(default_factory=list)
    threads: list[int] = field(default_factory=list)

    def add(self, at_s: float, rss_mib: float, descriptors: int, threads: int) -> None:
        """Note one look at the process."""
        self.at_s.append(at_s)
        self.rss_mib.append(rss_mib)
        self.descriptors.append(descriptors)
        self.threads.append(threads)

    def after(self, warm_up_s: float) -> Samples:
        """Those that are judged."""
        first = next((number for number, at in enumerate(self.at_s) if at >= warm_up_s), len(self.at_s))
        return Samples(self.at_s[first:], self.rss_mib[first:], self.descriptors[first:], self.threads[first:])


@dataclass(frozen=True)
class Judgement:
    """The verdict with what it rests on. ``grown`` names what grew: registries, descriptors, threads."""

    minutes: float
    warm_up_s: float
    slope: Slope | None
    fds_first: int
    fds_last: int
    tasks_left: int | None
    grown: Mapping[str, tuple[float, float]]
    verdict: Verdict

    def __str__(self) -> str:
        slope = "RSS slope unknown" if self.slope is None else f"RSS {self.slope} MiB/h"
        fds = f"fds {self.fds_first} -> {self.fds_last}"
        left = "tasks left unknown" if self.tasks_left is None else f"tasks left {self.tasks_left}"
        grown = "".join(f", {name} {before:g} -> {after:g}" for name, (before, after) in self.grown.items())
        return f"soak: {self.minutes:.1f} minutes, {slope}, {fds}, {left}{grown}: {self.verdict}"

    def as_json(self) -> dict[str, Any]:
        """For the report."""
        return {**asdict(self), "slope": None if self.slope is None else self.slope._asdict(), "line": str(self)}


def warm_up_s(lasted_s: float) -> float:
    """How long a run of this length is not judged."""
    return min(lasted_s * WARM_UP_SHARE, WARM_UP_MOST_S)


def judge(samples: Samples, censuses: Sequence[Mapping[str, Any]], started: float) -> Judgement:
    """Judge a whole run; censuses are the lines that `tests.soak.fleet` wrote, ``started`` the Unix time of its start."""
    lasted_s = samples.at_s[-1] if samples.at_s else 0.0
    cut_s = warm_up_s(lasted_s)
    judged = samples.after(cut_s)
    slope = fit(judged.at_s, judged.rss_mib)
    left = next((len(census["left"]) for census in reversed(censuses) if "left" in census), None)
    steady = [census for census in censuses if census["at"] - started >= cut_s and "left" not in census]
    grown = {**_grown_outside(judged), **_grown_inside(steady)}
    first, last = _ends(judged.descriptors)
    if left:
        verdict = Verdict.GROWING
    elif slope is None or lasted_s - cut_s < LEAST_JUDGED_S or left is None or len(steady) < _LEAST_CENSUSES:
        verdict = Verdict.TOO_SHORT
    elif grown or slope.low >= LIMIT_MIB_PER_HOUR:
        verdict = Verdict.GROWING
    else:
        verdict = Verdict.FLAT if slope.high < LIMIT_MIB_PER_HOUR else Verdict.TOO_SHORT
    return Judgement(lasted_s / 60, cut_s, slope, round(first), round(last), left, grown, verdict)


def _grown_outside(judged: Samples) -> dict[str, tuple[float, float]]:
    """Series that end well above where they began and, by the same fit as for memory, rise all the while."""
    grown = {}
    for name, series in (("descriptors", judged.descriptors), ("threads", judged.threads)):
        slope, (before, after) = fit(judged.at_s, series), _ends(series)
        if slope is not None and slope.low > 0 and after > before * 1.05 + _SLACK_DESCRIPTORS:
            grown[name] = (before, after)
    return grown


def _grown_inside(censuses: Sequence[Mapping[str, Any]]) -> dict[str, tuple[float, float]]:
    """Counts whose last third lies above all of the first third, and well above."""
    third = len(censuses) // 3
    if third < 2:
        return {}
    grown: dict[str, tuple[float, float]] = {}
    for part in ("objects", "entries"):
        for name in censuses[-1][part]:
            series = [census[part].get(name, 0) for census in censuses]
            first, last = series[:third], series[-third:]
            before, after = statistics.median(first), statistics.median(last)
            if min(last) > max(first) and after > before * 1.1 + _SLACK_ENTRIES:
                grown[name] = (before, after)
    return grown


def _ends(series: Sequence[int]) -> tuple[float, float]:
    """The medians of the first and the last quarter."""
    quarter = max(1, len(series) // 4)
    return (statistics.median(series[:quarter]), statistics.median(series[-quarter:])) if series else (0, 0)
