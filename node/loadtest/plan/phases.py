"""A schedule cut where something changes: what a person reads of it."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass

from node.loadtest.plan.curve import Segment
from node.loadtest.plan.scenario import Schedule


@dataclass(frozen=True, slots=True)
class Phase:
    """A time in which nothing begins or ends: nodes and jobs a second at its start and end, and what happens at its start.

    ``other_per_s`` is the average of jobs that have no rate of their own, those of traces.
    """

    from_s: float
    to_s: float
    nodes: tuple[int, int]
    jobs_per_s: tuple[float, float]
    other_per_s: float
    events: tuple[str, ...]


def phases(schedule: Schedule) -> Iterator[Phase]:
    """The phases of the whole run, in order."""
    plan = schedule.plan
    segments = schedule.jobs.segments
    events: dict[float, list[str]] = {}
    for moment in schedule.jobs.moments:
        events.setdefault(moment.at_s, []).append(f"{moment.count} jobs at once")
    for event in schedule.faults:
        events.setdefault(event.at_s, []).append(str(event.fault))
    breaks = _breaks(schedule, segments, events)
    for from_s, to_s in itertools.pairwise(breaks):
        begin, end = _rates(segments, from_s, to_s)
        steady = (begin + end) / 2 * (to_s - from_s)
        bursts = sum(moment.expected(from_s, to_s) for moment in schedule.jobs.moments)
        other = (schedule.jobs.expected(from_s, to_s) - steady - bursts) / (to_s - from_s)
        yield Phase(
            from_s,
            to_s,
            (schedule.population.target(from_s), schedule.population.target(to_s - 1e-9 * plan.duration_s)),
            (begin, end),
            other if other > 1e-6 else 0.0,
            tuple(events.get(from_s, ())),
        )


def _breaks(schedule: Schedule, segments: tuple[Segment, ...], events: dict[float, list[str]]) -> list[float]:
    duration_s = schedule.plan.duration_s
    starts = [stream.at_s for stream in schedule.plan.jobs.arrivals]
    ends = [edge for segment in segments for edge in (segment.start_s, segment.end_s)]
    inner = {at_s for at_s in (*schedule.population.breaks, *starts, *ends, *events) if 0 < at_s < duration_s}
    return [0.0, *sorted(inner), duration_s]


def _rates(segments: tuple[Segment, ...], from_s: float, to_s: float) -> tuple[float, float]:
    within = [segment for segment in segments if segment.start_s <= from_s and to_s <= segment.end_s]
    return sum(segment.value(from_s) for segment in within), sum(segment.value(to_s) for segment in within)
