"""How the parts of the program behave: frozen values that settings are turned into.

Durations are in seconds unless a name says otherwise. A pair ``low``–``high`` is drawn from evenly, anew
each time.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, Protocol


class Uniform(Protocol):
    """What a range is drawn with: `random.Random` has it."""

    def uniform(self, a: float, b: float, /) -> float:
        """A number from a to b."""
        ...


@dataclass(frozen=True, slots=True)
class Range:
    """Seconds to draw from, both ends included.

    Raises:
        ValueError: an end is below 0, or ``high`` below ``low``.
    """

    low: float
    high: float

    def __post_init__(self) -> None:
        if not 0 <= self.low <= self.high:
            raise ValueError(f"a range runs from 0 upwards, not from {self.low} to {self.high}")

    def draw(self, random: Uniform) -> float:
        """Seconds between the ends."""
        return random.uniform(self.low, self.high)


@dataclass(frozen=True, slots=True)
class BackOff:
    """Full-jitter exponential back-off: a wait is drawn from 0 to ``min(cap, base × 2^(attempt-1))``.

    The rule is "full jitter" of Brooker, "Exponential Backoff And Jitter" (AWS Architecture Blog, 2015).
    """

    base_s: float = 0.5
    cap_s: float = 30.0

    def ceiling(self, attempt: int) -> float:
        """The longest wait in seconds after this attempt, which counts from 1."""
        return min(self.cap_s, self.base_s * 2.0 ** min(attempt - 1, 60))

    def draw(self, attempt: int, random: Uniform, at_least_s: float | None = None) -> float:
        """The wait in seconds after this attempt, which counts from 1.

        With ``at_least_s`` (a ``Retry-After``) the jitter is added to it, so that nodes told the same time do
        not come back together; it is honoured up to ten times the cap, since the other side may be wrong.
        """
        jitter = random.uniform(0, self.ceiling(attempt))
        return jitter if at_least_s is None else min(at_least_s, 10 * self.cap_s) + jitter


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How long one step is tried: attempts in all, seconds in all, and the wait between.

    An attempt that would begin after ``elapsed_s`` is not made; one under way then goes on to its own time-out.
    """

    attempts: int = 5
    elapsed_s: float = 120.0
    back_off: BackOff = field(default_factory=BackOff)


@dataclass(frozen=True, slots=True)
class StepTimeouts:
    """The time that a single request of each step may take; the defaults are the protocol's (docs/protocol.md)."""

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
    """When a token is renewed: before its end by ``margin_s``, or by ``margin_share`` of its life where that is less.

    ``margin_share`` is from 0 to 1.
    """

    margin_s: float = 60.0
    margin_share: float = 0.2

    def renew_in(self, lifetime_s: float) -> float:
        """Seconds from now to the renewal of a token with this much life left; never below 0."""
        return max(0.0, lifetime_s - min(self.margin_s, lifetime_s * self.margin_share))


@dataclass(frozen=True, slots=True)
class NodePolicy:
    """A node's own rhythm."""

    slots: int = 1
    """Jobs at the same time."""
    poll_cycle_s: float = 5.0
    """From the start of a poll that brought nothing to the start of the next."""
    burst: int = 0
    """Jobs claimed one right after the other, after which others have a turn: a 25th of a cycle; 0: no end of them."""
    poll_jitter: float = 0.1
    """Share of the cycle (0 to 1) by which it is shortened or lengthened at most."""
    poll_failures: int = 5
    """Failed polls in a row that make a fault."""
    back_off: BackOff = field(default_factory=BackOff)
    job_deadline_s: float = 230.0
    """From a job's receipt, waits for an engine included; what takes longer is answered with an error."""
    heeds_job_limits: bool = True
    """Whether a job that tells how long its asker waits is given up at that time, if it comes first."""
    models_update: Range = field(default_factory=lambda: Range(7920, 15840))
    """From one announcement of the models to the next."""
    points_check_s: float = 15840.0
    """From one check of the points to the next."""
    recovery: Range = field(default_factory=lambda: Range(3600, 14400))
    """From a fault to the next start; a second at least."""
    refusals: int = 3
    """Denials of secret or identity in a row, the auth service healthy, that make a node FAILED."""
    default_max_output: int = 4096
    """Tokens, where the job asks for no limit; a job that asks for more is held to it too."""


@dataclass(frozen=True, slots=True)
class StopPolicy:
    """The budget of a graceful stop and of an abort."""

    drain_s: float = 60.0
    """From the call to stop to the end, jobs, sending and leaving included."""
    poll_grace_s: float = 5.0
    """How long a poll under way is awaited: its reply may hold a job."""
    abort_s: float = 5.0
    """For answering open jobs with an error, putting the answers on disk, and closing."""

    @property
    def leave_s(self) -> float:
        """The last seconds of the drain, kept for sending results and leaving: a quarter of it, 15 at most."""
        return min(15.0, self.drain_s / 4)


_MOST_RETURN_GAP_S: Final = 0.5
"""The longest gap between two nodes that come back: a small fleet tramples nobody."""


@dataclass(frozen=True, slots=True)
class StaggerPolicy:
    """How starts are spread: an account's first node from ``min_s`` to ``max_s``, its others ``spacing_s`` apart.

    Each start is up to ``jitter_s`` later than that.
    """

    min_s: float = 1.0
    max_s: float = 500.0
    spacing_s: float = 5.0
    jitter_s: float = 1.0
    return_cycles: float = 8.0
    """Poll cycles over which a whole fleet comes back to a gateway that was away or has forgotten it."""

    def return_gap_s(self, poll_cycle_s: float, nodes: int) -> float:
        """Mean seconds between two nodes that come back, of so many that poll in such a cycle."""
        return min(_MOST_RETURN_GAP_S, self.return_cycles * poll_cycle_s / max(1, nodes))


@dataclass(frozen=True, slots=True)
class OutboxPolicy:
    """The bounds of the outbox and the pace of its sender."""

    max_results: int = 100_000
    """Results that may wait."""
    max_bytes: int = 512 * 1024 * 1024
    """Bytes that waiting results may have together, as they are stored."""
    expire_s: float = 7 * 24 * 3600.0
    """Age at which an unsent result becomes a dead letter, and a dead letter is removed.

    The bounds of number and size hold for dead letters apart, and remove the oldest.
    """
    remember_s: float = 300.0
    """How long an accepted key is kept, to know a redelivered job by: one lease."""
    back_off: BackOff = field(default_factory=lambda: BackOff(base_s=2.0, cap_s=30.0))
    """Between two submissions of a result; they have no end but the result's."""
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
    """The circuit before the auth service (step 3 of the protocol)."""

    failures: int = 3
    """Failures in a row that open the circuit."""
    open_s: float = 15.0
    """How long it stays open before a probe is let through."""
    open_cap_s: float = 120.0
    """Failed probes double the time, up to this; a probe that is silent for so long makes room for the next."""
    release_per_s: float = 25.0
    """Nodes let through each second once the service is back."""


@dataclass(frozen=True, slots=True)
class ProxyPolicy:
    """How proxies are judged (step 1 of the protocol)."""

    echo_url: str = "https://api.ipify.org?format=json"
    """What a GET tells the caller's address, plain or as ``{"ip": …}``."""
    check_s: float = 10.0
    """Time for one such request, directly or through a proxy."""
    recheck_s: float = 300.0
    """Age at which a good check, and the direct address, are no longer relied on."""
    failures: int = 3
    """Failures in a row that set a proxy aside."""
    cool_down_s: float = 60.0
    """How long a proxy set aside is left alone; doubled each time up to ``cool_down_cap_s``."""
    cool_down_cap_s: float = 3600.0
    retry_s: float = 5.0
    """How long a failed proxy that is not set aside is left alone; also the wait between looks while none is good."""
