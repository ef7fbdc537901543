"""Which engines run which models."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, NamedTuple

from node.domain.errors import Declined, EngineFailed, EngineOverloaded, EngineRefused, ExecutorError
from node.domain.jobs import Payload
from node.domain.model_names import matches
from node.domain.results import Output
from node.executors.engine_calls import EngineAbsent
from node.executors.progress import EngineSilent
from node.executors.watched_pieces import WatchedPieces
from node.executors.written_rules import split_names, split_rule
from node.ports.executor import Executor, Partials

_SHAPE: Final = "PATTERN=ENGINE+ENGINE, such as llama3*=ollama+vllm"


@dataclass(frozen=True, slots=True)
class Route:
    """Engines, by name and in order, for the models that fit the pattern.

    See `node.domain.model_names.matches` for what fits.
    """

    pattern: str
    engines: tuple[str, ...]


def parse_route(text: str) -> Route:
    """Read ``llama3*=ollama+vllm``.

    Raises:
        ValueError: it is of another form, or names no engine, or one twice.
    """
    pattern, engines = split_rule(text, _SHAPE)
    return Route(pattern, split_names(engines, _SHAPE))


class Prospect(NamedTuple):
    """What a job would find at an engine: whether its model is there, and how many slots are free, below 0 how many jobs
    wait.
    """

    has_model: bool = True
    free: int = 1


class Routed:
    """Gives each job to one of the engines of the first route that fits its model, and to the next if need be.

    A route's engines are asked in their order, those without a free slot after the others. A model that fits no route
    is offered to all engines: first to those that have it, and of these to the one with most free slots. A job is passed
    on where it is declined, and where the engine is full or fails before the first piece; what an engine refuses is not.
    ``prospects`` tell by engine what a job for a model would find there.

    Raises:
        ValueError: a route names an engine that is not among ``engines``.
    """

    def __init__(
        self,
        engines: Mapping[str, Executor],
        routes: Sequence[Route],
        prospects: Mapping[str, Callable[[str], Prospect]] = MappingProxyType({}),
    ) -> None:
        for route in routes:
            if unknown := [name for name in route.engines if name not in engines]:
                known = ", ".join(engines) or "none"
                raise ValueError(f"the route of {route.pattern} names {unknown[0]!r}; the engines are: {known}")
        self._engines = dict(engines)
        self._routes = tuple(routes)
        self._prospects = dict(prospects)

    @property
    def name(self) -> str:
        """See `node.ports.executor.Executor.name`; a result bears the name of the engine that ran the job."""
        return "|".join(engine.name for engine in self._engines.values())

    async def execute(self, payload: Payload, partials: Partials | None = None) -> Output:
        """See `node.ports.executor.Executor.execute`.

        The error of several engines has the type that gives most hope, and the message joins every reason.

        Raises:
            Declined: none of those that were asked takes the job.
        """
        pieces = WatchedPieces(partials)
        errors: list[ExecutorError] = []
        for name in self._in_turn(payload.model):
            try:
                return await self._engines[name].execute(payload, pieces)
            except EngineRefused:
                raise
            except (Declined, EngineOverloaded, EngineFailed) as error:
                if pieces.came:
                    raise
                errors.append(error)
        raise _of_all(errors)

    async def aclose(self) -> None:
        """Close every engine once, whether or not one of them fails to close."""
        async with AsyncExitStack() as closing:
            for engine in reversed(self._engines.values()):
                closing.push_async_callback(engine.aclose)

    def _in_turn(self, model: str) -> Sequence[str]:
        found = {name: self._prospect(name, model) for name in self._engines}
        for route in self._routes:
            if matches(model, (route.pattern,)):
                return sorted(route.engines, key=lambda name: max(0, 1 - found[name].free))
        return sorted(found, key=lambda name: (not found[name].has_model, -found[name].free))

    def _prospect(self, engine: str, model: str) -> Prospect:
        tell = self._prospects.get(engine)
        return Prospect() if tell is None else tell(model)


def _of_all(errors: Sequence[ExecutorError]) -> ExecutorError:
    if not errors:
        return Declined("no engine is configured")
    if len(errors) == 1:
        return errors[0]
    best = min(errors, key=_hopelessness)
    reason, told = "; ".join(map(str, errors)), "; ".join(error.told for error in errors)
    if isinstance(best, EngineOverloaded):
        return EngineOverloaded(reason, best.retry_after_s, told=told)
    return type(best)(reason, told=told)


def _hopelessness(error: ExecutorError) -> int:
    """How little sense it makes to try again soon."""
    kinds = (EngineOverloaded, EngineSilent, EngineFailed, EngineAbsent, Declined)
    return next(place for place, kind in enumerate(kinds) if isinstance(error, kind))
