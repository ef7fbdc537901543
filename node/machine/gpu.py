"""What is known of graphics cards, whoever made them, and who tells it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from node.domain.events import Notice
from node.ports.events import EventSink


@dataclass(frozen=True, slots=True)
class Gpu:
    """A graphics card as it is at a moment; figures are None where its vendor's tool does not tell them.

    ``utilisation_ratio`` is the share of time, 0 to 1, in which it was busy lately, whoever used it. A card with
    ``shares_ram`` has no memory of its own: its total is the machine's.
    """

    name: str
    vram_total_bytes: int | None = None
    vram_used_bytes: int | None = None
    utilisation_ratio: float | None = None
    shares_ram: bool = False


@dataclass(frozen=True, slots=True)
class GpuReading:
    """The cards that were found, and sentences for people on what kept others, or figures, from being found."""

    gpus: tuple[Gpu, ...] = ()
    notes: tuple[str, ...] = ()


class GpuSource(Protocol):
    """Tells of the cards of one vendor. Its calls block: they are for a thread, one at a time."""

    def read(self) -> GpuReading:
        """The cards as they are now. Never raises: what goes wrong is a note."""
        ...

    def close(self) -> None:
        """Let go of the driver; a later `read` takes it up again."""
        ...


class GpuSources:
    """Several sources as one."""

    def __init__(self, sources: Sequence[GpuSource]) -> None:
        self._sources = tuple(sources)

    def read(self) -> GpuReading:
        """See `GpuSource.read`."""
        readings = [source.read() for source in self._sources]
        return GpuReading(
            tuple(gpu for reading in readings for gpu in reading.gpus),
            tuple(note for reading in readings for note in reading.notes),
        )

    def close(self) -> None:
        """See `GpuSource.close`."""
        for source in self._sources:
            source.close()


def joined_name(gpus: Sequence[Gpu]) -> str:
    """The cards in one line, such as ``2x NVIDIA A100, AMD Radeon Pro``; empty where there is none."""
    counts = Counter(gpu.name for gpu in gpus)
    return ", ".join(name if count == 1 else f"{count}x {name}" for name, count in counts.items())


def busiest_ratio(gpus: Sequence[Gpu]) -> float | None:
    """The utilisation of the card that is used most; None where none tells."""
    return max((gpu.utilisation_ratio for gpu in gpus if gpu.utilisation_ratio is not None), default=None)


def vram_used_ratio(gpus: Sequence[Gpu]) -> float | None:
    """The share in use of all the memory that cards have of their own; None where none tells."""
    known = [
        (gpu.vram_used_bytes, gpu.vram_total_bytes)
        for gpu in gpus
        if gpu.vram_used_bytes is not None and gpu.vram_total_bytes and not gpu.shares_ram
    ]
    return sum(used for used, _ in known) / sum(total for _, total in known) if known else None


class NoteBook:
    """Tells each note once: what a machine lacks, it lacks every time that it is looked at."""

    def __init__(self, events: EventSink) -> None:
        self._events = events
        self._told: dict[str, None] = {}

    def tell(self, note: str) -> None:
        """Emit it as a notice, unless it was told before."""
        if note not in self._told:
            self._told[note] = None
            self._events.emit(Notice("machine", note))
