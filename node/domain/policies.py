"""How the parts of the program behave: frozen values that settings are turned into.

Durations are in seconds unless a name says otherwise. A pair ``low``–``high`` is drawn from evenly, anew
each time.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol


class Uniform(Protocol):
    """What a range is drawn with: `random.Random` has it."""

    def uniform(self, a: float, b: float, /) -> float:
        """A number from a to b."""
        ...


@dataclass(frozen=True, slots=True)
class Range:
    """Seconds to draw from, both ends included."""

    low: float
    high: float

    def __post_init__(self) -> None:
        if not 0 <= self.low <= self.high:
            raise ValueError(f"a range runs from 0 upwards, not from {self.low} to {self.high}")

    def draw(self, random: Uniform) -> float:
        """A value between the ends."""
        return random.uniform(self.low, self.high)


@dataclass(frozen=True, slots=True)
class BackOff:
    """Full-jitter exponential back-off: a wait is drawn from 0 to ``min(cap, base × 2^(attempt-1))``.

    The rule is "full jitter" of Brooker, "Exponential Backoff And Jitter" (AWS Architecture Blog, 2015).
    """

    base_s: float = 0.5
    cap_s: float = 30.0

    def ceiling(self, attempt: int) -> float:
        """The longest wait after this attempt, which counts from 1."""
        return min(self.cap_s, self.base_s * 2.0 ** min(attempt - 1, 60))

    def draw(self, attempt: int, random: Uniform, at_least_s: float | None = None) -> float:
        """The wait after this attempt.

        With ``at_least_s`` (a ``Retry-After``) the jitter is added to it, so that nodes told the same time do
        not come back together; it is honoured up to ten times the cap, since the other side may be wrong.
        """
        jitter = random.uniform(0, self.ceiling(attempt))
        return jitter if at_least_s is None else min(at_least_s, 10 * self.cap_s) + jitter


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How long one step is tried: attempts in all, seconds in all, and the wait between."""

    attempts: int = 5
    elapsed_s: float = 120.0
    back_off: BackOff = field(default_factory=BackOff)


@dataclass(frozen=True, slots=True)
class StepTimeouts:
    """The time a single request may take, a step; the protocol's own defaults."""

    proxy_check_s: float = 10.0
    secret_s: float = 10.0
    identity_s: float = 90.0
    register_s: float = 120.0
    models_s: float = 30.0
    poll_s: float = 30.0
    result_s: float = 30.0
    points_s: float = 10.0
    leave_s: float = 10.0


@dataclass(frozen=True, slots=True)
class SessionPolicy:
    """When a token is renewed: ``margin_s`` before its end, or at ``margin_share`` of its life if that is later."""

    margin_s: float = 60.0
    margin_share: float = 0.2

    def renew_in(self, lifetime_s: float) -> float:
        """Seconds from now to the renewal of a token that lives this long."""
        return max(0.0, lifetime_s - min(self.margin_s, lifetime_s * self.margin_share))


@dataclass(frozen=True, slots=True)
class NodePolicy:
    """A node's own rhythm."""

    slots: int = 1
    poll_cycle_s: float = 5.0
    poll_jitter: float = 0.1
    """Share of the cycle by which a wait is shortened or lengthened."""
    poll_failures: int = 5
    """Failed polls in a row that make a fault."""
    back_off: BackOff = field(default_factory=BackOff)
    job_deadline_s: float = 230.0
    models_update: Range = field(default_factory=lambda: Range(7920, 15840))
    points_check_s: float = 15840.0
    recovery: Range = field(default_factory=lambda: Range(3600, 14400))
    refusals: int = 3
    """Denials of secret or identity in a row, the auth service healthy, that make a node FAILED."""
    default_max_output: int = 4096
    """Tokens, where the job asks for no limit; also the most a job may ask for."""


@dataclass(frozen=True, slots=True)
class StopPolicy:
    """The budget of a graceful stop and of an abort."""

    drain_s: float = 60.0
    poll_grace_s: float = 5.0
    """How long a poll under way is awaited: its reply may hold a job."""
    abort_s: float = 5.0

    @property
    def leave_s(self) -> float:
        """The last part of the drain, kept for sending results and leaving."""
        return min(15.0, self.drain_s / 4)


@dataclass(frozen=True, slots=True)
class StaggerPolicy:
    """How starts are spread: an account's first node from ``min_s`` to ``max_s``, its others ``spacing_s`` apart."""

    min_s: float = 1.0
    max_s: float = 500.0
    spacing_s: float = 5.0
    jitter_s: float = 1.0


@dataclass(frozen=True, slots=True)
class OutboxPolicy:
    """The bounds of the outbox and the pace of its sender."""

    max_results: int = 100_000
    max_bytes: int = 512 * 1024 * 1024
    expire_s: float = 7 * 24 * 3600.0
    """Age at which an unsent result becomes a dead letter, and a dead letter is removed.

    The bounds of number and size hold for dead letters apart, and remove the oldest.
    """
    remember_s: float = 300.0
    """How long an accepted key is kept, to know a redelivered job by: one lease."""
    back_off: BackOff = field(default_factory=lambda: BackOff(base_s=0.5, cap_s=30.0))
    per_node: int = 4
    """Results of one node under way at once, to each of its sources."""
    min_free_bytes: int = 64 * 1024 * 1024
    """Free space on the disk below which no new work is taken."""
    probe_s: float = 5.0
    """How often the disk is measured, and tried again after a failed write."""
    sweep_s: float = 60.0
    """How often expired results and forgotten keys are looked for."""
    grace_s: float = 5.0
    """How long submissions under way are awaited when the sender ends."""


@dataclass(frozen=True, slots=True)
class AuthPolicy:
    """The circuit before the auth service."""

    failures: int = 3
    """Failures in a row that open the circuit."""
    open_s: float = 15.0
    """How long it stays open before a probe is let through."""
    open_cap_s: float = 120.0
    """Failed probes double the time, up to this."""
    release_per_s: float = 50.0
    """Nodes let through a second once the service is back."""


@dataclass(frozen=True, slots=True)
class ProxyPolicy:
    """How proxies are judged."""

    echo_url: str = "https://api.ipify.org?format=json"
    check_s: float = 10.0
    recheck_s: float = 300.0
    """Age at which a check of a proxy in use is repeated."""
    failures: int = 3
    """Failures in a row that set a proxy aside."""
    cool_down_s: float = 60.0
    """How long a proxy set aside is left alone; doubled each time up to ``cool_down_cap_s``."""
    cool_down_cap_s: float = 3600.0
    retry_s: float = 5.0
    """Wait between looks for a good proxy while there is none."""
