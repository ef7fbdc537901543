"""The live screen, read off a terminal of several sizes."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pyte
import pytest

from tests.acceptance.program import MAIN, QUICK, ROOT, environment


class Terminal:
    """A program on a terminal of its own, and the screen as a person sees it."""

    def __init__(self, process: subprocess.Popen[bytes], master: int, width: int, height: int) -> None:
        self.process = process
        self._master = master
        self._screen = pyte.Screen(width, height)
        self._stream = pyte.ByteStream(self._screen)

    @property
    def lines(self) -> list[str]:
        return [line.rstrip() for line in self._screen.display]

    @property
    def text(self) -> str:
        return "\n".join(self.lines)

    def read_until(self, condition: Callable[[], object], timeout_s: float = 20) -> None:
        end = time.monotonic() + timeout_s
        while not condition():
            assert time.monotonic() < end, f"the screen shows:\n{self.text}"
            if select.select([self._master], [], [], 0.05)[0]:
                try:
                    self._stream.feed(os.read(self._master, 65536))
                except OSError:  # the program has closed its side: it ends
                    self.process.wait(10)
                    assert condition(), f"it ended, and the screen shows:\n{self.text}"
                    return

    def read_until_quiet(self, quiet_s: float = 0.2) -> None:
        """Read to the end of a frame: the next one comes much later than what belongs together."""
        while select.select([self._master], [], [], quiet_s)[0]:
            self._stream.feed(os.read(self._master, 65536))

    @property
    def is_cursor_hidden(self) -> bool:
        return bool(self._screen.cursor.hidden)

    def resize(self, width: int, height: int) -> None:
        self._screen.resize(height, width)
        fcntl.ioctl(self._master, termios.TIOCSWINSZ, struct.pack("HHHH", height, width, 0, 0))
        self.process.send_signal(signal.SIGWINCH)

    def type(self, keys: bytes) -> None:
        os.write(self._master, keys)

    def press_ctrl_c(self) -> None:
        self.process.send_signal(signal.SIGINT)


@contextmanager
def terminal(*arguments: str, width: int, height: int) -> Iterator[Terminal]:
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", height, width, 0, 0))
    env = environment(**QUICK, TERM="xterm-256color")
    for fixed in ("NO_COLOR", "COLUMNS", "LINES"):
        env.pop(fixed, None)
    process = subprocess.Popen(
        [sys.executable, MAIN, *arguments], cwd=ROOT, env=env, stdin=slave, stdout=slave, stderr=slave
    )
    os.close(slave)
    try:
        yield Terminal(process, master, width, height)
    finally:
        if process.poll() is None:
            process.kill()
        process.wait(10)
        os.close(master)


@pytest.mark.timeout(60)
@pytest.mark.parametrize(("width", "height"), [(140, 45), (80, 24), (50, 20)])
def test_the_screen_shows_the_fleet_and_fits(tmp_path: Path, width: int, height: int) -> None:
    arguments = ("--state-dir", str(tmp_path), "--duration", "60s")
    with terminal(*arguments, width=width, height=height) as screen:
        boxes = {"╭─ health": width >= 100, "╭─ latency": width >= 80, "╭─ nodes 20": True, "╭─ events": True}

        def whole() -> bool:
            """A frame that is not half drawn: every box is closed, and it reaches down to the end of the screen."""
            tops = [line for line in screen.lines if line.startswith("╭")]
            fits = all(line.endswith("╮") for line in tops) and any(screen.lines[-4:])
            return fits and all((box in screen.text) is there for box, there in boxes.items())

        screen.read_until(lambda: "succeeded" in screen.text and "processing" in screen.text and whole())
        assert "auth" in screen.text
        screen.press_ctrl_c()
        screen.read_until(lambda: "lost" in screen.text)
        assert "╭─ nodes" not in screen.text
        screen.read_until(lambda: screen.process.returncode is not None)
        assert screen.process.returncode == 0


@pytest.mark.timeout(60)
def test_a_second_ctrl_c_is_obeyed_at_once(tmp_path: Path) -> None:
    slow = ("--set", "executors.order=synthetic", "--set", "synthetic.tokens_per_s=1")
    with terminal("--state-dir", str(tmp_path), *slow, width=100, height=30) as screen:
        screen.read_until(lambda: "processing" in screen.text)
        screen.press_ctrl_c()
        screen.read_until(lambda: "Ctrl+C again stops at once" in screen.text)
        pressed = time.monotonic()
        screen.press_ctrl_c()
        screen.read_until(lambda: screen.process.returncode is not None)
        assert time.monotonic() - pressed < 10
        assert screen.process.returncode == 7
        assert "finished results are unsent" in screen.text
