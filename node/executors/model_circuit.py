"""The circuit before one model of one engine."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import assert_never

from node.domain.circuit import CIRCUIT_TABLE, Circuit, CircuitInput
from node.domain.errors import Declined
from node.domain.states import Machine
from node.ports.clock import Clock


@dataclass(frozen=True, slots=True)
class BreakerPolicy:
    """When an engine's model is left alone.

    Raises:
        ValueError: a number is below 1, or the time not above 0.
    """

    failures: int = 5
    """Failures in a row that open the circuit."""
    open_s: float = 60.0
    """Seconds that it stays open before one job is let through to try."""
    silent_s: float = 30.0
    """A cancelled call is a failure where the engine had said nothing of its answer for so long by then."""
    max_models: int = 256
    """Models that a `Breaker` remembers, beyond those with calls under way."""

    def __post_init__(self) -> None:
        if self.failures < 1 or self.max_models < 1 or not min(self.open_s, self.silent_s) > 0:
            raise ValueError("failures and models are 1 or more, and times are more than 0 s")


@dataclass(frozen=True, eq=False, slots=True)
class Passage:
    """One call that was let through; ``epoch`` counts how often the circuit had opened before."""

    epoch: int


class ModelCircuit:
    """Counts failures in a row, and lets nothing pass for a while when they are too many; then one call to try.

    ``tell`` is called with each new state and the reason. While it is open it holds one timer, so that the end of
    that time is told though no call comes.
    """

    def __init__(self, engine: str, policy: BreakerPolicy, clock: Clock, tell: Callable[[Circuit, str], None]) -> None:
        self._engine = engine
        self._policy = policy
        self._clock = clock
        self._tell = tell
        self._machine = Machine(CIRCUIT_TABLE, Circuit.CLOSED)
        self._failures = 0
        self._last_failure = ""
        self._epoch = 0
        self._probe: Passage | None = None
        self._tries_at = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._passing = 0

    @property
    def state(self) -> Circuit:
        """Where it stands now."""
        return self._machine.state

    @property
    def is_idle(self) -> bool:
        """Whether no call that was let through is under way."""
        return not self._passing

    def admit(self) -> Passage:
        """Let a call through; `leave` must follow.

        Raises:
            Declined: the circuit is open, or another call tries the model out; the message says when it is tried next.
        """
        match self.state:
            case Circuit.CLOSED:
                passage = Passage(self._epoch)
            case Circuit.OPEN:
                left_s = max(1, round(self._tries_at - self._clock.monotonic()))
                raise Declined(f"{self._past}; it is tried again in {left_s} s")
            case Circuit.HALF_OPEN:
                if self._probe is not None:
                    raise Declined(f"{self._past}; one job is trying it again now")
                passage = self._probe = Passage(self._epoch)
            case state:
                assert_never(state)
        self._passing += 1
        return passage

    def leave(self, passage: Passage) -> None:
        """The call is over, however it ended. One that was to try the model and told nothing makes room for the next."""
        self._passing -= 1
        if passage is self._probe:
            self._probe = None

    def answered(self) -> None:
        """The model answered a call."""
        self._failures = 0
        self._feed(CircuitInput.ANSWERED, "the engine answers")

    def failed(self, passage: Passage, reason: str, told: str) -> None:
        """The model failed this call; ``told`` is what those may read of the reason who ask for it later."""
        match self.state:
            case Circuit.CLOSED:
                # Those who had asked before it last opened tell nothing new.
                if passage.epoch == self._epoch:
                    self._failures += 1
                    if self._failures >= self._policy.failures:
                        self._open(CircuitInput.TRIPPED, reason, told)
            case Circuit.HALF_OPEN:
                if passage is self._probe:
                    self._open(CircuitInput.PROBE_FAILED, reason, told)
            case Circuit.OPEN:
                pass
            case state:
                assert_never(state)

    def close(self, reason: str = "") -> None:
        """Stop the timer. With a reason, a circuit that is not closed is told to be so."""
        self._stop_timer()
        if reason and self.state is not Circuit.CLOSED:
            self._feed(CircuitInput.ANSWERED, reason)

    @property
    def _past(self) -> str:
        return f"{self._engine} is left alone with this model, which failed again and again ({self._last_failure})"

    def _open(self, input_: CircuitInput, reason: str, told: str) -> None:
        self._epoch += 1
        self._last_failure = told
        self._tries_at = self._clock.monotonic() + self._policy.open_s
        self._timer = asyncio.get_running_loop().call_later(self._policy.open_s, self._elapsed)
        self._feed(input_, reason)

    def _elapsed(self) -> None:
        self._timer = None
        self._feed(CircuitInput.ELAPSED, "it is time to try again")

    def _feed(self, input_: CircuitInput, reason: str) -> None:
        before = self.state
        after = self._machine.feed(input_)
        if after is before:
            return
        self._probe = None
        if after is Circuit.CLOSED:
            self._stop_timer()
        self._tell(after, reason)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
