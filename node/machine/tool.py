"""Asking a vendor's program for what it knows."""

from __future__ import annotations

import json
import os
import selectors
import shutil
import signal
import subprocess
import time
from contextlib import suppress
from typing import Any, Final

from node.domain.errors import NodeError
from node.runtime.child_environment import without_secrets

TIMEOUT_S: Final = 5.0
"""How long a program may take."""

MAX_BYTES: Final = 1024 * 1024
"""How much it may say."""


class ToolFailed(NodeError):
    """A program did not tell what it was asked for; the message says which and why."""


class Tool:
    """A program on the PATH; ``path`` is looked through in its place. Calls block, and end in ``timeout_s``."""

    def __init__(self, name: str, path: str | None = None, timeout_s: float = TIMEOUT_S) -> None:
        self.name = name
        self._path = path
        self._timeout_s = timeout_s

    @property
    def is_there(self) -> bool:
        """Whether it is installed."""
        return shutil.which(self.name, path=self._path) is not None

    def ask(self, *arguments: str) -> Any:
        """The JSON that it prints.

        Raises:
            ToolFailed: it is not there, fails, takes too long, says too much, or something else than JSON.
        """
        said = self._run(arguments)
        try:
            return json.loads(said)
        except (ValueError, RecursionError):
            raise ToolFailed(f"{self.name} did not print JSON") from None

    def _run(self, arguments: tuple[str, ...]) -> bytes:
        program = shutil.which(self.name, path=self._path)
        if program is None:
            raise ToolFailed(f"{self.name} is not installed")
        deadline = time.monotonic() + self._timeout_s
        try:
            # A session of its own, so that what it starts can be ended with it.
            process = subprocess.Popen(  # noqa: S603 - a vendor's tool by its fixed name, and fixed arguments
                [program, *arguments],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
                env=without_secrets(os.environ),
            )
        except OSError as error:
            raise ToolFailed(f"{self.name} did not start: {error.strerror}") from error
        with process:
            try:
                said = self._output(process, deadline)
                status = process.wait(max(0.0, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                raise self._too_slow() from None
            finally:
                if process.poll() is None:
                    with suppress(ProcessLookupError):
                        os.killpg(process.pid, signal.SIGKILL)
        if status:
            raise ToolFailed(f"{self.name} ended with status {status}")
        return said

    def _output(self, process: subprocess.Popen[bytes], deadline: float) -> bytes:
        said = bytearray()
        if process.stdout is None:
            return b""
        with selectors.DefaultSelector() as selector:
            selector.register(process.stdout, selectors.EVENT_READ)
            while True:
                if not selector.select(max(0.0, deadline - time.monotonic())):
                    raise self._too_slow()
                if not (piece := os.read(process.stdout.fileno(), 65_536)):
                    return bytes(said)
                said += piece
                if len(said) > MAX_BYTES:
                    raise ToolFailed(f"{self.name} said more than {MAX_BYTES} bytes")

    def _too_slow(self) -> ToolFailed:
        return ToolFailed(f"{self.name} did not answer in {self._timeout_s:g} s")
