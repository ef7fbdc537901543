"""What every `Broker` does, whatever holds its queue."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Callable

import pytest

from node.domain.ids import JobId
from node.sandbox.broker import Broker, MemoryBroker, Ticket
from node.sandbox.buggy.parts import BuggyBroker
from node.sandbox.bugs import Bugs

ADAPTERS: dict[str, Callable[[], Broker]] = {
    "memory": MemoryBroker,
    "with no bug planted": lambda: BuggyBroker(MemoryBroker(), Bugs([], random.Random(1))),
}


def ticket(seq: int, model: str = "m") -> Ticket:
    return Ticket(JobId(f"job-{seq}"), model, seq)


def all_fit(_job: JobId) -> bool:
    return False


@pytest.fixture(params=ADAPTERS)
async def broker(request: pytest.FixtureRequest) -> AsyncIterator[Broker]:
    broker = ADAPTERS[request.param]()
    yield broker
    await broker.aclose()
    await broker.aclose()


async def drained(broker: Broker, *models: str) -> list[int]:
    seqs = []
    while (claimed := await broker.claim(models, all_fit)) is not None:
        seqs.append(claimed.seq)
    return seqs


async def test_an_empty_queue_gives_nothing(broker: Broker) -> None:
    assert await broker.claim(["m"], all_fit) is None
    assert broker.depth == 0


async def test_jobs_of_a_model_come_first_in_first_out(broker: Broker) -> None:
    for seq in (1, 2, 3):
        await broker.publish(ticket(seq))
    assert broker.depth == 3
    assert await drained(broker, "m") == [1, 2, 3]
    assert broker.depth == 0


async def test_a_node_gets_jobs_of_its_models_only(broker: Broker) -> None:
    await broker.publish(ticket(1, "a"))
    await broker.publish(ticket(2, "b"))
    await broker.publish(ticket(3, "c"))
    assert await broker.claim([], all_fit) is None
    assert await broker.claim(["x"], all_fit) is None
    assert sorted(await drained(broker, "a", "c")) == [1, 3]
    assert broker.depth == 1


async def test_a_job_is_handed_out_once(broker: Broker) -> None:
    await broker.publish(ticket(1))
    assert broker.holds(JobId("job-1"))
    assert await broker.claim(["m", "m"], all_fit) == ticket(1)
    assert not broker.holds(JobId("job-1"))
    assert await broker.claim(["m"], all_fit) is None


async def test_publishing_a_queued_job_again_changes_nothing(broker: Broker) -> None:
    for seq in (1, 2, 1):
        await broker.publish(ticket(seq))
    await broker.requeue(ticket(2))
    assert await drained(broker, "m") == [1, 2]


async def test_a_requeued_job_has_its_old_place(broker: Broker) -> None:
    for seq in range(1, 6):
        await broker.publish(ticket(seq))
    taken = [await broker.claim(["m"], all_fit) for _ in range(4)]
    for back in (3, 1, 2):
        await broker.requeue(taken[back] or ticket(0))
    assert await drained(broker, "m") == [2, 3, 4, 5]


async def test_unfit_jobs_keep_their_places(broker: Broker) -> None:
    for seq in (1, 2, 3):
        await broker.publish(ticket(seq))
    assert await broker.claim(["m"], lambda job: job == "job-1") == ticket(2)
    assert await broker.claim(["m"], lambda job: job in {"job-1", "job-3"}) is None
    await broker.requeue(ticket(2))
    assert await drained(broker, "m") == [1, 2, 3]


@pytest.mark.parametrize("out", [True, False])
async def test_a_settled_job_is_not_handed_out(broker: Broker, out: bool) -> None:
    await broker.publish(ticket(1))
    await broker.publish(ticket(2))
    if out:
        assert await broker.claim(["m"], all_fit) == ticket(1)
    await broker.settle(JobId("job-1"))
    await broker.settle(JobId("unknown"))
    assert not broker.holds(JobId("job-1"))
    assert await drained(broker, "m") == [2]


async def test_a_job_settled_in_the_middle_is_passed_over(broker: Broker) -> None:
    for seq in (1, 2, 3):
        await broker.publish(ticket(seq))
    await broker.settle(JobId("job-2"))
    assert broker.depth == 2
    assert await drained(broker, "m") == [1, 3]


async def test_a_settled_job_may_be_published_anew(broker: Broker) -> None:
    for seq in (1, 2, 3):
        await broker.publish(ticket(seq))
    await broker.settle(JobId("job-2"))
    await broker.publish(ticket(2))
    assert await drained(broker, "m") == [1, 2, 3]


async def test_jobs_that_come_back_by_the_thousand_are_handed_out_in_order(broker: Broker) -> None:
    for seq in range(1, 5001):
        await broker.publish(ticket(seq))
    taken = [await broker.claim(["m"], all_fit) for _ in range(4000)]
    random.Random(1).shuffle(taken)
    for back in taken:
        await broker.requeue(back or ticket(0))
    assert await broker.claim(["m"], lambda job: int(job.removeprefix("job-")) < 2000) == ticket(2000)
    assert await drained(broker, "m") == [seq for seq in range(1, 5001) if seq != 2000]
