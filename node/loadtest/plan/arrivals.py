"""The jobs of a run, each with the time that it is meant to arrive at.

Nothing is kept of what is past and nothing made before it is asked for: a million jobs take no more space than one.
"""

from __future__ import annotations

import heapq
import random
from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from itertools import accumulate
from operator import itemgetter
from pathlib import Path
from typing import Final, NamedTuple

from node.loadtest.plan.chance import Chance
from node.loadtest.plan.curve import Segment
from node.loadtest.plan.distributions import Constant, Distribution
from node.loadtest.plan.jobs import JobsPlan
from node.loadtest.plan.streams import MomentSource, RateSource, Timed, source_of
from node.loadtest.plan.trace import TraceJob

Traces = Mapping[Path, Sequence[TraceJob]]
"""The traces that a plan replays, by the paths that it names."""


class Arrival(NamedTuple):
    """A job that is to arrive ``at_s`` seconds from the start of the run.

    ``number`` counts all jobs of the run from 0 in the order of their times. Prompt and output are in tokens, 1 at
    least; a prompt's token is a word.
    """

    at_s: float
    number: int
    model: str
    prompt_tokens: int
    max_output: int


class JobArrivals:
    """All jobs of a plan, the same for the same seed."""

    def __init__(self, plan: JobsPlan, *, duration_s: float, seed: int, traces: Traces) -> None:
        self._plan = plan
        self._seed = seed
        self._sources = [source_of(stream, duration_s, traces) for stream in plan.arrivals]

    def of_shard(self, index: int, count: int) -> Iterator[Arrival]:
        """Every ``count``-th job, from the one with number ``index``: the shards together are the whole, exactly."""
        draw = _Draw(self._plan, self._seed)
        for number, (at_s, recorded) in enumerate(self._jobs()):
            if number % count == index:
                yield draw.job(at_s, number, recorded)

    def expected(self, from_s: float, to_s: float) -> float:
        """How many jobs arrive on average from one time up to, not including, a later one."""
        return sum(source.expected(from_s, to_s) for source in self._sources)

    @property
    def segments(self) -> tuple[Segment, ...]:
        """The rates of all streams that have one, in jobs a second."""
        return tuple(source.segment for source in self._sources if isinstance(source, RateSource))

    @property
    def moments(self) -> tuple[MomentSource, ...]:
        """The jobs that arrive all at once."""
        return tuple(source for source in self._sources if isinstance(source, MomentSource))

    @property
    def peak_per_s(self) -> float:
        """The highest sum of the streams' rates, jobs all at once and those of traces apart."""
        edges = {edge for segment in self.segments for edge in (segment.start_s, segment.end_s)}
        after = (sum(one.value(at_s) for one in self.segments if one.start_s <= at_s < one.end_s) for at_s in edges)
        before = (sum(one.value(at_s) for one in self.segments if one.start_s < at_s <= one.end_s) for at_s in edges)
        return max((*after, *before), default=0.0)

    def _jobs(self) -> Iterator[Timed]:
        streams = [
            source.jobs(random.Random(f"{self._seed}/arrivals/{number}")) for number, source in enumerate(self._sources)
        ]
        return streams[0] if len(streams) == 1 else heapq.merge(*streams, key=itemgetter(0))


_LANES: Final = 3
"""Draws a job."""


class _Draw:
    """What each job asks for, drawn from its number alone, so that shards agree with the whole."""

    def __init__(self, plan: JobsPlan, seed: int) -> None:
        self._chance = Chance(seed, "jobs")
        self._models = [model.name for model in plan.models]
        self._bounds = list(accumulate(model.weight for model in plan.models))
        self._prompt = plan.prompt_tokens
        self._output = plan.max_output

    def job(self, at_s: float, number: int, recorded: TraceJob | None) -> Arrival:
        if recorded is None:
            model, prompt, output = self._model(number), None, None
        else:
            _, model, output, prompt = recorded
        prompt = self._tokens(self._prompt, _LANES * number + 1) if prompt is None else max(1, prompt)
        output = self._tokens(self._output, _LANES * number + 2) if output is None else output
        return Arrival(at_s, number, model, prompt, output)

    def _model(self, number: int) -> str:
        if len(self._models) == 1:
            return self._models[0]
        place = bisect_right(self._bounds, self._chance.draw(_LANES * number) * self._bounds[-1])
        return self._models[min(place, len(self._models) - 1)]

    def _tokens(self, shape: Distribution, lane: int) -> int:
        share = 0.0 if isinstance(shape, Constant) else self._chance.draw(lane)
        return max(1, round(shape.quantile(share)))
