"""The times of jobs' phases over all processes, from the merged book."""

from __future__ import annotations

from itertools import pairwise
from math import isnan

from node.loadtest.audit.book import Book
from node.loadtest.audit.views import JobView
from node.loadtest.figures.figures import Measure
from node.loadtest.figures.histogram import Histogram, Tally


def job_phases(book: Book) -> dict[Measure, Histogram]:
    """Submission to claim and to acceptance, both from the intended time; claim to acceptance; crash to redelivery."""
    tallies = {phase: Tally() for phase in (Measure.CLAIM, Measure.WORK, Measure.JOB, Measure.REDELIVERY)}
    for job in book:
        _note(tallies, job, book)
    histograms = {phase: Histogram() for phase in tallies}
    for phase, tally in tallies.items():
        histograms[phase].take(tally)
    return histograms


def _note(tallies: dict[Measure, Tally], job: JobView, book: Book) -> None:
    deliveries = job.deliveries
    if job.is_submitted and deliveries:
        tallies[Measure.CLAIM].record(deliveries[0].at - job.intended_at)
    if job.is_submitted and not isnan(job.accepted_at):
        tallies[Measure.JOB].record(job.accepted_at - job.intended_at)
    for claim in deliveries:
        if not isnan(claim.accepted_at):
            tallies[Measure.WORK].record(claim.accepted_at - claim.at)
    for before, claim in pairwise(deliveries):
        crashed_at = book.presences.gone_after(before.node, before.at)
        if crashed_at <= claim.at:
            tallies[Measure.REDELIVERY].record(claim.at - crashed_at)
