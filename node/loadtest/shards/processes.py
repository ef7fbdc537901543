"""Shards as processes of this machine."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

from node.domain.errors import ShardsFailed
from node.loadtest.shards.frames import BUFFER_BYTES, frame, read_frame
from node.loadtest.shards.messages import Order, Report, encoded, report_in
from node.loadtest.shards.pool import Gone, ShardChannel
from node.runtime.child_environment import without_secrets
from node.runtime.signals import Signal
from node.runtime.tasks import TaskOwner

_PACKAGE_ROOT: Final = Path(__file__).resolve().parents[3]
_TAIL_LINES: Final = 5
_GRACE_S: Final = 5.0
"""What a process whose standard input was closed may take to end."""


class ProcessPool:
    """See `node.loadtest.shards.pool.ShardPool`.

    Each process runs ``module``, which finds its task and then its orders on its standard input, a frame each, and
    says what it has to say on its standard output. It is in a session of its own, so that Ctrl+C in the terminal does
    not reach it, and ends with its standard input, so that none is left when this process ends in whatever way.
    ``say`` is told each line of their standard error.
    """

    def __init__(self, module: str, say: Callable[[str], object]) -> None:
        self._module = module
        self._say = say

    @contextlib.asynccontextmanager
    async def open(self, tasks: Sequence[bytes]) -> AsyncIterator[Sequence[ShardChannel]]:
        """See `ShardPool.open`."""
        beside = TaskOwner(lambda crash: self._say(f"{crash.task}: {crash.error}"))
        started: list[_ProcessChannel] = []
        try:
            for index, task in enumerate(tasks):
                channel = await self._start(index)
                started.append(channel)
                beside.start(channel.read_errors(), f"standard error of shard {index}")
                beside.start(channel.give(task), f"task of shard {index}")
            yield started
        finally:
            for channel in started:
                beside.start(channel.aclose(), "end a shard")
            await beside.join()

    async def _start(self, index: int) -> _ProcessChannel:
        try:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-P",
                "-m",
                self._module,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
                limit=BUFFER_BYTES,
                start_new_session=True,
                env=_environment(os.environ),
            )
        except OSError as error:
            raise ShardsFailed(f"shard {index} could not be started: {error.strerror}") from error
        return _ProcessChannel(process, index, self._say)


class _ProcessChannel:
    """See `node.loadtest.shards.pool.ShardChannel`."""

    def __init__(self, process: asyncio.subprocess.Process, index: int, say: Callable[[str], object]) -> None:
        if process.stdin is None or process.stdout is None or process.stderr is None:
            raise RuntimeError("the pipes were not asked for")
        self._process = process
        self._index = index
        self._say = say
        self._orders = process.stdin
        self._reports = process.stdout
        self._errors = process.stderr
        self._tail: deque[str] = deque(maxlen=_TAIL_LINES)
        self._has_said_all = Signal()
        self._gone: Gone | None = None

    def send(self, order: Order) -> None:
        """See `ShardChannel.send`."""
        if self._process.returncode is None and not self._orders.is_closing():
            self._orders.write(frame(encoded(order)))

    async def receive(self) -> Report | Gone:
        """See `ShardChannel.receive`."""
        if self._gone is not None:
            return self._gone
        try:
            data = await read_frame(self._reports)
            if data is not None:
                return report_in(data)
            code = await self._process.wait()
            # What it wrote last tells more than its exit code does.
            await self._has_said_all.wait(_GRACE_S)
            self._gone = Gone(_how_it_ended(code, self._tail))
        except ValueError as error:
            self.kill()
            self._gone = Gone(str(error))
        return self._gone

    def kill(self) -> None:
        """See `ShardChannel.kill`."""
        if self._process.returncode is None:
            self._process.kill()

    async def give(self, task: bytes) -> None:
        """Hand its task over."""
        with contextlib.suppress(ConnectionError):
            self._orders.write(frame(task))
            await self._orders.drain()

    async def read_errors(self) -> None:
        """Pass on what it says for people, to its end."""
        while line := await self._errors.readline():
            text = line.decode(errors="replace").rstrip()
            self._tail.append(text)
            self._say(f"shard {self._index}: {text}")
        self._has_said_all.set()

    async def aclose(self) -> None:
        """End the process: by closing its standard input, and after a time of grace by SIGKILL."""
        self._orders.close()
        emptying = asyncio.ensure_future(self._empty())
        try:
            async with asyncio.timeout(_GRACE_S):
                await self._process.wait()
        except TimeoutError:
            self.kill()
            await self._process.wait()
        finally:
            emptying.cancel()
            await asyncio.wait([emptying])

    async def _empty(self) -> None:
        """Read on, so that it does not wait for a reader in the midst of its last words."""
        while await self._reports.read(BUFFER_BYTES):
            pass


def _how_it_ended(code: int, tail: Sequence[str]) -> str:
    how = f"its process ended with exit code {code}"
    if code < 0:
        try:
            how = f"its process was killed by {signal.Signals(-code).name}"
        except ValueError:
            how = f"its process was killed by signal {-code}"
    return f"{how} ({tail[-1]})" if tail and code > 0 else how


def _environment(inherited: Mapping[str, str]) -> dict[str, str]:
    """The child finds this very package, wherever the parent was started, and learns nothing of what that is told."""
    paths = [str(_PACKAGE_ROOT), *filter(None, [inherited.get("PYTHONPATH")])]
    return {**without_secrets(inherited), "PYTHONPATH": os.pathsep.join(paths)}
