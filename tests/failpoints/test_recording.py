"""The recording is of what happens, and the same for the same seed."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from random import Random

import pytest

from tests.failpoints.campaign import check_recording, scratch_folder
from tests.failpoints.disk import Disk
from tests.failpoints.history import History
from tests.failpoints.product import Product, SetClock
from tests.failpoints.recording import Recording
from tests.failpoints.session import Session
from tests.failpoints.steps import Step, Write
from tests.failpoints.workload import Work
from tests.support.virtual_time import in_virtual_time

PLACE = "state/outbox.sqlite"


async def record(root: Path, *, thread: bool = False) -> tuple[Recording, Session]:
    recording = Recording(root)
    clock = SetClock()
    session = Session(Product(), root / PLACE, clock, History(recording, [{}], clock.now), {}, thread=thread)
    random = Random(5)
    with recording.running(5):
        outbox = await session.open(random)
        await Work(session, outbox, random).run(12)
        session.compare(outbox)
        await session.close(outbox)
    return recording, session


def steps_in_virtual_time() -> list[Step]:
    steps: list[Step] = []

    async def run() -> None:
        with scratch_folder() as root:
            steps.extend((await record(root))[0].steps)

    in_virtual_time(run)()
    return steps


def test_a_seed_gives_the_same_steps_byte_for_byte() -> None:
    first = steps_in_virtual_time()
    assert len(first) > 50
    assert first == steps_in_virtual_time()


async def test_an_outbox_on_its_own_thread_is_recorded_as_it_is() -> None:
    with scratch_folder() as root:
        recording, session = await record(root, thread=True)
        assert session.findings == []
        assert session.acknowledged
        assert check_recording(Disk(), recording) == []
        recording.steps.remove(next(step for step in recording.steps if isinstance(step, Write)))
        assert check_recording(Disk(), recording) != []


def test_a_call_that_has_no_step_is_refused(tmp_path: Path) -> None:
    recording = Recording(tmp_path)
    with recording.running(1):
        descriptor = os.open(tmp_path / "a", os.O_CREAT | os.O_RDWR)
        with pytest.raises(NotImplementedError):
            os.write(descriptor, b"x")
        with pytest.raises(NotImplementedError):
            (tmp_path / "a").rename(tmp_path / "b")
        os.close(descriptor)


def test_what_is_elsewhere_is_let_be(tmp_path: Path) -> None:
    recording = Recording(tmp_path / "watched")
    with recording.running(1):
        (tmp_path / "a").touch()
        (tmp_path / "a").rename(tmp_path / "b")
        asyncio.run(asyncio.sleep(0))
    assert recording.steps == []
