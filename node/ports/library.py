"""The models of an engine, apart from what they are asked."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class StoredModel:
    """A model that an engine has. ``bytes`` is its size on disk, None where the engine does not tell."""

    name: str
    bytes: int | None = None


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """A model in an engine's memory: its bytes in all, and of these on the GPU; None where the engine does not tell."""

    name: str
    bytes: int | None = None
    vram_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class PullProgress:
    """How far a download is. ``total`` is None while the engine does not know it; both count bytes."""

    status: str
    completed: int = 0
    total: int | None = None


class ModelLibrary(Protocol):
    """One engine's models. All calls raise, where not said otherwise:

    EngineFailed: the engine cannot be reached, or said no; the message is for people and free of secrets.
    """

    @property
    def engine(self) -> str:
        """The engine's name, as its executor bears it."""
        ...

    @property
    def manages(self) -> bool:
        """Whether models can be pulled, loaded and unloaded; where not, those three raise `EngineFailed`."""
        ...

    async def parallel(self) -> int | None:
        """How many requests the engine runs at once; None where it does not tell, or does not answer. Never raises."""
        ...

    async def stored(self) -> tuple[StoredModel, ...]:
        """What the engine can be asked for, in its own order and spelling."""
        ...

    async def loaded(self) -> tuple[LoadedModel, ...]:
        """What is in its memory now; empty where it cannot tell."""
        ...

    async def pull(self, model: str, on_progress: Callable[[PullProgress], object] = lambda _: None) -> None:
        """Download a model; returns when it can be used. A cancelled call stops the download."""
        ...

    async def load(self, model: str) -> None:
        """Bring a model into memory, to stay there until `unload`."""
        ...

    async def unload(self, model: str) -> None:
        """Take a model out of memory; one that is not there is no error."""
        ...

    async def aclose(self) -> None:
        """Let go of connections. Never raises."""
        ...
