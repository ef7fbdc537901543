"""What is known of the jobs that an audit accuses."""

from __future__ import annotations

from node.domain.ids import JobId
from node.loadtest.audit.book import Book
from node.loadtest.audit.report import AuditReport
from node.loadtest.audit.views import JobView


def accused_jobs(report: AuditReport, book: Book) -> tuple[JobView, ...]:
    """What the book has on each job that the report names, each once; ids of nodes are passed over."""
    named = dict.fromkeys(JobId(name) for finding in report.broken for name in finding.examples)
    return tuple(book.view(job) for job in named if book.knows(job))
