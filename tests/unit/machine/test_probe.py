from __future__ import annotations

import platform
from pathlib import Path

import psutil
import pytest

from node.machine.cgroup import Cgroup, MemoryLimit, cores
from node.machine.gpu import Gpu, GpuReading
from node.machine.probe import gpu_sources, os_name, probe_hardware
from tests.unit.machine.doubles import GB, FixedGpus

MB = 2**20


def write(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


def group(root: Path, membership: str, files: dict[str, str]) -> Cgroup:
    write(root, {"self": membership})
    return Cgroup(write(root / "fs", files), root / "self")


class TestVersionTwo:
    def test_the_limits_of_a_container(self, tmp_path: Path) -> None:
        cgroup = group(
            tmp_path,
            "0::/\n",
            {
                "cgroup.controllers": "cpu memory",
                "memory.max": f"{4 * GB}\n",
                "memory.current": f"{3 * GB}\n",
                "memory.stat": f"anon 1\ninactive_file {GB}\nactive_file 5\n",
                "cpu.max": "150000 100000\n",
            },
        )
        assert cgroup.memory() == MemoryLimit(4 * GB, 2 * GB)
        assert cgroup.memory_limit_bytes() == 4 * GB
        assert cgroup.cpus() == 1.5

    def test_the_tightest_group_counts(self, tmp_path: Path) -> None:
        cgroup = group(
            tmp_path,
            "0::/system.slice/node.service\n",
            {
                "cgroup.controllers": "",
                "system.slice/memory.max": str(2 * GB),
                "system.slice/memory.current": str(2 * GB - 1),
                "system.slice/node.service/memory.max": str(GB),
                "system.slice/node.service/memory.current": "0",
                "system.slice/cpu.max": "50000 100000",
                "system.slice/node.service/cpu.max": "max 100000",
            },
        )
        assert cgroup.memory() == MemoryLimit(2 * GB, 2 * GB - 1)
        assert cgroup.memory_limit_bytes() == GB
        assert cgroup.cpus() == 0.5

    def test_no_limit(self, tmp_path: Path) -> None:
        cgroup = group(
            tmp_path,
            "0::/\n",
            {"cgroup.controllers": "", "memory.max": "max", "memory.current": "5", "cpu.max": "max 100000"},
        )
        assert cgroup.memory() is None
        assert cgroup.memory_limit_bytes() is None
        assert cgroup.cpus() is None


class TestVersionOne:
    def test_a_container_that_is_named_as_the_host_sees_it(self, tmp_path: Path) -> None:
        cgroup = group(
            tmp_path,
            "5:cpu,cpuacct:/docker/abc\n4:memory:/docker/abc\n1:name=systemd:/docker/abc\n",
            {
                "memory/memory.limit_in_bytes": str(2 * GB),
                "memory/memory.usage_in_bytes": str(GB),
                "memory/memory.stat": f"inactive_file 7\ntotal_inactive_file {GB // 2}",
                "cpu/cpu.cfs_quota_us": "200000",
                "cpu/cpu.cfs_period_us": "100000",
            },
        )
        assert cgroup.memory() == MemoryLimit(2 * GB, GB // 2)
        assert cgroup.cpus() == 2.0

    def test_no_limit_is_a_huge_number(self, tmp_path: Path) -> None:
        cgroup = group(
            tmp_path,
            "4:memory:/a\n",
            {
                "memory/a/memory.limit_in_bytes": "9223372036854771712",
                "memory/a/memory.usage_in_bytes": "5",
                "cpu/cpu.cfs_quota_us": "-1",
                "cpu/cpu.cfs_period_us": "100000",
            },
        )
        assert (cgroup.memory(), cgroup.memory_limit_bytes(), cgroup.cpus()) == (None, None, None)


def test_a_system_without_groups_has_no_limits(tmp_path: Path) -> None:
    cgroup = Cgroup(tmp_path / "none", tmp_path / "nothing")
    assert (cgroup.memory(), cgroup.memory_limit_bytes(), cgroup.cpus()) == (None, None, None)


def test_a_membership_does_not_lead_out_of_the_mount(tmp_path: Path) -> None:
    write(tmp_path, {"memory.max": "5", "memory.current": "1"})
    cgroup = group(tmp_path, "0::/../..\n", {"cgroup.controllers": "", "memory.max": "7"})
    assert cgroup.memory_limit_bytes() == 7


def test_the_groups_of_this_process_can_be_read() -> None:
    limit = Cgroup().memory()
    assert limit is None or limit.used_bytes > 0


@pytest.mark.parametrize(("quota", "expected"), [("150000 100000", 2), ("10000 100000", 1), ("900000 100000", 4)])
def test_a_quota_limits_the_cores(tmp_path: Path, quota: str, expected: int) -> None:
    assert cores(4, group(tmp_path, "0::/", {"cgroup.controllers": "", "cpu.max": quota})) == expected


class TestProbe:
    def test_this_machine(self) -> None:
        hardware = probe_hardware(FixedGpus(), Cgroup(Path("/nonexistent")))
        assert hardware.ram_mb == psutil.virtual_memory().total // MB
        assert 1 <= hardware.cpu_cores <= (psutil.cpu_count() or 1)
        assert (hardware.gpu, hardware.vram_mb) == ("none", 0)
        assert hardware.os == os_name()

    def test_a_container_s_limits_count_where_they_are_lower(self, tmp_path: Path) -> None:
        files = {"cgroup.controllers": "", "memory.max": str(512 * MB), "cpu.max": "50000 100000"}
        hardware = probe_hardware(FixedGpus(), group(tmp_path, "0::/", files))
        assert (hardware.ram_mb, hardware.cpu_cores) == (512, 1)
        write(tmp_path, {"fs/memory.max": str(2**50)})
        hardware = probe_hardware(FixedGpus(), group(tmp_path, "0::/", {}))
        assert hardware.ram_mb == psutil.virtual_memory().total // MB

    def test_several_cards_are_one_name_and_one_sum(self) -> None:
        notes: list[str] = []
        gpus = FixedGpus(
            Gpu("NVIDIA A100", 40 * GB, 0), Gpu("NVIDIA A100", 40 * GB, 0), Gpu("AMD X"), notes=("no luck",)
        )
        hardware = probe_hardware(gpus, on_note=notes.append)
        assert (hardware.gpu, hardware.vram_mb) == ("2x NVIDIA A100, AMD X", 80 * 1024)
        assert notes == ["no luck"]

    def test_memory_that_cards_share_with_the_machine_counts_once(self) -> None:
        ram = psutil.virtual_memory().total
        gpus = FixedGpus(Gpu("Apple M3", ram, shares_ram=True), Gpu("x", 2 * ram, shares_ram=True), Gpu("y", GB))
        assert probe_hardware(gpus, Cgroup(Path("/nonexistent"))).vram_mb == (ram + GB) // MB

    def test_the_sources_of_this_system_answer(self) -> None:
        sources = gpu_sources()
        reading = sources.read()
        sources.close()
        assert isinstance(reading, GpuReading)

    @pytest.mark.parametrize("system", ["linux", "darwin", "old"])
    def test_the_system_has_a_name(self, system: str, monkeypatch: pytest.MonkeyPatch) -> None:
        def no_file() -> dict[str, str]:
            raise OSError("no os-release")

        if system == "darwin":
            monkeypatch.setattr("sys.platform", "darwin")
            monkeypatch.setattr(platform, "mac_ver", lambda: ("15.1", ("", "", ""), "arm64"))
            assert os_name() == "macOS 15.1"
        elif system == "old":
            monkeypatch.setattr(platform, "freedesktop_os_release", no_file)
            assert os_name() == f"{platform.system()} {platform.release()}"
        else:
            assert os_name()
