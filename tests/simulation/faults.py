"""What can go wrong, and when: drawn from a seed before anything runs."""

from __future__ import annotations

import bisect
import random
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from itertools import accumulate
from typing import Final

from node.protocol.routes import Step


class Fault(Enum):
    """What can happen to one exchange between a node and its gateway."""

    LATE = "late"
    """It takes long, perhaps longer than the node waits; the gateway acts all the same."""
    REFUSED = "refused"
    """Nobody answers the connection."""
    UNTRUSTED = "untrusted"
    """The certificate is not to be trusted."""
    LOST_REQUEST = "lost request"
    LOST_REPLY = "lost reply"
    """The gateway acts, and the node never hears of it."""
    RESET_BEFORE = "reset before"
    RESET_AFTER = "reset after"
    """The connection breaks when the gateway has acted."""
    DUPLICATED = "duplicated"
    """The gateway is given the request twice."""
    TRUNCATED = "truncated"
    """The reply's first half comes as if it were whole."""
    CUT = "cut"
    """The connection breaks in the middle of the reply."""
    GARBAGE = "garbage"
    """Something between the two answers with a page of its own, after the gateway acted or without asking it."""
    TOO_LARGE = "too large"
    CLIENT_ERROR = "4xx"
    SERVER_ERROR = "5xx"
    SERVER_ERROR_AFTER = "5xx after"
    """The gateway acts, and something on the way answers with a 5xx of its own."""
    REDIRECT = "redirect"


class Plight(Enum):
    """What can befall a whole process, and so every exchange that meets it."""

    GATEWAY_DOWN = "gateway down"
    GATEWAY_KILLED = "gateway killed"
    FLEET_KILLED = "fleet killed"
    AUTH_OUTAGE = "auth outage"
    DENIED = "denied"
    """Secret and identity are held to be wrong for a while."""
    TOKEN_EXPIRED = "token expired"
    PROXY_DEAD = "proxy dead"
    PROXY_SEEN_THROUGH = "proxy seen through"
    CLOCK_SKEWED = "clock skewed"
    DISK_FULL = "disk full"
    ENGINE_HANGS = "engine hangs"
    ENGINE_FAILS = "engine fails"
    ENGINE_DEFECT = "engine defect"


ECHO_DIRECT: Final = "echo, direct"
ECHO_PROXY: Final = "echo, by proxy"

NODE_STEPS: Final = (
    Step.CHECK_SECRET,
    Step.CHECK_IDENTITY,
    Step.REGISTER,
    Step.UPDATE_MODELS,
    Step.POLL,
    Step.UPDATE_RESULT,
    Step.POINTS,
    Step.LEAVE,
)
STEP_NAMES: Final = (ECHO_DIRECT, ECHO_PROXY, *(step.label for step in NODE_STEPS))

BEARER_STEPS: Final = tuple(step.label for step in NODE_STEPS[3:])

CLIENT_STATUSES: Final = (400, 401, 403, 404, 408, 410, 413, 418, 422, 425, 429, 451)
"""Never 409: a gateway that says that it has a result is believed, rightly."""
SERVER_STATUSES: Final = (500, 502, 503, 504, 520)


@dataclass(frozen=True, slots=True)
class Storm:
    """A time in which a fault is frequent: at one step, or at all where ``step`` is empty."""

    begin: float
    end: float
    fault: Fault
    step: str
    probability: float


@dataclass(frozen=True, slots=True)
class Window:
    """A time in which something is down."""

    begin: float
    end: float

    def covers(self, now: float) -> bool:
        """Whether it is now."""
        return self.begin <= now < self.end


@dataclass(frozen=True, slots=True)
class _Odds:
    """The faults that are possible at one step during one spell, and their cumulated probabilities."""

    kinds: tuple[Fault, ...]
    sums: tuple[float, ...]

    def draw(self, chance: random.Random) -> Fault | None:
        if not self.kinds:
            return None
        found = chance.random()
        if found >= self.sums[-1]:
            return None
        return self.kinds[bisect.bisect_right(self.sums, found)]


class Weather:
    """Which fault strikes an exchange: base rates all the time, storms on top, nothing after ``calm_from``."""

    def __init__(self, rates: dict[Fault, float], storms: Sequence[Storm], calm_from: float, seed: str) -> None:
        self._rates = rates
        self._storms = storms
        self._calm_from = calm_from
        self._chance = random.Random(f"{seed} weather")
        times = {0.0, calm_from, *(storm.begin for storm in storms), *(storm.end for storm in storms)}
        self._changes = sorted(time for time in times if time <= calm_from)
        self._until = -1.0
        self._odds: dict[str, _Odds] = {}

    def strike(self, step: str, now: float) -> Fault | None:
        """The fault that strikes an exchange of this step at this time, if any."""
        if now >= self._until:
            self._turn(now)
        return self._odds[step].draw(self._chance)

    def fingerprint(self) -> float:
        """What differs as soon as anything else was drawn here."""
        return self._chance.random()

    def _turn(self, now: float) -> None:
        """Work the odds out anew for the spell that begins now."""
        after = bisect.bisect_right(self._changes, now)
        self._until = self._changes[after] if after < len(self._changes) else float("inf")
        self._odds = {step: self._odds_of(step, now) for step in STEP_NAMES}

    def _odds_of(self, step: str, now: float) -> _Odds:
        rates: Counter[Fault] = Counter()
        if now < self._calm_from:
            for fault, rate in self._rates.items():
                rates[fault] += rate  # type: ignore[assignment]
            for storm in self._storms:
                if storm.begin <= now < storm.end and storm.step in {"", step}:
                    rates[storm.fault] += storm.probability  # type: ignore[assignment]
        total = max(1.0, sum(rates.values()))
        kinds = tuple(rates)
        return _Odds(kinds, tuple(accumulate(rates[kind] / total for kind in kinds)))


class Tally:
    """How often each fault struck at each step."""

    def __init__(self) -> None:
        self.counts: Counter[tuple[str, str]] = Counter()

    def note(self, fault: Fault | Plight, step: str = "") -> None:
        """Count one more."""
        self.counts[fault.value, step] += 1

    def rarest(self) -> Iterator[tuple[int, str, str]]:
        """All that has to be met, the rarest first."""
        yield from sorted((self.counts[fault, step], fault, step) for fault, step in expected())


def expected() -> Iterator[tuple[str, str]]:
    """Every fault at every step that it can strike."""
    for fault in Fault:
        for step in STEP_NAMES:
            yield fault.value, step
    labels = tuple(step.label for step in NODE_STEPS)
    for plight in (Plight.GATEWAY_DOWN, Plight.GATEWAY_KILLED, Plight.FLEET_KILLED, Plight.CLOCK_SKEWED):
        for step in labels:
            yield plight.value, step
    for step in BEARER_STEPS:
        yield Plight.TOKEN_EXPIRED.value, step
    for step in (ECHO_PROXY, *labels):
        yield Plight.PROXY_DEAD.value, step
    yield Plight.PROXY_SEEN_THROUGH.value, ECHO_PROXY
    yield Plight.AUTH_OUTAGE.value, Step.CHECK_IDENTITY.label
    yield Plight.DENIED.value, Step.CHECK_SECRET.label
    yield Plight.DENIED.value, Step.CHECK_IDENTITY.label
    for plight in (Plight.DISK_FULL, Plight.ENGINE_HANGS, Plight.ENGINE_FAILS, Plight.ENGINE_DEFECT):
        yield plight.value, ""
