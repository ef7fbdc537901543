from __future__ import annotations

import asyncio

import pytest

from node.domain.events import Crash
from node.domain.ids import NodeId
from node.runtime.tasks import TaskOwner, crash
from tests.support.virtual_time import in_virtual_time


async def fail() -> None:
    await asyncio.sleep(1)
    raise KeyError("a defect")


@in_virtual_time
async def test_a_task_has_its_name_and_its_result() -> None:
    owner = TaskOwner(lambda _: None)

    async def name() -> str:
        task = asyncio.current_task()
        assert task is not None
        return task.get_name()

    task = owner.start(name(), "the name")
    assert len(owner) == 1
    assert await task == "the name"
    await owner.join()
    assert len(owner) == 0


@in_virtual_time
async def test_a_defect_is_told_and_leaves_the_other_tasks_alone() -> None:
    crashes: list[Crash] = []
    owner = TaskOwner(crashes.append)
    owner.start(fail(), "bad")
    good = owner.start(asyncio.sleep(5, "whole"), "good")
    await owner.join()
    assert good.result() == "whole"
    assert [(told.task, told.error) for told in crashes] == [("bad", "KeyError")]
    assert "in fail" in crashes[0].trace


@in_virtual_time
async def test_the_end_is_told_however_it_comes() -> None:
    crashes: list[Crash] = []
    ended: list[str] = []
    owner = TaskOwner(crashes.append)
    owner.start(fail(), "crashes", lambda: ended.append("crashes"))
    owner.start(asyncio.sleep(0), "ends", lambda: ended.append("ends"))
    cancelled = owner.start(asyncio.sleep(60), "is cancelled", lambda: ended.append("is cancelled"))
    await asyncio.sleep(2)
    cancelled.cancel()
    await owner.join()
    assert ended == ["ends", "crashes", "is cancelled"]
    assert len(crashes) == 1


@in_virtual_time
async def test_join_waits_for_those_that_are_started_meanwhile() -> None:
    owner = TaskOwner(lambda _: None)
    ended: list[str] = []

    async def child() -> None:
        await asyncio.sleep(5)
        ended.append("child")

    async def parent() -> None:
        await asyncio.sleep(1)
        owner.start(child(), "child")

    owner.start(parent(), "parent")
    await owner.join()
    assert ended == ["child"]


@in_virtual_time
async def test_a_cancelled_join_leaves_the_tasks_running() -> None:
    owner = TaskOwner(lambda _: None)
    work = owner.start(asyncio.sleep(5, "whole"), "work")
    joining = asyncio.create_task(owner.join())
    await asyncio.sleep(1)
    joining.cancel()
    with pytest.raises(asyncio.CancelledError):
        await joining
    await owner.join()
    assert work.result() == "whole"


@in_virtual_time
async def test_cancel_ends_all_and_waits_for_their_ends() -> None:
    owner = TaskOwner(lambda _: None)
    cleaned: list[int] = []

    async def work(number: int) -> None:
        try:
            await asyncio.sleep(60)
        finally:
            await asyncio.sleep(number)
            cleaned.append(number)

    for number in (3, 1, 2):
        owner.start(work(number), f"work {number}")
    await asyncio.sleep(1)
    await owner.cancel()
    assert cleaned == [1, 2, 3]
    assert len(owner) == 0


def test_a_crash_shows_code_and_no_values() -> None:
    secret = "x" * 40
    try:
        raise ValueError("said")
    except ValueError as error:
        told = crash("task", error, NodeId("n1"))
    assert told.node == "n1"
    assert told.error == "ValueError"
    assert secret not in told.trace
