"""Machines and engines that do what a test says."""

from __future__ import annotations

import asyncio
import stat
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from node.domain.errors import EngineFailed
from node.domain.events import EngineChanged, Event, JobClaimed, JobEnded, ResultLost
from node.domain.ids import JobId, JobKey, NodeId, SourceId
from node.machine.gpu import Gpu, GpuReading
from node.machine.sample import MachineSample
from node.observability.bus import EventBus
from node.ports.library import LoadedModel, PullProgress, StoredModel

GB = 2**30


def a_sample(taken_at: float = 0.0, **changes: Any) -> MachineSample:
    sample = MachineSample(
        taken_at=taken_at,
        cpu_ratio=0.1,
        process_cpu_ratio=0.05,
        rss_bytes=100_000_000,
        memory_used_ratio=0.5,
        memory_total_bytes=10 * GB,
        disk_free_bytes=500 * GB,
        gpus_taken_at=taken_at,
    )
    return replace(sample, **changes)


def a_key(number: int = 1) -> JobKey:
    return JobKey(SourceId("gateway"), NodeId("node-1"), JobId(f"job-{number}"))


def claimed(number: int = 1, model: str = "m") -> JobClaimed:
    return JobClaimed(a_key(number), model)


def ended(number: int = 1, error: str = "", took_s: float = 1.0) -> JobEnded:
    return JobEnded(a_key(number), "" if error else "ollama", "m", took_s, None, error)


def there(engine: str) -> EngineChanged:
    return EngineChanged(engine, available=True, reason="")


def gone(engine: str, reason: str) -> EngineChanged:
    return EngineChanged(engine, available=False, reason=reason)


def lost(number: int = 1) -> ResultLost:
    return ResultLost(a_key(number), "a defect")


class Told:
    """A bus that remembers."""

    def __init__(self) -> None:
        self._bus = EventBus(self._failed_handler)
        self.subscribe = self._bus.subscribe
        self.attach = self._bus.attach
        self.events: list[Event] = []

    def emit(self, event: Event, /) -> None:
        self.events.append(event)
        self._bus.emit(event)

    def of(self, kind: type[Any]) -> list[Any]:
        return [event for event in self.events if isinstance(event, kind)]

    @staticmethod
    def _failed_handler(text: str) -> None:
        raise AssertionError(text)


class FixedGpus:
    """A source that reads what it was given, and counts."""

    def __init__(self, *gpus: Gpu, notes: tuple[str, ...] = ()) -> None:
        self.reading = GpuReading(gpus, notes)
        self.reads = 0
        self.closed = 0
        self.on_read: Callable[[], object] = lambda: None

    def read(self) -> GpuReading:
        self.reads += 1
        self.on_read()
        return self.reading

    def close(self) -> None:
        self.closed += 1


class NvmlStandInError(Exception):
    def __init__(self, value: int, text: str) -> None:
        super().__init__(text)
        self.value = value


@dataclass
class NvmlCard:
    name: str | bytes
    total: int | None = None
    used: int | None = None
    busy: int | None = None
    gone: bool = False


class NvmlStandIn:
    """The functions of pynvml that are used, over cards in memory."""

    NVMLError: type[Exception] = NvmlStandInError
    NVML_ERROR_LIBRARY_NOT_FOUND = 12

    def __init__(self, *cards: NvmlCard, fails: NvmlStandInError | None = None) -> None:
        self.cards = cards
        self.fails = fails
        self.opened = 0
        self.shut = 0

    def nvmlInit(self) -> None:  # noqa: N802 - NVML's own name
        if self.fails is not None:
            raise self.fails
        self.opened += 1

    def nvmlShutdown(self) -> None:  # noqa: N802 - NVML's own name
        self.shut += 1

    def nvmlDeviceGetCount(self) -> int:  # noqa: N802 - NVML's own name
        if self.fails is not None:
            raise self.fails
        return len(self.cards)

    def nvmlDeviceGetHandleByIndex(self, index: int, /) -> NvmlCard:  # noqa: N802 - NVML's own name
        card = self.cards[index]
        if card.gone:
            raise NvmlStandInError(15, "GPU is lost")
        return card

    def nvmlDeviceGetName(self, handle: Any, /) -> str | bytes:  # noqa: N802 - NVML's own name
        name: str | bytes = handle.name
        return name

    def nvmlDeviceGetMemoryInfo(self, handle: Any, /) -> Any:  # noqa: N802 - NVML's own name
        return SimpleNamespace(total=self._told(handle.total), used=self._told(handle.used))

    def nvmlDeviceGetUtilizationRates(self, handle: Any, /) -> Any:  # noqa: N802 - NVML's own name
        return SimpleNamespace(gpu=self._told(handle.busy))

    @staticmethod
    def _told(figure: int | None) -> int:
        if figure is None:
            raise NvmlStandInError(3, "Not Supported")
        return figure


def write_tool(folder: Path, name: str, script: str) -> str:
    """Put a shell script into a folder as a program of this name; the folder, as a PATH."""
    program = folder / name
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    return str(folder)


def printing(text: str) -> str:
    return f"cat <<'END'\n{text}\nEND"


@dataclass
class MemoryLibrary:
    """An engine's models in memory. ``down`` makes every call fail; a pull takes ``pull_s`` in ten steps."""

    engine: str = "ollama"
    manages: bool = True
    models: dict[str, StoredModel] = field(default_factory=dict)
    in_memory: dict[str, LoadedModel] = field(default_factory=dict)
    sizes: dict[str, int] = field(default_factory=dict)
    remote: dict[str, int | None] = field(default_factory=dict)
    down: str = ""
    answers_in_s: float = 0.0
    pull_s: float = 10.0
    move_s: float = 0.0
    log: list[str] = field(default_factory=list)
    on_move: Callable[[], object] = lambda: None

    def have(self, *names: str) -> MemoryLibrary:
        for name in names:
            self.models[name] = StoredModel(name)
        return self

    def hold(self, name: str, size: int | None, vram: int | None = None) -> None:
        self.have(name)
        self.in_memory[name] = LoadedModel(name, size, vram)

    async def parallel(self) -> int | None:
        return None

    async def stored(self) -> tuple[StoredModel, ...]:
        await self._called("stored")
        return tuple(self.models.values())

    async def loaded(self) -> tuple[LoadedModel, ...]:
        await self._called("loaded")
        return tuple(self.in_memory.values())

    async def pull(self, model: str, on_progress: Callable[[PullProgress], object] = lambda _: None) -> None:
        self.log.append(f"pull {model}")
        on_progress(PullProgress("pulling manifest"))
        if self.down or model not in self.remote:
            raise EngineFailed(self.down or "pull model manifest: file does not exist")
        size = self.remote[model]
        for step in range(1, 11):
            await asyncio.sleep(self.pull_s / 10)
            on_progress(PullProgress("pulling", 0 if size is None else size * step // 10, size))
        self.have(model)

    async def load(self, model: str) -> None:
        self.log.append(f"load {model}")
        await self._called("load")
        if model not in self.models:
            raise EngineFailed(f"model '{model}' not found")
        self.in_memory.setdefault(model, LoadedModel(model, self.sizes.get(model)))
        self.on_move()

    async def unload(self, model: str) -> None:
        self.log.append(f"unload {model}")
        await self._called("unload")
        self.in_memory.pop(model, None)
        self.on_move()

    async def aclose(self) -> None:
        pass

    async def _called(self, what: str) -> None:
        seconds = self.move_s if what in {"load", "unload"} else self.answers_in_s
        await asyncio.sleep(seconds)
        if self.down:
            raise EngineFailed(self.down)
