from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import pytest

from node.machine.gpu import Gpu, GpuReading, GpuSources, NoteBook, busiest_ratio, joined_name, vram_used_ratio
from node.machine.gpu_amd import AmdGpus
from node.machine.gpu_apple import AppleGpus
from node.machine.gpu_nvidia import NvidiaGpus, load_nvml
from node.machine.tool import MAX_BYTES, Tool, ToolFailed
from tests.support.events import RecordingSink
from tests.unit.machine.doubles import (
    GB,
    FixedGpus,
    NvmlCard,
    NvmlStandIn,
    NvmlStandInError,
    printing,
    write_tool,
)

AMD_STATIC = json.dumps(
    {"gpu_data": [{"gpu": 0, "asic": {"market_name": "AMD Instinct MI300X", "vendor_id": "0x1002", "oam_id": 6}}]}
)
AMD_METRIC = json.dumps(
    {
        "gpu_data": [
            {
                "gpu": 0,
                "usage": {"gfx_activity": {"value": 42, "unit": "%"}, "mm_activity": "N/A"},
                "mem_usage": {
                    "total_vram": {"value": 196592, "unit": "MB"},
                    "used_vram": {"value": 4096, "unit": "MB"},
                    "free_vram": {"value": 192496, "unit": "MB"},
                },
            }
        ]
    }
)
ROCM = json.dumps(
    {
        "card0": {
            "GPU use (%)": "7",
            "VRAM Total Memory (B)": "21458059264",
            "VRAM Total Used Memory (B)": "27856896",
            "Card Series": "Radeon RX 7900 XT",
            "Card Model": "0x744c",
            "Card Vendor": "Advanced Micro Devices, Inc. [AMD/ATI]",
        },
        "card1": {"GPU use (%)": "N/A", "VRAM Total Memory (B)": "536870912", "Card series": "N/A"},
        "system": {"Driver version": "6.8.5"},
    }
)
APPLE = json.dumps(
    {
        "SPDisplaysDataType": [
            {
                "_name": "Apple M3 Max",
                "spdisplays_mtlgpufamilysupport": "spdisplays_metal3",
                "sppci_cores": "40",
                "sppci_model": "Apple M3 Max",
                "sppci_vendor": "sppci_vendor_Apple",
            }
        ]
    }
)
INTEL_MAC = json.dumps(
    {
        "SPDisplaysDataType": [
            {"_name": "x", "sppci_model": "Intel UHD Graphics 630", "spdisplays_vram_shared": "1536 MB"},
            {"sppci_model": "AMD Radeon Pro 5500M", "spdisplays_vram": "8 GB"},
            {"_name": "External", "spdisplays_vram": "plenty"},
        ]
    }
)


class TestNvidia:
    def test_reads_name_memory_and_use(self) -> None:
        nvml = NvmlStandIn(
            NvmlCard("NVIDIA A100-SXM4-80GB", 80 * GB, 20 * GB, 55), NvmlCard(b"Tesla T4", 16 * GB, 0, 0)
        )
        gpus = NvidiaGpus(nvml)
        assert gpus.read() == GpuReading(
            (
                Gpu("NVIDIA A100-SXM4-80GB", 80 * GB, 20 * GB, 0.55),
                Gpu("NVIDIA Tesla T4", 16 * GB, 0, 0.0),
            )
        )
        gpus.read()
        assert nvml.opened == 1
        gpus.close()
        gpus.close()
        assert nvml.shut == 1

    def test_a_figure_that_a_card_does_not_tell_is_none(self) -> None:
        reading = NvidiaGpus(NvmlStandIn(NvmlCard("NVIDIA GB10", busy=3), NvmlCard("NVIDIA A30", 24, 1))).read()
        assert reading.gpus == (Gpu("NVIDIA GB10", None, None, 0.03), Gpu("NVIDIA A30", 24, 1, None))
        assert not reading.notes

    def test_a_card_that_is_lost_is_told_and_hides_no_other(self) -> None:
        reading = NvidiaGpus(NvmlStandIn(NvmlCard("a", gone=True), NvmlCard("NVIDIA T4", 16, 1, 2))).read()
        assert [gpu.name for gpu in reading.gpus] == ["NVIDIA T4"]
        assert reading.notes == ("NVIDIA card 0 cannot be read: GPU is lost",)

    def test_without_the_driver_s_library_there_is_just_no_card(self) -> None:
        reading = NvidiaGpus(NvmlStandIn(fails=NvmlStandInError(12, "NVML Shared Library Not Found"))).read()
        assert reading == GpuReading()

    def test_a_driver_that_fails_is_told_and_taken_up_again(self) -> None:
        nvml = NvmlStandIn(NvmlCard("NVIDIA T4", 16, 1, 2))
        gpus = NvidiaGpus(nvml)
        gpus.read()
        nvml.fails = NvmlStandInError(9, "Driver Not Loaded")
        assert gpus.read().notes == ("NVIDIA's driver does not answer: Driver Not Loaded; check it with: nvidia-smi",)
        nvml.fails = None
        assert len(gpus.read().gpus) == 1
        assert (nvml.opened, nvml.shut) == (2, 1)

    def test_bindings_that_are_not_installed_are_told_where_the_driver_is(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("PATH", str(tmp_path))
        assert NvidiaGpus(None).read() == GpuReading()
        write_tool(tmp_path, "nvidia-smi", "exit 0")
        assert "install llm-worker-node[gpu]" in NvidiaGpus(None).read().notes[0]
        NvidiaGpus(None).close()

    def test_bindings_may_be_missing(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "pynvml", None)
        assert load_nvml() is None

    def test_the_real_bindings_have_what_is_used(self) -> None:
        nvml = load_nvml()
        assert nvml is not None
        reading = NvidiaGpus(nvml).read()
        assert all(gpu.name.startswith("NVIDIA") for gpu in reading.gpus)
        for name in ("DeviceGetHandleByIndex", "DeviceGetName", "DeviceGetMemoryInfo", "DeviceGetUtilizationRates"):
            assert callable(getattr(nvml, f"nvml{name}"))


class TestAmd:
    def test_amd_smi(self, tmp_path: Path) -> None:
        calls = tmp_path / "calls"
        path = write_tool(
            tmp_path,
            "amd-smi",
            f'echo "$@" >> {calls}\nif [ "$1" = static ]; then\n{printing(AMD_STATIC)}\nelse\n{printing(AMD_METRIC)}\nfi',
        )
        gpus = AmdGpus(f"{path}:/bin:/usr/bin")
        expected = GpuReading((Gpu("AMD Instinct MI300X", 196592 * 2**20, 4096 * 2**20, 0.42),))
        assert gpus.read() == expected
        assert gpus.read() == expected
        assert [line.split()[0] for line in calls.read_text().splitlines()] == ["static", "metric", "metric"]
        gpus.close()

    def test_amd_smi_of_older_releases_prints_a_bare_list(self, tmp_path: Path) -> None:
        card = {"gpu": 0, "usage": {"gfx_activity": "N/A"}, "mem_usage": {"total_vram": 512, "used_vram": True}}
        path = write_tool(tmp_path, "amd-smi", printing(json.dumps([card])))
        assert AmdGpus(path + ":/bin").read().gpus == (Gpu("AMD GPU", 512 * 2**20, None, None),)

    def test_rocm_smi_where_amd_smi_is_not_there(self, tmp_path: Path) -> None:
        path = write_tool(tmp_path, "rocm-smi", printing(ROCM))
        assert AmdGpus(path + ":/bin").read() == GpuReading(
            (Gpu("AMD Radeon RX 7900 XT", 21458059264, 27856896, 0.07), Gpu("AMD GPU", 536870912, None, None))
        )

    def test_rocm_smi_where_amd_smi_fails_which_is_told(self, tmp_path: Path) -> None:
        write_tool(tmp_path, "amd-smi", "exit 3")
        path = write_tool(tmp_path, "rocm-smi", printing(ROCM))
        reading = AmdGpus(path + ":/bin").read()
        assert len(reading.gpus) == 2
        assert reading.notes == ("AMD's cards cannot be read: amd-smi ended with status 3",)

    @pytest.mark.parametrize("said", ["[]", '"none"', "{nonsense", '{"gpu_data": 3}'])
    def test_other_output_is_no_card(self, tmp_path: Path, said: str) -> None:
        write_tool(tmp_path, "amd-smi", printing(said))
        path = write_tool(tmp_path, "rocm-smi", printing("[]"))
        assert AmdGpus(path + ":/bin").read().gpus == ()

    def test_without_a_tool_there_is_just_no_card(self, tmp_path: Path) -> None:
        assert AmdGpus(str(tmp_path)).read() == GpuReading()


class TestApple:
    def test_the_memory_is_the_machine_s(self, tmp_path: Path) -> None:
        calls = tmp_path / "calls"
        path = write_tool(tmp_path, "system_profiler", f'echo "$@" >> {calls}\n{printing(APPLE)}')
        gpus = AppleGpus(64 * GB, path + ":/bin")
        assert gpus.read() == gpus.read() == GpuReading((Gpu("Apple M3 Max", 64 * GB, shares_ram=True),))
        assert calls.read_text() == "SPDisplaysDataType -json\n"
        gpus.close()

    def test_cards_of_other_makers(self, tmp_path: Path) -> None:
        path = write_tool(tmp_path, "system_profiler", printing(INTEL_MAC))
        assert AppleGpus(16 * GB, path + ":/bin").read().gpus == (
            Gpu("Intel UHD Graphics 630", 1536 * 2**20, shares_ram=True),
            Gpu("AMD Radeon Pro 5500M", 8 * GB),
            Gpu("External"),
        )

    def test_a_failure_is_told_and_tried_again(self, tmp_path: Path) -> None:
        gpus = AppleGpus(GB, f"{tmp_path}:/bin")
        assert gpus.read() == GpuReading()
        write_tool(tmp_path, "system_profiler", printing('{"other": 1}'))
        assert gpus.read().notes == (
            "the Mac's graphics cards cannot be read: system_profiler printed no list of displays",
        )
        write_tool(tmp_path, "system_profiler", printing(APPLE))
        assert len(gpus.read().gpus) == 1


class TestTool:
    def test_a_program_that_hangs_is_ended_with_its_children(self, tmp_path: Path) -> None:
        left = tmp_path / "left"
        path = write_tool(tmp_path, "slow", f"(sleep 1; touch {left}) & sleep 60")
        started = time.monotonic()
        with pytest.raises(ToolFailed, match=r"slow did not answer in 0\.3 s"):
            Tool("slow", path + ":/bin", timeout_s=0.3).ask()
        assert time.monotonic() - started < 10
        time.sleep(max(0.0, started + 1.5 - time.monotonic()))
        assert not left.exists()

    def test_a_program_that_closes_its_output_and_hangs_is_ended(self, tmp_path: Path) -> None:
        path = write_tool(tmp_path, "mute", "exec >&-; sleep 60")
        with pytest.raises(ToolFailed, match="did not answer"):
            Tool("mute", path + ":/bin:/usr/bin", timeout_s=0.3).ask()

    def test_output_is_bounded(self, tmp_path: Path) -> None:
        path = write_tool(tmp_path, "chatty", "yes")
        with pytest.raises(ToolFailed, match=f"said more than {MAX_BYTES} bytes"):
            Tool("chatty", f"{path}:/bin:/usr/bin").ask()

    def test_what_is_no_program(self, tmp_path: Path) -> None:
        with pytest.raises(ToolFailed, match="gone is not installed"):
            Tool("gone", str(tmp_path)).ask()
        broken = tmp_path / "broken"
        broken.write_bytes(b"\x7fELF but not really")
        broken.chmod(0o755)
        with pytest.raises(ToolFailed, match="broken did not start"):
            Tool("broken", str(tmp_path)).ask()

    def test_deep_json_is_refused(self, tmp_path: Path) -> None:
        (tmp_path / "deep.json").write_text("[" * 200_000)
        path = write_tool(tmp_path, "deep", f"cat {tmp_path}/deep.json")
        with pytest.raises(ToolFailed, match="did not print JSON"):
            Tool("deep", f"{path}:/bin:/usr/bin").ask()


def test_several_sources_are_one() -> None:
    one, two = FixedGpus(Gpu("a"), notes=("n",)), FixedGpus(Gpu("b"))
    both = GpuSources((one, two))
    assert both.read() == GpuReading((Gpu("a"), Gpu("b")), ("n",))
    both.close()
    assert (one.closed, two.closed) == (1, 1)


def test_names_are_joined_with_counts() -> None:
    assert joined_name(()) == ""
    assert joined_name((Gpu("A"),)) == "A"
    assert joined_name((Gpu("A"), Gpu("B"), Gpu("A"))) == "2x A, B"


def test_shares_are_of_the_cards_that_tell() -> None:
    assert busiest_ratio(()) is None
    assert busiest_ratio((Gpu("a"), Gpu("b", utilisation_ratio=0.2), Gpu("c", utilisation_ratio=0.7))) == 0.7
    assert vram_used_ratio((Gpu("a", 10), Gpu("b", 10, 9, shares_ram=True), Gpu("c", 0, 0))) is None
    assert vram_used_ratio((Gpu("a", 30, 10), Gpu("b", 10, 10), Gpu("c"))) == 0.5


def test_a_note_is_told_once() -> None:
    sink = RecordingSink()
    notes = NoteBook(sink)
    for note in ("a", "b", "a"):
        notes.tell(note)
    assert [event[1] for event in sink.events] == ["a", "b"]
