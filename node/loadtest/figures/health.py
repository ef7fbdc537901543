"""The generator's audit of itself: whether it, and not the gateway, was the bottleneck.

A generator that falls behind measures its own queues. What it then says of the gateway is void, not merely imprecise.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from node.loadtest.figures.histogram import Histogram, Tally

VERSION: Final = 1


@dataclass(frozen=True, slots=True)
class HealthLimits:
    """What a run may not exceed. Lags are 99th percentiles in seconds; shares lie between 0 and 1."""

    loop_lag_s: float = 0.05
    """How late the event loop wakes a timer."""
    send_lag_s: float = 0.05
    """How long after its intended time a submission is sent."""
    lateness_s: float = 0.1
    """How long after it was due a node's poll begins."""
    cpu_share: float = 0.95
    """Of one core, for each process: a second above this is a busy one."""
    busy_share: float = 0.1
    """Of a process's seconds, those that may be busy."""
    offered_share: float = 0.99
    """Of the submissions that were due, those at least that must have been tried."""


@dataclass(frozen=True, slots=True)
class HealthVerdict:
    """Whether the figures are void, every reason for it, and what was found, by the names of `HealthLimits`.

    A figure is None where nothing was noted: what was not watched does not count as good, nor does it void a run.
    """

    is_void: bool
    reasons: tuple[str, ...]
    found: Mapping[str, float | None]


class Health:
    """What one generator process notes of itself, or several together."""

    def __init__(self) -> None:
        self._loop_lag, self._send_lag = Tally(), Tally()
        self._loop_lags, self._send_lags = [Histogram()], [Histogram()]
        self._cpu: list[list[float]] = [[]]
        self._offered = 0
        self._tried = 0
        self._lost: list[str] = []

    @classmethod
    def of_none(cls) -> Health:
        """No process's notes, for others to be merged into."""
        health = cls()
        health._loop_lags, health._send_lags, health._cpu = [], [], []
        return health

    def lost_part(self, why: str) -> None:
        """A part of the generator was lost, which voids the run; ``why`` is for people."""
        self._lost.append(why)

    def loop_lag(self, seconds: float, every_s: float) -> None:
        """The event loop woke a timer so much late, which is set anew, for so long, each time that it comes.

        A loop that stands still wakes it once, however long that lasts: the times that were left out count, too.
        """
        self._loop_lag.record_corrected(seconds, every_s)

    def sent(self, late_s: float) -> None:
        """A submission was begun, so long after it was due."""
        self._tried += 1
        self._send_lag.record(late_s)

    def offered(self, jobs: int = 1) -> None:
        """So many submissions were due."""
        self._offered += jobs

    def cpu(self, share: float) -> None:
        """The process has used this share of one core in the last second."""
        self._cpu[0].append(round(share, 3))

    def merge(self, other: Health) -> None:
        """Add another process's notes; each process is judged by itself, so that none hides behind the others."""
        self._fold()
        other._fold()
        self._loop_lags += other._loop_lags
        self._send_lags += other._send_lags
        self._cpu += other._cpu
        self._offered += other._offered
        self._tried += other._tried
        self._lost += other._lost

    def verdict(
        self, limits: HealthLimits, lateness: Histogram | None = None, shortages: Iterable[str] = ()
    ) -> HealthVerdict:
        """Judge the run; ``lateness`` is how late the nodes' polls began (`Measure.LATENESS`).

        ``shortages`` are sentences on what the machine ran out of, which voids the run.
        """
        self._fold()
        busy = [sum(share > limits.cpu_share for share in shares) / len(shares) for shares in self._cpu if shares]
        found = {
            "loop_lag_s": _worst(self._loop_lags),
            "send_lag_s": _worst(self._send_lags),
            "lateness_s": _worst([lateness] if lateness else []),
            "busy_share": max(busy, default=None),
            "offered_share": min(1.0, self._tried / self._offered) if self._offered else None,
        }
        reasons = [
            _WORDS[name].format(found=value, limit=getattr(limits, name), cpu=limits.cpu_share)
            for name, value in found.items()
            if value is not None and _breaks(name, value, getattr(limits, name))
        ]
        reasons = [*self._lost, *shortages, *reasons]
        return HealthVerdict(bool(reasons), tuple(reasons), found)

    def to_document(self) -> dict[str, Any]:
        """The notes for JSON."""
        self._fold()
        return {
            "v": VERSION,
            "loop_lag": [histogram.encode() for histogram in self._loop_lags],
            "send_lag": [histogram.encode() for histogram in self._send_lags],
            "cpu": self._cpu,
            "offered": self._offered,
            "tried": self._tried,
            "lost": list(self._lost),
        }

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> Health:
        """Read what `to_document` made.

        Raises:
            ValueError: it is of a later version, or not that.
        """
        health = cls()
        try:
            if document["v"] != VERSION:
                raise ValueError(f"notes of version {document['v']} are not known")
            health._loop_lags = [Histogram.decode(text) for text in document["loop_lag"]]
            health._send_lags = [Histogram.decode(text) for text in document["send_lag"]]
            health._cpu = [[float(share) for share in shares] for shares in document["cpu"]]
            health._offered, health._tried = int(document["offered"]), int(document["tried"])
            health._lost = [str(why) for why in document.get("lost", ())]
            if not (health._loop_lags and health._send_lags and health._cpu) and not health._lost:
                raise ValueError("these are no notes: a process is missing")
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"these are no notes: {type(error).__name__}") from error
        return health

    def _fold(self) -> None:
        for lags, tally in ((self._loop_lags, self._loop_lag), (self._send_lags, self._send_lag)):
            if lags:
                lags[0].take(tally)


_WORDS: Final = {
    "loop_lag_s": "the event loop was late by {found:.3f} s at p99, the limit is {limit:g} s",
    "send_lag_s": "submissions were sent {found:.3f} s late at p99, the limit is {limit:g} s",
    "lateness_s": "polls began {found:.3f} s late at p99, the limit is {limit:g} s",
    "busy_share": "a process used more than {cpu:.0%} of its core in {found:.0%} of the seconds, the limit is {limit:.0%}",
    "offered_share": "only {found:.1%} of the submissions that were due were tried, the limit is {limit:.1%}",
}


def _breaks(name: str, value: float, limit: float) -> bool:
    return value < limit if name == "offered_share" else value > limit


def _worst(histograms: list[Histogram]) -> float | None:
    """The highest of the 99th percentiles; None where nothing was recorded."""
    return max((histogram.percentiles_s(99)[0] for histogram in histograms if histogram.count), default=None)
