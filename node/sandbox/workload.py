"""The feeder: a stream of jobs, submitted as a developer would."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

from node.domain.errors import StorageError
from node.domain.events import Crash
from node.ports.clock import Clock, Random
from node.protocol.messages import InputMessage, JobRequest
from node.runtime.signals import Bell
from node.runtime.tasks import TaskOwner
from node.sandbox.gateway import Gateway
from node.sandbox.policy import Prompt, WorkloadPolicy
from node.sandbox.refusals import QueueFull

MAX_BATCH: Final = 1000
"""Arrivals that are caught up with in one go, when the loop was late."""

_OPENINGS: Final = ("Describe", "Explain", "Compare with its nearest kin:", "Tell a short story about", "Sum up")
_TOPICS: Final = (
    "a lighthouse in fog",
    "the water cycle",
    "binary search",
    "sourdough bread",
    "the moons of Jupiter",
    "a night train",
    "public-key cryptography",
    "coral reefs",
)


class Feeder:
    """Submits jobs at a set rate whether or not they get done: an open model.

    Arrivals keep to their own schedule; what a late loop missed is made up for. While the feeder is off, no
    arrivals are due. An arrival that finds ``max_pending`` jobs waiting is dropped and counted.
    """

    def __init__(
        self,
        gateway: Gateway,
        policy: WorkloadPolicy,
        clock: Clock,
        random: Random,
        on_crash: Callable[[Crash], object],
    ) -> None:
        self._gateway = gateway
        self._policy = policy
        self._clock = clock
        self._random = random
        self._tasks = TaskOwner(on_crash)
        self._bell = Bell()
        self._stopped = False
        self._running = policy.running
        self._rate_per_s = policy.rate_per_s
        self._next_at: float | None = None
        self._submitted = 0
        self._dropped = 0
        self._failed = 0
        self._models = tuple(dict.fromkeys([*(prompt.model for prompt in policy.prompts), *policy.other_models]))

    def set(self, *, running: bool | None = None, rate_per_s: float | None = None) -> None:
        """Switch it on or off, or change its rate (jobs a second, not negative); None leaves as it is.

        The next arrival is drawn anew.
        """
        if running is not None:
            self._running = running
        if rate_per_s is not None:
            self._rate_per_s = rate_per_s
        self._next_at = None
        self._bell.ring()

    def stop(self) -> None:
        """End `run`, for good; jobs that it is submitting are still submitted."""
        self._stopped = True
        self._bell.ring()

    def report(self) -> dict[str, Any]:
        """What it does and has done.

        ``dropped`` arrivals found too many jobs waiting; ``failed`` ones the gateway refused or could not keep.
        """
        return {
            "running": self._running and not self._exhausted,
            "rate_per_s": self._rate_per_s,
            "submitted": self._submitted,
            "dropped": self._dropped,
            "failed": self._failed,
        }

    async def run(self) -> None:
        """Submit jobs until `stop`."""
        while not self._stopped:
            if not self._is_on:
                await self._bell.wait()
                continue
            now = self._clock.monotonic()
            if self._next_at is None:
                self._next_at = now + self._gap_s()
            for prompt in [self._draw() for _ in range(self._due(now))]:
                self._tasks.start(self._submit(prompt), name="feed")
            await self._tasks.join()
            if self._next_at is not None:
                await self._bell.wait(self._next_at - self._clock.monotonic())

    @property
    def _exhausted(self) -> bool:
        limit = self._policy.limit
        return limit is not None and self._submitted >= limit

    @property
    def _is_on(self) -> bool:
        return self._running and self._rate_per_s > 0 and bool(self._models) and not self._exhausted

    def _gap_s(self) -> float:
        if self._policy.arrivals == "poisson":
            return self._random.expovariate(self._rate_per_s)
        return 1 / self._rate_per_s

    def _due(self, now: float) -> int:
        due = 0
        while self._next_at is not None and self._next_at <= now and due < MAX_BATCH:
            self._next_at += self._gap_s()
            due += 1
        room = max(0, self._policy.max_pending - self._gateway.pending)
        if self._policy.limit is not None:
            due = min(due, self._policy.limit - self._submitted)
        self._dropped += max(0, due - room)
        return min(due, room)

    async def _submit(self, prompt: Prompt) -> None:
        request = JobRequest(
            model=prompt.model,
            messages=[InputMessage(role="user", content=prompt.text)],
            max_output=self._policy.max_output,
            temperature=self._policy.temperature,
        )
        try:
            await self._gateway.submit(request, self._policy.api_key)
        except (QueueFull, StorageError):
            self._failed += 1
        else:
            self._submitted += 1

    def _draw(self) -> Prompt:
        prompts: Sequence[Prompt] = self._policy.prompts
        if prompts and self._random.random() >= self._policy.share_other:
            return self._random.choice(prompts)
        number = self._random.randrange(1, 1_000_000)
        text = f"{self._random.choice(_OPENINGS)} {self._random.choice(_TOPICS)} (variant {number})"
        return Prompt(self._random.choice(self._models), text)
