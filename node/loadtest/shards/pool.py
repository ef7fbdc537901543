"""How shards are started and spoken with, wherever they run."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Protocol, TypeAlias

from node.loadtest.shards.messages import Order, Report


@dataclass(frozen=True, slots=True)
class Gone:
    """A shard has ended, or cannot be reached any more; ``why`` is for people."""

    why: str


class ShardChannel(Protocol):
    """The leader's way to one shard."""

    def send(self, order: Order) -> None:
        """Tell it, at once; to one that has ended nothing is told."""
        ...

    async def receive(self) -> Report | Gone:
        """What it says next; once it is `Gone`, always that. For one task at a time.

        A cancelled call may lose what was under way: whoever gives up waiting ends the shard.
        """
        ...

    def kill(self) -> None:
        """End it at once, whatever it does; `receive` gives `Gone` soon."""
        ...


class ShardPool(Protocol):
    """A place for shards: processes of this machine, actors of a Ray cluster."""

    def open(self, tasks: Sequence[bytes]) -> AbstractAsyncContextManager[Sequence[ShardChannel]]:
        """Start a shard for each of the tasks, which its program is given; none is left when the block ends.

        Raises:
            ShardsFailed: they cannot be started.
        """
        ...


class ShardLink(Protocol):
    """A shard's way to who leads it."""

    def tell(self, report: Report) -> None:
        """Say it; it is on its way when this returns, not there."""
        ...

    async def next_order(self) -> Order | None:
        """What it is told next; None when nobody leads it any more, from then on always."""
        ...


ShardProgram: TypeAlias = Callable[[bytes, ShardLink], Awaitable[None]]
"""What a shard does with its task: it says what there is to say, and returns. Importable by its name wherever it is run."""
