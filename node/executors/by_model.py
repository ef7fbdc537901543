"""A limit of calls that run at the same time for each model."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from node.domain.jobs import Payload
from node.domain.model_names import full_name, matches
from node.domain.results import Output
from node.executors.limited import Limited
from node.executors.written_rules import split_rule
from node.ports.executor import Executor, Partials

_SHAPE: Final = "PATTERN=NUMBER, such as llama3.1:70b=1"


@dataclass(frozen=True, slots=True)
class ModelLimit:
    """Calls at once for each model whose name fits the pattern (see `node.domain.model_names.matches`).

    Raises:
        ValueError: the limit is below 1.
    """

    pattern: str
    limit: int

    def __post_init__(self) -> None:
        if self.limit < 1:
            raise ValueError(f"{self.pattern!r} has a limit of {self.limit}; the least is 1")


def parse_model_limit(text: str) -> ModelLimit:
    """Read ``llama3.1:70b=1``.

    Raises:
        ValueError: it is of another form, or the number is below 1.
    """
    pattern, number = split_rule(text, _SHAPE)
    if not (number.isascii() and number.isdecimal()):
        raise ValueError(f"{number!r} is not a whole number; the form is {_SHAPE}")
    return ModelLimit(pattern, int(number))


@dataclass(eq=False, slots=True)
class _Lane:
    """The queue of one model, and how many calls are in it."""

    limited: Limited
    calls: int = 0


class LimitedByModel:
    """Lets so many calls of each model run at once; others of that model wait in the order of their coming.

    The first of ``limits`` that fits a model's name counts, so the more specific stand first; two models that fit
    the same one have a limit of that size each, two names of one model (`full_name`) share it. ``default`` is for the
    models that none fits, None for no limit. Goes around a `Limited`, so that a call that waits for its model holds
    none of the other slots.
    """

    def __init__(self, executor: Executor, limits: Sequence[ModelLimit], default: int | None = None) -> None:
        self._executor = executor
        self._limits = tuple(limits)
        self._default = default
        self._lanes: dict[str, _Lane] = {}

    @property
    def name(self) -> str:
        """See `node.ports.executor.Executor.name`: the limited one's."""
        return self._executor.name

    @property
    def waiting(self) -> int:
        """How many calls wait for their model."""
        return sum(lane.limited.waiting for lane in self._lanes.values())

    def free(self, model: str) -> int | None:
        """How many more calls of this model would run at once, by its limit alone; None where it has none."""
        limit, lane = self._limit(model), self._lanes.get(full_name(model))
        return limit if limit is None or lane is None else limit - lane.calls

    async def execute(self, payload: Payload, partials: Partials | None = None) -> Output:
        """See `node.ports.executor.Executor.execute`."""
        limit = self._limit(payload.model)
        if limit is None:
            return await self._executor.execute(payload, partials)
        with self._lane(full_name(payload.model), limit) as limited:
            return await limited.execute(payload, partials)

    async def aclose(self) -> None:
        """See `node.ports.executor.Executor.aclose`: closes the limited one."""
        await self._executor.aclose()

    def _limit(self, model: str) -> int | None:
        fitting = (limit.limit for limit in self._limits if matches(model, (limit.pattern,)))
        return next(fitting, self._default)

    @contextmanager
    def _lane(self, model: str, limit: int) -> Iterator[Limited]:
        """The model's queue, which is forgotten when it is empty: jobs may name any number of models."""
        lane = self._lanes.setdefault(model, _Lane(Limited(self._executor, limit)))
        lane.calls += 1
        try:
            yield lane.limited
        finally:
            lane.calls -= 1
            if not lane.calls:
                del self._lanes[model]
