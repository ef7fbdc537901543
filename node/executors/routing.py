"""Which engines run which models."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from node.domain.jobs import Payload
from node.domain.model_names import matches
from node.domain.results import Output
from node.executors.first_taker import FirstTaker
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


class Routed:
    """Gives each job to the engines of the first route that fits its model, in turn while they decline.

    A model that fits no route is offered to all engines in their order. Only `node.domain.errors.Declined` passes a
    job on; a failure of an engine that took it is final.

    Raises:
        ValueError: a route names an engine that is not among ``engines``.
    """

    def __init__(self, engines: Mapping[str, Executor], routes: Sequence[Route]) -> None:
        for route in routes:
            if unknown := [name for name in route.engines if name not in engines]:
                known = ", ".join(engines) or "none"
                raise ValueError(f"the route of {route.pattern} names {unknown[0]!r}; the engines are: {known}")
        self._all = FirstTaker(tuple(engines.values()))
        self._routes = tuple((route.pattern, FirstTaker([engines[name] for name in route.engines])) for route in routes)

    @property
    def name(self) -> str:
        """See `node.ports.executor.Executor.name`; a result bears the name of the engine that ran the job."""
        return self._all.name

    async def execute(self, payload: Payload, partials: Partials | None = None) -> Output:
        """See `node.ports.executor.Executor.execute`.

        Raises:
            Declined: none of those that were asked takes the job; the message joins every reason.
        """
        fitting = (taker for pattern, taker in self._routes if matches(payload.model, (pattern,)))
        return await next(fitting, self._all).execute(payload, partials)

    async def aclose(self) -> None:
        """Close every engine once, whether or not one of them fails to close."""
        await self._all.aclose()
