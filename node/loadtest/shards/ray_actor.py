"""One shard in a process of a Ray cluster: it runs in a thread of its own, and actors' methods pass messages on."""

from __future__ import annotations

import asyncio
import importlib
import queue
import threading
from collections.abc import Callable
from typing import Any

from node.domain.errors import described
from node.loadtest.shards.messages import Failed, Order, Report, encoded, order_in
from node.loadtest.shards.pool import ShardProgram


class ShardActor:
    """Made by Ray, with as many threads as methods are called at once. Nothing runs before `begin`.

    ``program`` is a `node.loadtest.shards.pool.ShardProgram` as ``module:name``, ``loop_factory`` what makes its event
    loop, likewise, given its task by `begin`.
    """

    def __init__(self, program: str, loop_factory: str) -> None:
        self._program = program
        self._loop_factory = loop_factory
        self._reports: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self._orders: list[bytes] = []
        self._link: _ActorLink | None = None
        self._lock = threading.Lock()

    def begin(self, task: bytes) -> None:
        """Run the program."""
        threading.Thread(target=self._run, args=(task,), name="shard", daemon=True).start()

    def tell(self, order: bytes) -> None:
        """Pass an order on."""
        with self._lock:
            if self._link is None:
                self._orders.append(order)
            else:
                self._link.take(order)

    def hear(self, wait_s: float) -> list[bytes | None]:
        """What it has said since the last call, waiting for so long at most; None is its end."""
        heard: list[bytes | None] = []
        try:
            heard.append(self._reports.get(timeout=wait_s))
            while True:
                heard.append(self._reports.get_nowait())
        except queue.Empty:
            return heard

    def _run(self, task: bytes) -> None:
        try:
            program: ShardProgram = _named(self._program)
            with asyncio.Runner(loop_factory=_named(self._loop_factory)) as runner:
                runner.run(self._carry_out(program, task))
        except Exception as error:  # noqa: BLE001 - the top of a thread: what it dies of is told
            self._reports.put(encoded(Failed(reason=described(error))))
        finally:
            self._reports.put(None)

    async def _carry_out(self, program: ShardProgram, task: bytes) -> None:
        link = _ActorLink(asyncio.get_running_loop(), self._reports.put)
        with self._lock:
            self._link = link
            for order in self._orders:
                link.take(order)
        try:
            await program(task, link)
        finally:
            with self._lock:
                self._link = None


class _ActorLink:
    """See `node.loadtest.shards.pool.ShardLink`."""

    def __init__(self, loop: asyncio.AbstractEventLoop, say: Callable[[bytes], object]) -> None:
        self._loop = loop
        self._say = say
        self._orders: asyncio.Queue[bytes] = asyncio.Queue()

    def tell(self, report: Report) -> None:
        self._say(encoded(report))

    async def next_order(self) -> Order | None:
        try:
            return order_in(await self._orders.get())
        except ValueError:
            return None

    def take(self, order: bytes) -> None:
        """From any thread."""
        self._loop.call_soon_threadsafe(self._orders.put_nowait, order)


def _named(name: str) -> Any:
    module, _, attribute = name.partition(":")
    return getattr(importlib.import_module(module), attribute)
