"""Shards as actors of a Ray cluster, on as many machines as that has."""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import logging
import os
from collections import deque
from collections.abc import AsyncIterator, Sequence
from typing import Any, Final

from node.domain.errors import ShardsFailed
from node.loadtest.shards.messages import Order, Report, encoded, report_in
from node.loadtest.shards.pool import Gone, ShardChannel
from node.loadtest.shards.ray_actor import ShardActor

LOCAL: Final = "local"
"""As an address: a cluster of this machine alone, there as long as the run lasts."""

_AUTO: Final = "auto"
"""As an address: the cluster that this machine is a part of."""

_KNOCK_S: Final = 10.0
_LOOPBACK: Final = "127.0.0.1"
_WAIT_S: Final = 1.0
"""For news of a shard, a call: one that is lost for good is noticed by Ray."""

_THREADS: Final = 4
"""Of an actor, for its methods: one is nearly always waiting in `ShardActor.hear`."""

_QUIET: Final = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_enable_metrics_collection": "0",
}
"""What Ray would tell of this machine to others, and what it would warn of here in vain."""


class RayPool:
    """See `node.loadtest.shards.pool.ShardPool`. An actor a shard, with a core of its own; none is started again.

    ``address`` is a cluster's (``HOST:PORT``), ``auto`` or `LOCAL`. ``program`` and ``loop_factory`` are what `ShardActor` runs: every machine of
    the cluster has this package, of the same version. Ray is a part of this process, so that there is one pool at a time.
    """

    def __init__(self, address: str, program: str, loop_factory: str) -> None:
        self._address = address
        self._program = program
        self._loop_factory = loop_factory

    @contextlib.asynccontextmanager
    async def open(self, tasks: Sequence[bytes]) -> AsyncIterator[Sequence[ShardChannel]]:
        """See `ShardPool.open`."""
        loop = asyncio.get_running_loop()
        await self._knock()
        # Not on the event loop, and not on the main thread, where Ray would put its own handlers of signals.
        ray = await loop.run_in_executor(None, self._connect, len(tasks))
        channels: list[_ActorChannel] = []
        try:
            actor = ray.remote(num_cpus=1, max_restarts=0, max_concurrency=_THREADS, scheduling_strategy="SPREAD")(
                ShardActor
            )
            for task in tasks:
                channel = _ActorChannel(ray, actor.remote(self._program, self._loop_factory))
                channels.append(channel)
                channel.begin(task)
            yield channels
        finally:
            for channel in channels:
                channel.kill()
            await loop.run_in_executor(None, ray.shutdown)

    async def _knock(self) -> None:
        """See that somebody listens there: Ray itself would try for minutes, and nothing could stop it."""
        if self._address in {LOCAL, _AUTO}:
            return
        host, _, port = self._address.rpartition(":")
        try:
            if not host or "/" in host:
                raise ValueError("write it as HOST:PORT, as 'ray start' tells it")
            async with asyncio.timeout(_KNOCK_S):
                _, writer = await asyncio.open_connection(host.strip("[]"), int(port))
        except (OSError, ValueError) as error:
            why = "nobody answers" if isinstance(error, OSError) else str(error)
            raise ShardsFailed(f"the Ray cluster {self._address!r} cannot be used: {why}") from error
        writer.close()

    def _connect(self, actors: int) -> Any:
        for name, value in _QUIET.items():
            os.environ.setdefault(name, value)
        try:
            ray: Any = importlib.import_module("ray")
        except ModuleNotFoundError as error:
            raise ShardsFailed("Ray is not installed: pip install 'llm-worker-node[ray]'") from error
        given: dict[str, Any] = {"address": self._address}
        if self._address == LOCAL:
            given |= {"num_cpus": actors, "include_dashboard": False, "_node_ip_address": _LOOPBACK}
        try:
            ray.init(log_to_driver=False, configure_logging=True, logging_level=logging.ERROR, **given)
        except (ConnectionError, OSError, RuntimeError, ValueError, TimeoutError) as error:
            raise ShardsFailed(f"the Ray cluster {self._address!r} cannot be used: {error}") from error
        cores = ray.cluster_resources().get("CPU", 0.0)
        if cores < actors:
            ray.shutdown()
            raise ShardsFailed(f"the Ray cluster has {cores:g} cores, and each of the {actors} shards takes one")
        return ray


class _ActorChannel:
    """See `node.loadtest.shards.pool.ShardChannel`."""

    def __init__(self, ray: Any, actor: Any) -> None:
        self._ray = ray
        self._actor = actor
        self._heard: deque[bytes | None] = deque()
        self._gone: Gone | None = None

    def begin(self, task: bytes) -> None:
        """Hand its task over."""
        self._actor.begin.remote(task)

    def send(self, order: Order) -> None:
        """See `ShardChannel.send`."""
        self._actor.tell.remote(encoded(order))

    async def receive(self) -> Report | Gone:
        """See `ShardChannel.receive`."""
        if self._gone is None:
            self._gone, report = await self._next()
            if report is not None:
                return report
        return self._gone or Gone("it has ended")

    def kill(self) -> None:
        """See `ShardChannel.kill`."""
        self._ray.kill(self._actor, no_restart=True)

    async def _next(self) -> tuple[Gone | None, Report | None]:
        try:
            while not self._heard:
                self._heard.extend(await self._actor.hear.remote(_WAIT_S))
            data = self._heard.popleft()
            return (Gone("it has ended without a record"), None) if data is None else (None, report_in(data))
        except self._ray.exceptions.RayError as error:
            return Gone(_first_line(error)), None
        except ValueError as error:
            self.kill()
            return Gone(str(error)), None


def _first_line(error: Exception) -> str:
    """What Ray says of a lost actor, without its list of what may have caused it."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    told = lines[0] if lines else type(error).__name__
    return f"its actor died ({told})"
