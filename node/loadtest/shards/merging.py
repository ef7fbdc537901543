"""The records of all shards, put together to that of the whole run."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import isnan
from typing import Final

from node.domain.ids import NodeId
from node.loadtest.audit.book import Book
from node.loadtest.audit.views import JobView
from node.loadtest.driver.run import ShardRecord, Times
from node.loadtest.figures.figures import Count, Figures, Measure
from node.loadtest.figures.health import Health
from node.loadtest.figures.histogram import Histogram, Tally
from node.loadtest.figures.series import Mark, Series
from node.loadtest.figures.slices import Slice
from node.loadtest.shards.news import once

_PHASES: Final = (Measure.CLAIM, Measure.JOB, Measure.REDELIVERY)
"""What begins in one process and may end in another, so that none of them has timed all of it."""


@dataclass(frozen=True, slots=True)
class LostShard:
    """A shard whose record never came.

    ``nodes`` are the names of all that it may have started, ``running`` is how many ran when it was last heard of, at
    ``at``, Unix seconds. ``why`` is for people.
    """

    index: int
    why: str
    at: float
    nodes: tuple[str, ...] = ()
    running: int = 0


@dataclass(frozen=True, slots=True)
class Gathered:
    """All that came back from ``count`` shards; ``defects`` are those of this program that showed in them.

    ``jobs_after`` is how many jobs the gateway had been given when the last of them ended; None where one did not tell.
    """

    count: int
    records: Mapping[int, ShardRecord]
    lost: Sequence[LostShard]
    defects: tuple[str, ...] = ()
    jobs_after: int | None = None


def merged(gathered: Gathered, started_at: float) -> ShardRecord:
    """The record of the whole run; those of shards are used up by it.

    Nodes of lost shards count as crashed when their shard was last heard of, what these saw is not known, and the
    generator's notes of itself say so, which voids the run. ``started_at`` stands for the run's begin without records.
    """
    book, figures, health = Book(), Figures(), Health.of_none()
    records = [record for _, record in sorted(gathered.records.items())]
    for record in records:
        book.merge(record.book)
        figures.merge(record.figures)
        health.merge(record.health)
    if len(records) > 1:
        _time_phases(figures, book)
        figures.series.marks = once(figures.series.marks)
    for lost in gathered.lost:
        _count_as_crashed(lost, gathered.count, book, figures, health)
    return ShardRecord(
        times=_times(records, started_at, gathered.lost),
        figures=figures,
        health=health,
        book=book,
        jobs=tuple(job for record in records for job in record.jobs),
        nodes=tuple(node for record in records for node in record.nodes),
        is_settled=bool(records) and all(record.is_settled for record in records),
        is_cut_short=any(record.is_cut_short for record in records),
        left_out=tuple(dict.fromkeys(fault for record in records for fault in record.left_out)),
        refused=sum(record.refused for record in records),
        paused_s=max((record.paused_s for record in records), default=0.0),
    )


def _times(records: Sequence[ShardRecord], started_at: float, lost: Sequence[LostShard]) -> Times:
    times = [record.times for record in records]
    if not times:
        end = max((one.at for one in lost), default=started_at)
        return Times(started_at, max(end, started_at), max(end, started_at))
    return Times(
        min(one.begun_at for one in times),
        max(one.load_ended_at for one in times),
        max(one.settled_at for one in times),
    )


def _count_as_crashed(lost: LostShard, count: int, book: Book, figures: Figures, health: Health) -> None:
    book.lost_shards += 1
    book.presences.gone(map(NodeId, lost.nodes), lost.at)
    figures.counts[Count.CRASHED] += lost.running
    if lost.running and figures.series.span:
        figures.series.count(Count.CRASHED, lost.at, lost.running)
    figures.series.mark(Mark(lost.at, f"shard {lost.index} of {count} was lost"))
    figures.series.marks.sort()
    health.lost_part(
        f"shard {lost.index} of {count} was lost: {lost.why}; the {lost.running} nodes that it ran count as crashed"
    )


def _time_phases(figures: Figures, book: Book) -> None:
    """Time anew what shards could not, from what all of them saw together."""
    tallies: dict[Measure, defaultdict[int, Tally]] = {phase: defaultdict(Tally) for phase in _PHASES}
    for job in book:
        _note(tallies, job, book)
    series = Series()
    for phase, cells in tallies.items():
        histogram = Histogram()
        for at, tally in cells.items():
            taken = histogram.take(tally)
            series.latencies(phase, at, Slice.of(taken))
            series.count(phase, at, sum(taken.values()))
        figures.histograms[phase] = histogram
        figures.counts[phase] = histogram.count
        figures.series.forget(phase)
    figures.series.merge(series)


def _note(tallies: Mapping[Measure, Mapping[int, Tally]], job: JobView, book: Book) -> None:
    """As `node.loadtest.audit.phases.job_phases` has them, each in the second at which it ended."""
    deliveries = job.deliveries
    if job.is_submitted and deliveries:
        first = deliveries[0].at
        tallies[Measure.CLAIM][int(first)].record(first - job.intended_at)
    accepted_at = job.accepted_at
    if job.is_submitted and not isnan(accepted_at):
        tallies[Measure.JOB][int(accepted_at)].record(accepted_at - job.intended_at)
    for before, claim in pairwise(deliveries):
        crashed_at = book.presences.gone_after(before.node, before.at)
        if crashed_at <= claim.at:
            tallies[Measure.REDELIVERY][int(claim.at)].record(claim.at - crashed_at)
