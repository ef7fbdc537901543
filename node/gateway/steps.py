"""Running a step of the protocol to its end, and telling how it went."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar, assert_never

from node.domain.errors import (
    IdentityRefused,
    SessionLost,
    StepFailed,
    StepFault,
    StepRefused,
    TransportError,
    TryLater,
)
from node.domain.events import StepEnded, StepRetried
from node.domain.ids import NodeId
from node.domain.policies import RetryPolicy
from node.domain.verdict import Ruling, Verdict
from node.gateway.retries import Retries
from node.ports.clock import Clock, Random
from node.ports.events import EventSink
from node.protocol.routes import Step
from node.runtime.signals import Signal

T = TypeVar("T")


def raise_for(verdict: Verdict) -> None:
    """Return when the step succeeded.

    Raises:
        StepFailed: it did not; the subclass says in which way.
    """
    match verdict.ruling:
        case Ruling.OK | Ruling.NO_JOB | Ruling.ALREADY:
            return
        case Ruling.RETRY | Ruling.PENDING:
            raise TryLater(verdict.reason, verdict.retry_after_s)
        case Ruling.RENEW | Ruling.SESSION_LOST:
            raise SessionLost(verdict.reason)
        case Ruling.IDENTITY_REFUSED:
            raise IdentityRefused(verdict.reason)
        case Ruling.REFUSED | Ruling.DEAD_LETTER:
            raise StepRefused(verdict.reason)
        case Ruling.FAULT:
            raise StepFault(verdict.reason)
        case _:
            assert_never(verdict.ruling)


class StepRunner:
    """Runs a node's steps: each is tried until it succeeds, fails for good, or the policy ends it."""

    __slots__ = ("_clock", "_events", "_node", "_policy", "_random")

    def __init__(self, node: NodeId, policy: RetryPolicy, clock: Clock, random: Random, events: EventSink) -> None:
        self._node = node
        self._policy = policy
        self._clock = clock
        self._random = random
        self._events = events

    async def run(
        self,
        step: Step,
        attempt: Callable[[], Awaitable[T]],
        stop: Signal,
        now: Callable[[], float] | None = None,
    ) -> T:
        """Run one step and tell how it ended; what its transport fails at is a passing fault.

        ``stop`` ends the waits between attempts, not an attempt. ``now`` stands in for the clock, in seconds.

        Raises:
            StepFailed: as the attempts say, but for `TryLater`, which becomes `StepFault` in the end.
        """
        now = now or self._clock.monotonic
        started = now()

        async def attempt_once() -> T:
            try:
                return await attempt()
            except TransportError as error:
                raise TryLater(str(error)) from error

        def elapsed_s() -> float:
            return now() - started

        def tell(attempt_number: int, reason: str, wait_s: float) -> None:
            self._events.emit(StepRetried(self._node, step.label, attempt_number, reason, wait_s))

        retries = Retries(self._policy, self._random, stop, elapsed_s, tell)
        try:
            outcome = await retries.run(attempt_once)
        except StepFailed as error:
            self._events.emit(StepEnded(self._node, step.label, elapsed_s(), retries.attempts, str(error)))
            raise
        self._events.emit(StepEnded(self._node, step.label, elapsed_s(), retries.attempts))
        return outcome
