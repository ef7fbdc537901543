"""Gates that the machine's state closes: no job is claimed while it lacks memory, disk, or an idle GPU.

Each is shown every sample by `look`, as a listener of the `node.machine.sampler.MachineSampler`, and is open until
the first one. All are `node.ports.gates.ClaimGate`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from node.domain.events import JobClaimed, JobEnded, ResultLost
from node.domain.ids import JobKey
from node.domain.states import Hold
from node.machine.gpu import busiest_ratio
from node.machine.sample import MachineSample
from node.ports.clock import Clock


@dataclass(frozen=True, slots=True)
class MemoryPolicy:
    """Closed above ``max_ratio`` of the memory, and open again ``hysteresis_ratio`` below that."""

    max_ratio: float = 0.95
    hysteresis_ratio: float = 0.03


class MemoryGate:
    """Closed while the machine, or the container, is nearly out of memory."""

    hold = Hold.MEMORY

    def __init__(self, policy: MemoryPolicy) -> None:
        self._policy = policy
        self._closed_because = ""

    @property
    def closed_because(self) -> str:
        """See `node.ports.gates.ClaimGate.closed_because`."""
        return self._closed_because

    def look(self, sample: MachineSample) -> None:
        """Judge by this sample."""
        policy = self._policy
        limit = policy.max_ratio - (policy.hysteresis_ratio if self._closed_because else 0.0)
        used = sample.memory_used_ratio
        self._closed_because = f"{used:.0%} of the memory is in use, above {limit:.0%}" if used > limit else ""


class DiskGate:
    """Closed while the disk of the state folder has less than ``min_free_bytes`` left, or cannot be measured."""

    hold = Hold.DISK

    def __init__(self, min_free_bytes: int) -> None:
        self._min_free_bytes = min_free_bytes
        self._closed_because = ""

    @property
    def closed_because(self) -> str:
        """See `node.ports.gates.ClaimGate.closed_because`."""
        return self._closed_because

    def look(self, sample: MachineSample) -> None:
        """Judge by this sample."""
        free, least = sample.disk_free_bytes, self._min_free_bytes
        if free is None:
            self._closed_because = "the disk of the state folder cannot be measured"
        elif free < least:
            self._closed_because = f"the disk has {free / 1e6:.0f} MB left, less than {least / 1e6:.0f} MB"
        else:
            self._closed_because = ""


@dataclass(frozen=True, slots=True)
class IdleOnlyPolicy:
    """When a GPU counts as used by somebody else.

    ``busy_ratio`` is a card's share of busy time, without a job of this node, from which on it counts as used, and
    ``idle_ratio`` the one below which it counts as idle. It must be busy for ``busy_s`` to close the gate and idle for
    ``idle_s`` to open it; until ``settle_s`` after a job of this node what is measured may be that job.
    """

    busy_ratio: float = 0.3
    idle_ratio: float = 0.1
    busy_s: float = 10.0
    idle_s: float = 60.0
    settle_s: float = 5.0


class IdleOnlyGate:
    """Closed while something else than this process's jobs uses a GPU; a subscriber of job events.

    While a job runs nobody can tell whose work it is, and the gate stays as it is. Open where no card tells its use.
    """

    hold = Hold.GPU_BUSY

    def __init__(self, policy: IdleOnlyPolicy, clock: Clock) -> None:
        self._policy = policy
        self._clock = clock
        self._running: dict[JobKey, None] = {}
        self._own_until = float("-inf")
        self._since: float | None = None
        self._closed_because = ""

    @property
    def closed_because(self) -> str:
        """See `node.ports.gates.ClaimGate.closed_because`."""
        return self._closed_because

    def handlers(self) -> Mapping[type[Any], Callable[[Any], object]]:
        """What to call for which kind of event, as an event bus asks for it."""
        return {JobClaimed: self._on_claimed, JobEnded: self._on_over, ResultLost: self._on_over}

    def look(self, sample: MachineSample) -> None:
        """Judge by this sample, which may repeat an earlier look at the cards."""
        policy, now = self._policy, sample.gpus_taken_at
        used = busiest_ratio(sample.gpus)
        if used is None:
            self._since, self._closed_because = None, ""
        elif self._running or now < self._own_until + policy.settle_s:
            self._since = None
        elif self._closed_because:
            if self._lasts(now, policy.idle_s, is_so=used < policy.idle_ratio):
                self._closed_because = ""
                self._since = None
        elif self._lasts(now, policy.busy_s, is_so=used >= policy.busy_ratio):
            self._closed_because = f"something else uses the GPU: it is busy for {used:.0%} of the time"
            self._since = None

    def _lasts(self, now: float, for_s: float, *, is_so: bool) -> bool:
        """Whether it has been so, sample after sample, for this time."""
        if not is_so:
            self._since = None
            return False
        if self._since is None:
            self._since = now
        return now - self._since >= for_s

    def _on_claimed(self, event: JobClaimed) -> None:
        self._running[event.key] = None

    def _on_over(self, event: JobEnded | ResultLost) -> None:
        self._running.pop(event.key, None)
        self._own_until = self._clock.monotonic()
