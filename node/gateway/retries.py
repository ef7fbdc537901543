"""Trying a step again after a passing fault."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

from tenacity import AsyncRetrying, RetryCallState, retry_if_exception_type

from node.domain.errors import StepFault, TryLater
from node.domain.policies import RetryPolicy
from node.ports.clock import Random
from node.runtime.signals import Signal

T = TypeVar("T")


class Exhausted(StepFault):
    """The attempts that a policy allows are used up; the cause is the last `TryLater`."""


class Retries:
    """The attempts of one step from its first failure on.

    tenacity is kept off the path of success, where it would cost some 30 µs for each call. Chance, time and
    sleep are the program's own, so that a fleet runs in virtual time from a seed and a stop ends a sleep.
    """

    def __init__(
        self,
        policy: RetryPolicy,
        random: Random,
        stop: Signal,
        elapsed_s: Callable[[], float],
        on_retry: Callable[[int, str, float], None],
    ) -> None:
        """Prepare for one step. ``attempts`` counts those that were begun, from 1.

        ``elapsed_s`` tells how long the step has taken so far. ``on_retry`` is told of each attempt that failed
        and is followed by another: its number, why it failed, and the wait in seconds.
        """
        self.attempts = 1
        self._policy = policy
        self._random = random
        self._stop = stop
        self._elapsed_s = elapsed_s
        self._on_retry = on_retry

    async def run(self, attempt: Callable[[], Awaitable[T]]) -> T:
        """Attempt until it succeeds; only `TryLater` is followed by another attempt.

        Raises:
            Exhausted: the policy allows no further attempt, or its time would pass in the wait for it.
            StepFault: the stop was signalled.
            StepFailed: an attempt failed in a way that another would not mend.
        """
        try:
            return await attempt()
        except TryLater as first:
            failure = _without_frames(first)
        return await self._run_on(attempt, failure)

    async def _run_on(self, attempt: Callable[[], Awaitable[T]], last: TryLater) -> T:
        told = False
        trials = AsyncRetrying(
            sleep=self._sleep,
            stop=self._must_end,
            wait=self._wait_s,
            retry=retry_if_exception_type(TryLater),
            before_sleep=self._tell,
            retry_error_callback=lambda _: None,
        )
        async for trial in trials:
            with trial:
                if not told:
                    told = True
                    raise last
                self.attempts += 1
                try:
                    return await attempt()
                except TryLater as error:
                    last = _without_frames(error)
                    raise last from error.__cause__
        if self._stop.is_set:
            raise StepFault(f"{last} (not tried again: the node is stopping)") from last
        raise Exhausted(f"{last} (tried {self.attempts} times in {self._elapsed_s():.1f} s)") from last

    def _wait_s(self, state: RetryCallState) -> float:
        failure = state.outcome.exception() if state.outcome is not None else None
        at_least_s = failure.retry_after_s if isinstance(failure, TryLater) else None
        return self._policy.back_off.draw(self.attempts, self._random, at_least_s)

    def _must_end(self, state: RetryCallState) -> bool:
        if self._stop.is_set or self.attempts >= self._policy.attempts:
            return True
        return self._elapsed_s() + state.upcoming_sleep > self._policy.elapsed_s

    def _tell(self, state: RetryCallState) -> None:
        failure = state.outcome.exception() if state.outcome is not None else None
        self._on_retry(self.attempts, str(failure), state.upcoming_sleep)

    async def _sleep(self, delay_s: float) -> None:
        if await self._stop.wait(delay_s):
            raise StepFault("not tried again: the node is stopping")


def _without_frames(error: TryLater) -> TryLater:
    """The error without the frames that it came through, which hold the whole reply.

    tenacity's objects refer to each other, and with them the error lives on until the garbage collector comes by.
    """
    return error.with_traceback(None)
