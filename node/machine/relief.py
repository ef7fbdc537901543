"""Which models to take out of memory when it runs short."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace

from node.domain.model_names import full_name
from node.machine.gpu import vram_used_ratio
from node.machine.sample import MachineSample
from node.ports.library import LoadedModel


@dataclass(frozen=True, slots=True)
class Pressure:
    """How full the memory is that models live in: the cards' own where that can be read, else the machine's.

    ``taken_at`` is when it was measured, in the event loop's time.
    """

    taken_at: float
    used_ratio: float
    total_bytes: int
    is_vram: bool

    @classmethod
    def of(cls, sample: MachineSample) -> Pressure:
        """Read it from a sample."""
        ratio = vram_used_ratio(sample.gpus)
        if ratio is None:
            return cls(sample.taken_at, sample.memory_used_ratio, sample.memory_total_bytes, is_vram=False)
        own = [gpu for gpu in sample.gpus if gpu.vram_used_bytes is not None and not gpu.shares_ram]
        return cls(sample.gpus_taken_at, ratio, sum(gpu.vram_total_bytes or 0 for gpu in own), is_vram=True)

    def without(self, size: int) -> Pressure:
        """What it would be if so many bytes were not used."""
        return replace(self, used_ratio=self.used_ratio - size / self.total_bytes) if self.total_bytes else self

    def bytes_above(self, ratio: float) -> float:
        """What must be given up to come down to this share; 0 or less where nothing must."""
        return (self.used_ratio - ratio) * self.total_bytes


def to_unload(
    loaded: Sequence[LoadedModel],
    needed_bytes: float,
    *,
    is_vram: bool,
    is_idle: Callable[[str], bool],
    preloaded: Collection[str],
    last_used: Callable[[str], float],
) -> tuple[LoadedModel, ...]:
    """The models to give up so that ``needed_bytes`` come free, and no more of them than that takes.

    Only idle ones go: first those that are not preloaded, and of these the one whose last use is longest ago. After
    one whose size is not known the memory is to be measured again: it is the last. ``preloaded`` are full names, and
    with those the callables are asked.
    """
    candidates = sorted(
        (model for model in loaded if is_idle(full_name(model.name)) and size_in(model, is_vram=is_vram) != 0),
        key=lambda model: (full_name(model.name) in preloaded, last_used(full_name(model.name))),
    )
    chosen: list[LoadedModel] = []
    missing = needed_bytes
    for model in candidates:
        if missing <= 0:
            break
        chosen.append(model)
        size = size_in(model, is_vram=is_vram)
        if size is None:
            return tuple(chosen)
        missing -= size
    spare = -missing
    for model in reversed(chosen[:-1]):
        size = size_in(model, is_vram=is_vram) or 0
        if size <= spare:
            chosen.remove(model)
            spare -= size
    return tuple(chosen)


def size_in(model: LoadedModel, *, is_vram: bool) -> int | None:
    """What the model takes of the memory that is meant: what giving it up frees. None where that is not known."""
    return model.vram_bytes if is_vram else model.bytes
