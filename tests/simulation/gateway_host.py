"""Where the sandbox gateway lives: a process that ends, is killed and starts again, at one address."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from dataclasses import replace
from email.utils import formatdate
from functools import lru_cache
from pathlib import Path
from typing import Final
from urllib.parse import unquote, urlsplit

from starlette.types import Message, Scope

from node.domain.events import Crash
from node.domain.secret import Secret
from node.ports.transport import Request
from node.runtime.signals import Signal
from node.sandbox.assembly import Sandbox, Surroundings, sandbox
from node.sandbox.gateway import Gateway
from tests.simulation.disk import Disk, survive
from tests.simulation.faults import Tally
from tests.simulation.plan import TOKENS_EXPIRE_BY_S, Plan
from tests.simulation.timeline import Process, ProcessClock, Timeline, new_process

Answered = Callable[[int, list[tuple[bytes, bytes]], bytes], None]

_PEER: Final = "203.0.113.1"
"""The address that the gateway sees requests come from, those that go through no proxy."""


class CountingIds:
    """Names in order, never the same twice, whichever gateway asks."""

    def __init__(self) -> None:
        self._last = 0

    def new(self) -> str:
        """See `node.ports.clock.Ids`."""
        self._last += 1
        return f"00000000-0000-4000-8000-{self._last:012d}"


class GatewayHost:
    """Runs one gateway after another. All are remembered, with their ledgers, for the checker."""

    def __init__(self, timeline: Timeline, plan: Plan, folder: Path, on_defect: Callable[[str], object]) -> None:
        self.clock = ProcessClock(timeline)
        self.gateways: list[Gateway] = []
        self.processes: list[Process] = []
        self._timeline = timeline
        self._plan = plan
        self._folder = folder
        self._on_defect = on_defect
        self._ids = CountingIds()
        self._sandbox: Sandbox | None = None
        self._stop = Signal()
        self._feeds = True
        self._main: asyncio.Task[None] | None = None

    @property
    def is_up(self) -> bool:
        """Whether anybody answers there."""
        return self._sandbox is not None

    @property
    def has_ended(self) -> bool:
        """Whether no process runs."""
        return self._main is None or self._main.done() or self.processes[-1].is_dead

    @property
    def gateway(self) -> Gateway:
        """The one that runs, or ran last."""
        return self.gateways[-1]

    def start(self) -> None:
        """Start a gateway; with its state kept it goes on where the last one stood."""
        number = len(self.processes)
        process = new_process(self._timeline, f"gateway {number}", self._on_defect)
        self.processes.append(process)
        self._stop = Signal()
        self._main = process.start(self._serve(number, self._stop))

    def stop(self) -> None:
        """End it as SIGTERM does: what is under way is answered, nothing new is taken."""
        self._sandbox = None
        self._stop.set()

    def kill(self) -> None:
        """End it as kill -9 does: connections break, its memory is gone."""
        self._sandbox = None
        self.processes[-1].kill()
        if self._plan.keeps_state:
            # What lives on is what the disk holds now; the dead one's open file must not touch it.
            number = len(self.processes)
            survive(self._data(number - 1), self._data(number))

    def expire_tokens(self) -> None:
        """Put the gateway's clock ahead of every token's end."""
        self.clock.skew_s += TOKENS_EXPIRE_BY_S

    def stop_feeding(self) -> None:
        """Submit no more jobs, whichever gateway runs."""
        self._feeds = False
        if self._sandbox is not None:
            self._sandbox.feeder.stop()

    def handle(self, request: Request, peer: str | None, answered: Answered) -> None:
        """Have the gateway that runs answer a request, unless it ends before."""
        assert self._sandbox is not None
        exchange = _Exchange(request, peer or _PEER, self.clock)

        def ended(task: asyncio.Task[None]) -> None:
            if exchange.is_whole:
                answered(exchange.status, exchange.headers, b"".join(exchange.parts))
            if not task.cancelled() and (error := task.exception()) is not None:
                self._on_defect(f"the gateway failed on {request.method} {request.url}: {error!r}")

        self.processes[-1].start(exchange.run(self._sandbox), "request").add_done_callback(ended)

    def _data(self, number: int) -> Path:
        return self._folder / f"gateway-{number}"

    async def _serve(self, number: int, stop: Signal) -> None:
        folder = self._data(number) if self._plan.keeps_state else None
        policy = replace(self._plan.sandbox, data_dir=folder)
        chance = random.Random(f"gateway {self._plan.seed} {number}")
        around = Surroundings(
            clock=self.clock,
            random=chance,
            ids=self._ids,
            secret=Secret(f"signing-secret-{number}-{'x' * 32}"),
            control_token=Secret("control-token-canary"),
            on_crash=self._tell,
            executor=Disk(self.processes[number], self._plan.disk_s, chance, (), Tally()),
        )
        async with sandbox(policy, around) as running:
            if not self._feeds:
                running.feeder.stop()
            self.gateways.append(running.gateway)
            self._sandbox = running
            await stop.wait()
        if folder is not None:
            survive(folder, self._data(number + 1))

    def _tell(self, crash: Crash) -> None:
        self._on_defect(f"gateway: {crash.task}: {crash.error}\n{crash.trace}")


class _Exchange:
    """One request as the application sees it, and its reply."""

    def __init__(self, request: Request, peer: str, clock: ProcessClock) -> None:
        self.status = 0
        self.headers: list[tuple[bytes, bytes]] = []
        self.parts: list[bytes] = []
        self.is_whole = False
        self._request = request
        self._peer = peer
        self._clock = clock
        self._is_read = False
        self._over = Signal()

    async def run(self, running: Sandbox) -> None:
        """Have the application handle the request."""
        try:
            await running.app(self._scope(), self._receive, self._send)
        finally:
            self._over.set()

    def _scope(self) -> Scope:
        request = self._request
        parts = urlsplit(request.url)
        headers = [(name.encode("ascii"), text.encode("latin-1")) for name, text in request.headers]
        if request.method != "GET":
            headers.append((b"content-length", b"%d" % len(request.body or b"")))
        return {
            "type": "http",
            "method": request.method,
            "path": unquote(parts.path),
            "raw_path": parts.path.encode("ascii"),
            "query_string": parts.query.encode("ascii"),
            "root_path": "",
            "scheme": "http",
            "headers": headers,
            "client": (self._peer, 0),
            "server": (parts.hostname, 80),
        }

    async def _receive(self) -> Message:
        if not self._is_read:
            self._is_read = True
            return {"type": "http.request", "body": self._request.body or b"", "more_body": False}
        await self._over.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            self.headers = [*message["headers"], (b"date", _http_date(int(self._clock.wall())))]
        else:
            self.parts.append(message.get("body", b""))
            self.is_whole = not message.get("more_body", False)


@lru_cache(maxsize=16)
def _http_date(now: int) -> bytes:
    return formatdate(now, usegmt=True).encode()
