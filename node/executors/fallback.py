"""Other models for those that cannot be run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from node.domain.errors import Declined, EngineFailed, EngineOverloaded
from node.domain.events import FellBack
from node.domain.jobs import Payload
from node.domain.model_names import matches
from node.domain.results import Output
from node.executors.watched_pieces import WatchedPieces
from node.executors.written_rules import split_names, split_rule
from node.ports.events import EventSink
from node.ports.executor import Executor, Partials

_SHAPE: Final = "PATTERN=MODEL+MODEL, such as llama3.1:70b=llama3.1:8b+gemma2:2b"


@dataclass(frozen=True, slots=True)
class FallbackRule:
    """Models to try, in order, in place of those that fit the pattern.

    See `node.domain.model_names.matches` for what fits. The vectors of one embedding model mean nothing to
    another: such models are best left without a rule.
    """

    pattern: str
    alternatives: tuple[str, ...]


def parse_fallback(text: str) -> FallbackRule:
    """Read ``llama3.1:70b=llama3.1:8b+gemma2:2b``.

    Raises:
        ValueError: it is of another form, or names no model, one twice, or one with a wildcard.
    """
    pattern, models = split_rule(text, _SHAPE)
    alternatives = split_names(models, _SHAPE)
    if wild := [model for model in alternatives if set("*?") & set(model)]:
        raise ValueError(f"{wild[0]!r} is a pattern; what stands in for {pattern} must be named in full")
    if pattern in alternatives:
        raise ValueError(f"{pattern} cannot stand in for itself")
    return FallbackRule(pattern, alternatives)


class Fallback:
    """Runs another model where the one asked for is declined, or its engine is full or fails before the first piece.

    The first rule that fits the model counts. Alternatives have none of their own. The output names the model that
    ran. Each try is told as a `FellBack`.
    """

    def __init__(self, executor: Executor, rules: Sequence[FallbackRule], events: EventSink) -> None:
        self._executor = executor
        self._rules = tuple(rules)
        self._events = events

    @property
    def name(self) -> str:
        """See `node.ports.executor.Executor.name`: that of the one that runs all models."""
        return self._executor.name

    async def execute(self, payload: Payload, partials: Partials | None = None) -> Output:
        """See `node.ports.executor.Executor.execute`.

        When no model could be run, the error is of the kind that the one asked for ended with, and its message tells
        of the others too.
        """
        pieces = WatchedPieces(partials)
        try:
            return await self._executor.execute(payload, pieces)
        except (Declined, EngineOverloaded, EngineFailed) as error:
            alternatives = self._alternatives(payload.model)
            if pieces.came or not alternatives:
                raise
            first = error
        tried, told = [], []
        for model in alternatives:
            self._events.emit(FellBack(asked=payload.model, tried=model, reason=str(first)))
            try:
                return await self._executor.execute(payload._replace(model=model), pieces)
            except (Declined, EngineOverloaded, EngineFailed) as error:
                if pieces.came:
                    raise
                tried.append(f"{model} ({error})")
                told.append(f"{model} ({error.told})")
        reason = f"{first}; in its place were tried: {', '.join(tried)}"
        raise type(first)(reason, told=f"{first.told}; in its place were tried: {', '.join(told)}") from first

    async def aclose(self) -> None:
        """See `node.ports.executor.Executor.aclose`: closes the one that runs all models."""
        await self._executor.aclose()

    def _alternatives(self, model: str) -> tuple[str, ...]:
        for rule in self._rules:
            if matches(model, (rule.pattern,)):
                return tuple(alternative for alternative in rule.alternatives if alternative != model)
        return ()
