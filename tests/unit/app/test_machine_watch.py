"""The gates that the machine closes, put together as the settings ask."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from node.app.machine_watch import machine_watch
from node.domain.states import Hold
from node.machine.gpu import Gpu
from node.ports.gates import ClaimGate
from node.runtime.system import SystemClock
from node.settings.load import load
from node.settings.model import Settings
from tests.support.waiting import wait_until
from tests.unit.machine.doubles import FixedGpus, Told, a_sample


def settings(folder: Path, **flags: object) -> Settings:
    named = {"gates.sample_s": 3600, **{name.replace("__", "."): value for name, value in flags.items()}}
    return load(config_file=None, profile=None, flags=named, environ={}, cwd=folder).settings


def by_hold(gates: tuple[ClaimGate, ...]) -> dict[Hold, ClaimGate]:
    return {gate.hold: gate for gate in gates}


async def test_a_machine_at_rest_closes_nothing(tmp_path: Path) -> None:
    gpus = FixedGpus(Gpu("card", 100, 25, 0.5))
    async with machine_watch(settings(tmp_path), tmp_path, gpus, Told(), SystemClock()) as watch:
        assert watch.latest() is None
        assert watch.figures().gpus == ()
        await wait_until(watch.latest, what="the first sample")
        (card,) = watch.figures().gpus
        assert (card.name, card.utilisation_ratio, card.vram_used_bytes, card.vram_total_bytes) == (
            "card",
            0.5,
            25,
            100,
        )
        assert set(by_hold(watch.gates)) == {Hold.MEMORY, Hold.DISK, Hold.FAILURES}
        assert [gate.closed_because for gate in watch.gates] == ["", "", ""]
    assert gpus.closed == 1


async def test_the_memory_s_share_is_the_operators(tmp_path: Path) -> None:
    async with machine_watch(
        settings(tmp_path, gates__max_memory=0.05), tmp_path, FixedGpus(), Told(), SystemClock()
    ) as watch:
        await wait_until(watch.latest, what="the first sample")
        sample = watch.latest()
        assert sample is not None
        for listener in (gate for gate in watch.gates if gate.hold is Hold.MEMORY):
            listener.look(replace(sample, memory_used_ratio=0.06))
            assert "memory" in listener.closed_because


@pytest.mark.parametrize("gpu_busy", [0.05, 0.3])
async def test_what_counts_as_used_never_counts_as_idle(tmp_path: Path, gpu_busy: float) -> None:
    wanted = settings(tmp_path, gates__idle_only="true", gates__gpu_busy=gpu_busy, gates__gpu_idle_s=1)
    async with machine_watch(wanted, tmp_path, FixedGpus(), Told(), SystemClock()) as watch:
        await wait_until(watch.latest, what="the first sample")
        gate = by_hold(watch.gates)[Hold.GPU_BUSY]

        def seen(used: float, since: float) -> str:
            for second in range(30):
                gate.look(a_sample(since + second, gpus=(Gpu("card", utilisation_ratio=used),)))
            return gate.closed_because

        assert seen(gpu_busy, 1000)
        assert seen(gpu_busy, 2000)
        assert not seen(0.0, 3000)
