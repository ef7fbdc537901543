"""The times of jobs' phases over all processes, from the merged book."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise
from math import inf, isnan, nan
from typing import Final

from node.loadtest.audit.book import Book
from node.loadtest.audit.presence import Presences
from node.loadtest.audit.views import Held, JobView
from node.loadtest.figures.figures import Measure
from node.loadtest.figures.histogram import Histogram, Tally

PHASES: Final = (Measure.CLAIM, Measure.WORK, Measure.JOB, Measure.REDELIVERY)


class JobPhases:
    """Submission to claim and to acceptance, both from the intended time; claim to acceptance; crash to redelivery.

    Jobs count that were due from ``start`` on and before ``end``, however late their phases were over; those of others
    are of the time of their claim. All times are Unix seconds. A job that nobody claimed, or that has no result, when
    all is over ``at`` that time counts as old as it was then, and in ``open``; without that time it is left out. So is
    one whose result no node heard to be taken.
    """

    def __init__(self, presences: Presences, start: float = -inf, end: float = inf, at: float = nan) -> None:
        self.open: Counter[Measure] = Counter()
        """How many of the values are jobs that were still open, and so lower bounds."""
        self._presences = presences
        self._start = start
        self._end = end
        self._at = at
        self._tallies = {phase: Tally() for phase in PHASES}

    def take(self, job: JobView) -> None:
        """Note a job."""
        deliveries = job.deliveries
        is_due = self._start <= job.intended_at < self._end
        if is_due:
            has_result = job.said.is_answer or job.held is Held.ANSWERED
            was_claimed = has_result or bool(job.handed or job.claims)
            self._note(Measure.CLAIM, job, deliveries[0].at if deliveries else nan, is_over=was_claimed)
            self._note(Measure.JOB, job, job.accepted_at, is_over=has_result)
        for claim in deliveries:
            if not isnan(claim.accepted_at) and (is_due or self._is_foreign(job, claim.at)):
                self._tallies[Measure.WORK].record(claim.accepted_at - claim.at)
        for before, claim in pairwise(deliveries):
            crashed_at = self._presences.gone_after(before.node, before.at)
            if crashed_at <= claim.at and (is_due or self._is_foreign(job, claim.at)):
                self._tallies[Measure.REDELIVERY].record(claim.at - crashed_at)

    def histograms(self) -> dict[Measure, Histogram]:
        """What was noted, by phase; to be asked for once, when all jobs are taken."""
        histograms = {phase: Histogram() for phase in PHASES}
        for phase, tally in self._tallies.items():
            histograms[phase].take(tally)
        return histograms

    def _is_foreign(self, job: JobView, claimed_at: float) -> bool:
        return not job.is_submitted and self._start <= claimed_at < self._end

    def _note(self, phase: Measure, job: JobView, ended_at: float, *, is_over: bool) -> None:
        if not isnan(ended_at):
            self._tallies[phase].record(ended_at - job.intended_at)
        elif not (is_over or isnan(self._at)):
            self._tallies[phase].record(self._at - job.intended_at)
            self.open[phase] += 1


def job_phases(book: Book) -> dict[Measure, Histogram]:
    """The phases of all jobs of a book, as far as they are over."""
    phases = JobPhases(book.presences)
    for job in book:
        phases.take(job)
    return phases.histograms()
