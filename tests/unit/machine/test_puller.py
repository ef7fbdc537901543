from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from node.domain.errors import EngineFailed
from node.domain.events import ModelMoved, ModelPulling
from node.machine.puller import ModelPuller, PullPolicy
from node.machine.sample import MachineSample
from node.ports.library import PullProgress
from node.runtime.tasks import TaskOwner
from tests.support.virtual_time import VirtualClock, in_virtual_time
from tests.unit.machine.doubles import GB, MemoryLibrary, Told, a_sample


def puller_of(
    library: MemoryLibrary,
    told: Told,
    latest: Callable[[], MachineSample | None] = a_sample,
    failed: Callable[[str], object] = lambda _: None,
) -> tuple[ModelPuller, TaskOwner]:
    tasks = TaskOwner(told.emit)
    policy = PullPolicy(min_free_bytes=20 * GB, retry_s=300, tell_s=15)
    return ModelPuller(library, policy, latest, tasks, VirtualClock(), told, failed), tasks


@in_virtual_time
async def test_many_wait_for_one_download() -> None:
    library, told = MemoryLibrary(remote={"m": GB}), Told()
    puller, _ = puller_of(library, told)
    await asyncio.gather(puller.pull("m"), puller.pull("m:latest"), puller.pull("m"))
    assert library.log == ["pull m"]
    (moved,) = told.of(ModelMoved)
    assert moved._replace(took_s=0) == ModelMoved("ollama", "m", "pull", 0)
    assert moved.took_s == pytest.approx(10.0)


@in_virtual_time
async def test_progress_is_told_a_few_times_a_minute() -> None:
    library, told = MemoryLibrary(remote={"m": 100}, pull_s=60), Told()
    puller, _ = puller_of(library, told)
    await puller.pull("m")
    assert told.of(ModelPulling) == [
        ModelPulling("ollama", "m", 0, None),
        ModelPulling("ollama", "m", 30, 100),
        ModelPulling("ollama", "m", 60, 100),
        ModelPulling("ollama", "m", 90, 100),
    ]


@in_virtual_time
async def test_a_download_outlives_who_waits_for_it() -> None:
    library = MemoryLibrary(remote={"m": None})
    puller, tasks = puller_of(library, Told())
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(3):
            await puller.pull("m")
    await puller.pull("m")
    assert library.log == ["pull m"]
    assert not len(tasks)


@in_virtual_time
async def test_a_failed_one_is_not_tried_again_at_once() -> None:
    library, told = MemoryLibrary(), Told()
    failed: list[str] = []
    puller, _ = puller_of(library, told, failed=failed.append)
    text = "m could not be fetched: pull model manifest: file does not exist"
    for _ in range(2):
        with pytest.raises(EngineFailed, match=text):
            await puller.pull("m")
    assert library.log == ["pull m"]
    assert failed == ["m"]
    assert told.of(ModelMoved)[0].error == "pull model manifest: file does not exist"
    await asyncio.sleep(300)
    library.remote["m"] = 1
    await puller.pull("m")
    del library.remote["m"]
    with pytest.raises(EngineFailed):
        await puller.pull("m")
    assert library.log == ["pull m"] * 3


@pytest.mark.parametrize(
    ("sample", "reason"),
    [
        (None, "m is not fetched: the free space on the disk is not known"),
        (a_sample(disk_free_bytes=None), "m is not fetched: the free space on the disk is not known"),
        (a_sample(disk_free_bytes=10 * GB), r"has 10\.7 GB left, and 21\.5 GB are asked for"),
    ],
)
def test_nothing_is_fetched_without_room(sample: MachineSample | None, reason: str) -> None:
    @in_virtual_time
    async def run() -> None:
        library, told = MemoryLibrary(remote={"m": 1}), Told()
        puller, _ = puller_of(library, told, lambda: sample)
        with pytest.raises(EngineFailed, match=reason):
            await puller.pull("m")
        assert not library.log
        assert not told.events

    run()


@in_virtual_time
async def test_a_download_that_turns_out_too_large_is_ended() -> None:
    library, told = MemoryLibrary(remote={"m": 100 * GB}), Told()
    puller, tasks = puller_of(library, told, lambda: a_sample(disk_free_bytes=30 * GB))
    began = VirtualClock().monotonic()
    with pytest.raises(EngineFailed, match=r"it needs 96\.6 GB more, and the disk has 32\.2 GB left"):
        await puller.pull("m")
    assert VirtualClock().monotonic() - began == pytest.approx(1)
    assert "needs" in told.of(ModelMoved)[0].error
    assert not library.models
    assert not len(tasks)


@in_virtual_time
async def test_without_a_sample_a_download_under_way_goes_on() -> None:
    samples: list[MachineSample | None] = [a_sample(), None]
    library = MemoryLibrary(remote={"m": 100 * GB})
    puller, _ = puller_of(library, Told(), lambda: samples.pop(0) if samples else None)
    await puller.pull("m")
    assert "m" in library.models


@in_virtual_time
async def test_the_end_of_the_program_ends_downloads_and_who_waits_hears_of_it() -> None:
    library, told = MemoryLibrary(remote={"m": 1}), Told()
    failed: list[str] = []
    puller, tasks = puller_of(library, told, failed=failed.append)
    waiting = asyncio.create_task(puller.pull("m"))
    await asyncio.sleep(3)
    await tasks.cancel()
    with pytest.raises(EngineFailed, match="the download was ended"):
        await waiting
    assert told.of(ModelMoved)[0].error == "the download was ended"
    assert not failed
    await puller.pull("m")


@in_virtual_time
async def test_a_defect_in_a_library_is_told_and_holds_up_nobody() -> None:
    class Broken(MemoryLibrary):
        async def pull(self, model: str, on_progress: Callable[[PullProgress], object] = lambda _: None) -> None:
            raise ZeroDivisionError

    told = Told()
    puller, _ = puller_of(Broken(), told)
    with pytest.raises(EngineFailed):
        await puller.pull("m")
    assert [type(event).__name__ for event in told.events] == ["ModelMoved", "Crash"]
