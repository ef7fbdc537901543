"""NVIDIA's cards, through NVML (extra ``gpu``)."""

from __future__ import annotations

import importlib
import shutil
from contextlib import suppress
from typing import Any, Protocol, cast

from node.machine.gpu import Gpu, GpuReading


class Nvml(Protocol):
    """What is used of the module ``pynvml`` of nvidia-ml-py; its names are NVML's own."""

    NVMLError: type[Exception]
    NVML_ERROR_LIBRARY_NOT_FOUND: int

    def nvmlInit(self) -> None:  # noqa: N802 - NVML's own name
        """Take up the driver."""
        ...

    def nvmlShutdown(self) -> None:  # noqa: N802 - NVML's own name
        """Let go of it."""
        ...

    def nvmlDeviceGetCount(self) -> int:  # noqa: N802 - NVML's own name
        """How many cards there are."""
        ...

    def nvmlDeviceGetHandleByIndex(self, index: int, /) -> Any:  # noqa: N802 - NVML's own name
        """A card, counted from 0."""
        ...

    def nvmlDeviceGetName(self, handle: Any, /) -> str | bytes:  # noqa: N802 - NVML's own name
        """Its name."""
        ...

    def nvmlDeviceGetMemoryInfo(self, handle: Any, /) -> Any:  # noqa: N802 - NVML's own name
        """Its memory: ``total`` and ``used``, in bytes."""
        ...

    def nvmlDeviceGetUtilizationRates(self, handle: Any, /) -> Any:  # noqa: N802 - NVML's own name
        """How busy it is: ``gpu``, in percent of the last sample period."""
        ...


def load_nvml() -> Nvml | None:
    """NVML's bindings; None where the extra ``gpu`` is not installed."""
    try:
        return cast("Nvml", importlib.import_module("pynvml"))
    except ImportError:
        return None


class NvidiaGpus:
    """See `node.machine.gpu.GpuSource`. ``nvml`` is None where its bindings are not installed."""

    def __init__(self, nvml: Nvml | None) -> None:
        self._nvml = nvml
        self._is_open = False

    def read(self) -> GpuReading:
        """See `node.machine.gpu.GpuSource.read`."""
        if (nvml := self._nvml) is None:
            if shutil.which("nvidia-smi") is None:
                return GpuReading()
            note = "this machine has NVIDIA's driver, but its cards cannot be read; install llm-worker-node[gpu]"
            return GpuReading(notes=(note,))
        try:
            if not self._is_open:
                nvml.nvmlInit()
                self._is_open = True
            readings = [_read_card(nvml, index) for index in range(nvml.nvmlDeviceGetCount())]
        except nvml.NVMLError as error:
            self.close()
            if getattr(error, "value", None) == nvml.NVML_ERROR_LIBRARY_NOT_FOUND:
                return GpuReading()
            return GpuReading(notes=(f"NVIDIA's driver does not answer: {error}; check it with: nvidia-smi",))
        return GpuReading(
            tuple(gpu for gpu, _ in readings if gpu is not None), tuple(note for _, note in readings if note)
        )

    def close(self) -> None:
        """See `node.machine.gpu.GpuSource.close`."""
        if self._nvml is not None and self._is_open:
            self._is_open = False
            # A driver that is lost has nothing to let go of.
            with suppress(self._nvml.NVMLError):
                self._nvml.nvmlShutdown()


def _read_card(nvml: Nvml, index: int) -> tuple[Gpu | None, str]:
    try:
        handle = nvml.nvmlDeviceGetHandleByIndex(index)
        name = nvml.nvmlDeviceGetName(handle)
    except nvml.NVMLError as error:
        return None, f"NVIDIA card {index} cannot be read: {error}"
    total: int | None = None
    used: int | None = None
    busy: float | None = None
    # Cards in several instances, and those that share the machine's memory, do not tell all of it.
    with suppress(nvml.NVMLError):
        memory = nvml.nvmlDeviceGetMemoryInfo(handle)
        total, used = int(memory.total), int(memory.used)
    with suppress(nvml.NVMLError):
        busy = float(nvml.nvmlDeviceGetUtilizationRates(handle).gpu) / 100
    text = name.decode("utf-8", "replace") if isinstance(name, bytes) else name
    return Gpu(text if text.startswith("NVIDIA") else f"NVIDIA {text}", total, used, busy), ""
