"""The sandbox as a child process, seen from its parent."""

from __future__ import annotations

import asyncio
import os
import sys
from collections import deque
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final, TypeVar

from node.domain.errors import SandboxFailed
from node.runtime.child_environment import without_secrets
from node.runtime.tasks import TaskOwner
from node.sandbox.handshake import Handshake, read_handshake
from node.sandbox.policy import SandboxPolicy, dump_policy

T = TypeVar("T")

_PACKAGE_ROOT: Final = Path(__file__).resolve().parents[2]
_TAIL_LINES: Final = 20
_LINE_BYTES: Final = 4096
_LAST_GRACE_S: Final = 1.0


class SandboxProcess:
    """A sandbox in a process and session of its own, so that Ctrl+C in the terminal does not reach it. Made by `start`.

    It ends by `stop`, or when this process ends in whatever way: it watches the other end of its standard input.
    """

    def __init__(self, process: asyncio.subprocess.Process, tasks: TaskOwner, on_line: Callable[[str], object]) -> None:
        self._process = process
        self._tasks = tasks
        self._on_line = on_line
        self._tail: deque[str] = deque(maxlen=_TAIL_LINES)
        self._handshake: Handshake | None = None

    @classmethod
    async def start(
        cls,
        policy: SandboxPolicy,
        tasks: TaskOwner,
        *,
        timeout_s: float = 20.0,
        on_line: Callable[[str], object] = lambda _line: None,
    ) -> SandboxProcess:
        """Start a process and wait until it listens.

        ``tasks`` owns the readers of its output; ``on_line`` is told each line of its standard error. A cancelled
        call leaves no process behind.

        Raises:
            SandboxFailed: it ended, or did not listen in time; it does not run any more.
        """
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-P",
            "-m",
            "node.sandbox",
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            start_new_session=True,
            env=_environment(os.environ),
        )
        child = cls(process, tasks, on_line)
        errors = _pipe(process.stderr)
        reading = tasks.start(child._read_errors(errors), name="sandbox-stderr")
        try:
            async with asyncio.timeout(timeout_s):
                child._handshake = await child._introduce(policy)
        except TimeoutError as error:
            await child._kill()
            raise SandboxFailed(child._last_words(f"did not listen within {timeout_s:g} s")) from error
        except BaseException:
            await child._kill()
            raise
        if child._handshake is None:
            await child.stop(_LAST_GRACE_S)
            await asyncio.wait([reading])
            raise SandboxFailed(child._last_words(f"ended with exit code {process.returncode}"))
        tasks.start(_drain(_pipe(process.stdout)), name="sandbox-stdout")
        return child

    @property
    def handshake(self) -> Handshake:
        """Where it is reached, and its control token."""
        if self._handshake is None:
            raise RuntimeError("the sandbox has not started")
        return self._handshake

    @property
    def returncode(self) -> int | None:
        """Its exit code, negative where a signal ended it; None while it runs."""
        return self._process.returncode

    @property
    def last_lines(self) -> tuple[str, ...]:
        """The last lines of its standard error, 20 at most."""
        return tuple(self._tail)

    async def wait(self) -> int:
        """Wait until it has ended; its exit code."""
        return await self._process.wait()

    async def stop(self, grace_s: float = 10.0) -> int:
        """End it: by closing its standard input; after ``grace_s`` by SIGTERM, and after as long again by SIGKILL.

        So it takes twice ``grace_s`` at most. A cancelled call leaves it to end by itself.

        Returns its exit code. A second call returns it again.
        """
        _pipe(self._process.stdin).close()
        for insist in (self._process.terminate, self._process.kill):
            try:
                async with asyncio.timeout(grace_s):
                    return await self._process.wait()
            except TimeoutError:
                insist()
        return await self._process.wait()

    async def _introduce(self, policy: SandboxPolicy) -> Handshake | None:
        stdin = _pipe(self._process.stdin)
        try:
            stdin.write(dump_policy(policy) + b"\n")
            await stdin.drain()
        except ConnectionError:
            return None
        return read_handshake(await _pipe(self._process.stdout).readline())

    async def _kill(self) -> None:
        if self._process.returncode is None:
            self._process.kill()
        await self._process.wait()

    async def _read_errors(self, errors: asyncio.StreamReader) -> None:
        rest = b""
        while data := await errors.read(65536):
            *lines, rest = (rest + data).split(b"\n")
            rest = rest[-_LINE_BYTES:]
            for line in lines:
                self._note(line)
        if rest:
            self._note(rest)

    def _note(self, line: bytes) -> None:
        text = line[:_LINE_BYTES].decode(errors="replace")
        self._tail.append(text)
        self._on_line(text)

    def _last_words(self, what: str) -> str:
        return "\n".join([f"the sandbox gateway {what}", *self._tail])


def _pipe(pipe: T | None) -> T:
    if pipe is None:
        raise RuntimeError("the pipe was not asked for")
    return pipe


async def _drain(stream: asyncio.StreamReader) -> None:
    while await stream.read(65536):
        pass


def _environment(inherited: Mapping[str, str]) -> dict[str, str]:
    """The child finds this very package, wherever the parent was started, and learns nothing of what that is told."""
    paths = [str(_PACKAGE_ROOT), *filter(None, [inherited.get("PYTHONPATH")])]
    return {**without_secrets(inherited), "PYTHONPATH": os.pathsep.join(paths)}
