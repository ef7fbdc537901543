"""The calls of one engine: whether anybody is there to answer them, and the events that tell of each."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Final

from node.domain.errors import Declined, EngineOverloaded, EngineRefused, ExecutorError
from node.domain.events import EngineCalled
from node.domain.trace import TraceContext
from node.executors.presence import EnginePresence
from node.ports.clock import Clock
from node.ports.events import EventSink

_CUT_OFF: Final = "the call was ended before the answer was whole"


class EngineAbsent(Declined):
    """Nobody answers at the engine's address. The message has the remedy."""


class EngineCall:
    """The figures of one call, filled in while it runs. ``model`` is the one asked for until the engine names it."""

    def __init__(self, model: str, clock: Clock, trace: TraceContext | None = None) -> None:
        self.model = model
        self.trace = trace
        self.load_s: float | None = None
        self.finish_reason: str | None = None
        self.prompt_tokens: int | None = None
        self.output_tokens: int | None = None
        self.first_token_s: float | None = None
        self._clock = clock
        self._started = clock.monotonic()
        self._pieces = 0
        self._last_piece_s = 0.0

    @property
    def took_s(self) -> float:
        """Seconds since the engine was asked."""
        return self._clock.monotonic() - self._started

    def piece(self) -> None:
        """A piece of the text has come."""
        self._pieces += 1
        self._last_piece_s = self.took_s
        if self.first_token_s is None:
            self.first_token_s = self._last_piece_s

    def measured_rate(self) -> float | None:
        """Tokens a second by our own clock: from the first piece to the last, the wait for the first left out.

        With an answer in one piece the wait is all there is to measure. None where nothing can be said.
        """
        took_s, tokens = self._last_piece_s, self.output_tokens or 0
        if self._pieces > 1 and self.first_token_s is not None:
            took_s, tokens = took_s - self.first_token_s, tokens - 1
        return tokens / took_s if took_s > 0 and tokens > 0 else None


class EngineCalls:
    """Keeps an engine's presence, and tells of its calls. ``probe_s`` is the time for one look whether it is there."""

    def __init__(self, presence: EnginePresence, engine: str, probe_s: float, clock: Clock, events: EventSink) -> None:
        self._presence = presence
        self._engine = engine
        self._probe_s = probe_s
        self._clock = clock
        self._events = events

    async def look(self, probe: Callable[[], Awaitable[object]]) -> None:
        """Go on while the engine is not known to be missing; look again where it is this caller's turn.

        ``probe`` is a request of its own, which tells the presence that somebody answered: a job is answered only
        when its model is loaded, which can take a minute.

        Raises:
            EngineAbsent: the engine is missing.
        """
        if self._presence.look_now():
            with suppress(ExecutorError, TimeoutError):
                async with asyncio.timeout(self._probe_s):
                    await probe()
        if self._presence.missing_because:
            raise EngineAbsent(self._presence.missing_because, told=f"{self._engine} is not there")

    @contextmanager
    def call(self, model: str, trace: TraceContext | None = None) -> Iterator[EngineCall]:
        """Ask the engine inside: it is told as one `EngineCalled`, or as missing where `EngineAbsent` is raised.

        One that was there until then is told as both: where others find it and calls do not, these are failures.
        """
        call = EngineCall(model, self._clock, trace)
        try:
            yield call
        except EngineAbsent as absent:
            was_there = self._presence.is_there
            self._presence.missing(str(absent))
            if was_there:
                self._tell(call, str(absent))
            raise
        except ExecutorError as error:
            self._tell(call, str(error), error)
            raise
        except asyncio.CancelledError:
            self._tell(call, _CUT_OFF)
            raise
        self._tell(call)

    def _tell(self, call: EngineCall, error: str = "", cause: ExecutorError | None = None) -> None:
        self._events.emit(
            EngineCalled(
                engine=self._engine,
                model=call.model,
                took_s=call.took_s,
                output_tokens=None if error else call.output_tokens,
                error=error,
                prompt_tokens=None if error else call.prompt_tokens,
                first_token_s=call.first_token_s,
                is_overload=isinstance(cause, EngineOverloaded),
                is_refusal=isinstance(cause, Declined | EngineRefused),
                finish_reason=None if error else call.finish_reason,
                load_s=call.load_s,
                trace=call.trace,
            )
        )
