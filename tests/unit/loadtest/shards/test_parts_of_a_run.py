"""What parts of a run need of the plan, the figures and the driver."""

from __future__ import annotations

import asyncio

from node.domain.ids import JobId
from node.loadtest.audit.book import Book
from node.loadtest.audit.views import Said
from node.loadtest.driver.settling import Settling
from node.loadtest.figures.series import Series
from node.loadtest.plan.reading import scenario_of
from node.loadtest.plan.scenario import Schedule, Shard
from tests.support.virtual_time import VirtualClock, in_virtual_time

PLAN = """
name = "parts"
duration = "10s"
[jobs]
models = [{ name = "a" }]
[nodes]
offers = [{ models = ["a"] }, { models = ["b", "c"] }]
[[nodes.stages]]
kind = "storm"
to = 11
"""


def test_sizes_of_parts_add_up_and_each_knows_what_all_nodes_offer() -> None:
    made = scenario_of(PLAN, "plan.toml")
    parts = [Schedule(made, Shard(index, 3)) for index in range(3)]
    assert [part.size for part in parts] == [4, 4, 3]
    assert [part.all_models for part in parts] == [{"a", "b", "c"}] * 3


def test_a_part_of_a_series_is_what_is_over() -> None:
    series = Series(limit=4)
    for at in range(100, 104):
        series.count("jobs", at, at - 99.0)
        series.gauge("nodes", at, 5.0)
    assert Series().part(0.0).span == range(0)
    part = series.part(101.0)
    assert part.rates("jobs") == [2.0, 3.0]
    assert part.levels("nodes") == [5.0, 5.0]
    # Cells that were joined meanwhile are told when they are new as a whole.
    series.count("jobs", 105.0)
    assert series.resolution_s == 2
    assert [*series.part(103.0).span] == []
    series.count("jobs", 107.0)
    assert series.part(103.0).rates("jobs") == [0.5]


class Asked:
    """Stands for the gateway: it has results of some jobs."""

    def __init__(self, book: Book) -> None:
        self.book = book
        self.done: set[JobId] = set()
        self.times: list[list[JobId]] = []

    async def __call__(self, jobs: list[JobId]) -> None:
        self.times.append(jobs)
        for job in jobs:
            if job in self.done:
                self.book.said(job, Said.SUCCESS)


@in_virtual_time
async def test_where_others_do_the_jobs_the_gateway_is_asked_of_all_of_them_in_turn() -> None:
    book = Book()
    asked = Asked(book)
    settling = Settling(book, lambda: {"m"}, asked, VirtualClock(), is_alone=False)
    jobs = [JobId(f"j{number}") for number in range(5000)]
    for job in jobs:
        book.submitted(job, "m", 0.0, 0.0)
        settling.submitted(job)
    asked.done = set(jobs) - {jobs[10], jobs[4999]}
    # One round, without a pause within it; only what had no result is asked for in the next one.
    for _ in range(3):
        assert not await settling.is_over()
    assert [len(one) for one in asked.times] == [2000, 2000, 1000]
    assert len({job for one in asked.times for job in one}) == 5000
    assert not await settling.is_over()
    assert len(asked.times) == 3
    await asyncio.sleep(2.1)
    asked.done = set(jobs)
    assert await settling.is_over()
    assert asked.times[3:] == [[jobs[10], jobs[4999]]]
    assert await settling.is_over()
