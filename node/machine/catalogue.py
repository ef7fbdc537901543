"""Which models an engine has, and which of them are offered."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from node.domain.errors import ExecutorError
from node.domain.events import EngineChanged
from node.domain.model_names import exact, full_name, matches
from node.ports.clock import Clock
from node.ports.events import EventSink
from node.ports.library import ModelLibrary

_FAILURES: Final = 2
"""Listings in a row that must fail before the engine is told to be missing: a busy one may be slow once."""


@dataclass(frozen=True, slots=True)
class CataloguePolicy:
    """What is offered of what an engine has.

    ``allowed`` are names and patterns (`node.domain.model_names.matches`), none for all. With ``pulls`` those that are
    plain names are offered though the engine has them not: they are fetched when a job asks for them. While the engine
    is missing its models stay on offer for ``grace_s``. A listing may take ``ask_s``.
    """

    allowed: tuple[str, ...] = ()
    pulls: bool = False
    grace_s: float = 120.0
    ask_s: float = 15.0


class ModelCatalogue:
    """Remembers what an engine has, from one `refresh` to the next; a subscriber of `EngineChanged`.

    It tells of the engine's coming and going, as far as nobody else has done so. ``on_change`` is called when the
    offer has changed, ``on_engine`` when somebody else tells of the engine: time for a refresh. ``on_answer`` is called
    with each answer, before the engine is told to be there: whoever runs its jobs must know by then.
    """

    def __init__(self, library: ModelLibrary, policy: CataloguePolicy, clock: Clock, events: EventSink) -> None:
        self._library = library
        self._policy = policy
        self._clock = clock
        self._events = events
        self._on_change: tuple[Callable[[], object], ...] = ()
        self._on_engine: tuple[Callable[[], object], ...] = ()
        self._on_answer: tuple[Callable[[], object], ...] = ()
        self._stored: tuple[str, ...] = ()
        self._names: frozenset[str] = frozenset()
        self._withdrawn: dict[str, float] = {}
        self._failures = 0
        self._failing_since: float | None = None
        self._failed_because = ""
        self._told: bool | None = None
        self._asked = 0
        self._answered = 0
        self._offered: tuple[str, ...] = ()

    @property
    def engine(self) -> str:
        """The engine's name."""
        return self._library.engine

    @property
    def is_fresh(self) -> bool:
        """Whether the last listing succeeded."""
        return self._answered > 0 and self._failing_since is None

    @property
    def is_missing(self) -> bool:
        """Whether the engine was last told to be missing."""
        return self._told is False

    @property
    def failed_because(self) -> str:
        """Why the last listing failed; empty where it did not, or there was none yet."""
        return self._failed_because

    def on_change(self, call: Callable[[], object]) -> None:
        """Have this called whenever `offered` has changed."""
        self._on_change += (call,)

    def on_engine(self, call: Callable[[], object]) -> None:
        """Have this called when the engine was told to have come or gone."""
        self._on_engine += (call,)

    def on_answer(self, call: Callable[[], object]) -> None:
        """Have this called when the engine has told what it has."""
        self._on_answer += (call,)

    def handlers(self) -> Mapping[type[Any], Callable[[Any], object]]:
        """What to call for which kind of event, as an event bus asks for it."""
        return {EngineChanged: self._heard}

    @property
    def stored(self) -> frozenset[str]:
        """The full names (`node.domain.model_names.full_name`) of what the engine had when it last answered."""
        return self._names

    def has(self, model: str) -> bool:
        """Whether the engine had this model when it was last asked."""
        return full_name(model) in self._names

    def allows(self, model: str) -> bool:
        """Whether the operator lets this model be run."""
        return matches(model, self._policy.allowed)

    def may_pull(self, model: str) -> bool:
        """Whether this model is one to fetch on demand: allowed by name, not by a pattern alone."""
        if not (self._policy.pulls and self._library.manages):
            return False
        return full_name(model) in {full_name(name) for name in exact(self._policy.allowed)}

    def offered(self) -> tuple[str, ...]:
        """What to offer, by the last `refresh` or `review`: sorted, each once, as the engine spells it."""
        return self._offered

    def withdraw(self, model: str, for_s: float) -> None:
        """Offer this model for so long only if the engine has it: it cannot be fetched."""
        self._withdrawn[full_name(model)] = self._clock.monotonic() + for_s
        self.review()

    async def refresh(self) -> bool:
        """Ask the engine what it has; whether it answered. Never raises for an engine that does not."""
        self._asked += 1
        turn = self._asked
        try:
            async with asyncio.timeout(self._policy.ask_s):
                stored = await self._library.stored()
        except (ExecutorError, TimeoutError) as error:
            if turn > self._answered:
                self._failed(str(error) or f"{self.engine} did not say in {self._policy.ask_s:g} s which models it has")
            return False
        # Of two listings that overlap the one that was asked for later counts.
        if turn > self._answered:
            self._answered = turn
            self._stored = tuple(model.name for model in stored)
            self._names = frozenset(full_name(name) for name in self._stored)
            self._failures, self._failing_since, self._failed_because = 0, None, ""
            for call in self._on_answer:
                call()
            self._tell(available=True, reason="")
            self.review()
        return True

    def review(self) -> None:
        """Work out the offer anew: what holds for a time may have ended."""
        offered = self._to_offer()
        if offered != self._offered:
            self._offered = offered
            for call in self._on_change:
                call()

    def _to_offer(self) -> tuple[str, ...]:
        now = self._clock.monotonic()
        since = self._failing_since
        if not self._answered or (since is not None and now >= since + self._policy.grace_s):
            return ()
        names = {name for name in self._stored if self.allows(name)}
        for name in exact(self._policy.allowed):
            if self.may_pull(name) and not self.has(name) and self._withdrawn.get(full_name(name), now) <= now:
                names.add(name)
        return tuple(sorted(names))

    def _failed(self, reason: str) -> None:
        self._failures += 1
        self._failed_because = reason
        if self._failing_since is None:
            self._failing_since = self._clock.monotonic()
        if self._failures >= _FAILURES:
            self._tell(available=False, reason=reason)
        self.review()

    def _tell(self, *, available: bool, reason: str) -> None:
        if self._told is not available:
            self._told = available
            self._events.emit(EngineChanged(self.engine, available, reason))

    def _heard(self, event: EngineChanged) -> None:
        if event.engine == self.engine and event.available is not self._told:
            self._told = event.available
            if event.available and self.is_fresh:
                return
            for call in self._on_engine:
                call()
