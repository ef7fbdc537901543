"""What a million jobs take in memory and time: ``python -m tests.unit.loadtest.audit.bench_book``."""

from __future__ import annotations

import random
import sys
import time
import uuid

import psutil

from node.domain.ids import JobId, NodeId
from node.loadtest.audit.book import Book
from node.loadtest.audit.gateway_word import GatewayWord
from node.loadtest.audit.policy import AuditPolicy
from node.loadtest.audit.reconcile import reconcile
from node.loadtest.audit.views import Said

JOBS = 1_000_000


def rss_mb() -> float:
    return float(psutil.Process().memory_info().rss) / 1e6


def main() -> None:
    chance, nodes = random.Random(1), [NodeId(f"node-{number}") for number in range(20_000)]
    before, started = rss_mb(), time.perf_counter()
    book = Book()
    for number in range(JOBS):
        job, node, digest = JobId(str(uuid.UUID(int=chance.getrandbits(128)))), nodes[number % 20_000], number + 1
        book.submitted(job, "m", float(number), number + 0.1)
        book.claimed(job, node, number + 0.5, "m", 0.01)
        book.ended(job, node, number + 1.0)
        book.sent(job, node, digest, "m")
        book.accepted(job, node, number + 2.0, already=False)
        book.said(job, Said.SUCCESS, digest, "m")
    took_s = time.perf_counter() - started
    sys.stdout.write(f"{rss_mb() - before:.0f} MB, {took_s / JOBS / 6 * 1e6:.2f} µs an entry, ids included\n")
    started = time.perf_counter()
    report = reconcile(GatewayWord(book, AuditPolicy()), JOBS + 1000.0)
    sys.stdout.write(f"reconciled in {time.perf_counter() - started:.1f} s: {report.verdict.value}\n")
    started = time.perf_counter()
    document = book.to_document()
    Book.from_document(document)
    sys.stdout.write(f"to a document and back in {time.perf_counter() - started:.1f} s\n")


if __name__ == "__main__":
    main()
