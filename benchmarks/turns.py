"""A turn: one client at work against static answers, watched from outside.

All clients are measured by the same rule, whatever they are written in: requests are those that the server counted, CPU
time is what the kernel says of the client's process. A turn is cut into windows; on a machine with other work the
median of many says more than the mean of all.
"""

from __future__ import annotations

import math
import os
import statistics
import subprocess
import tempfile
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Final, NamedTuple, Protocol

from benchmarks.cores import on_core
from benchmarks.figures import Unmeasurable
from benchmarks.static_gateway import POLL, RESULT

ROOT: Final = Path(__file__).resolve().parents[1]
INTERPRETED: Final[Mapping[str, str]] = {"PYTHONSAFEPATH": "", "PYTHONPATH": ""}
"""The environment in which a program of the checkout is run as it stands there, whatever is compiled."""

_START_S: Final = 30.0
_END_S: Final = 5.0


class CountingGateway(Protocol):
    """A gateway that counts what it is asked, as `benchmarks.static_gateway.StaticGateway` does."""

    url: str

    def requests(self) -> int:
        """How many requests it has had, this question included."""

    def sample(self) -> Counter[str]:
        """Requests since the last call, or a share of them, by method, path and status."""


class Shape(NamedTuple):
    """How long a turn is: the time before it counts, then windows of so many seconds."""

    warm_up_s: float
    windows: int
    window_s: float


@dataclass(frozen=True, slots=True)
class Client:
    """A program that makes requests until it is ended; ``{url}`` in its command stands for the gateway's."""

    command: Sequence[str]
    environment: Mapping[str, str] = field(default_factory=dict)


class Window(NamedTuple):
    """What came of a short time: requests a second, and the client's CPU time for each in microseconds."""

    per_s: float
    cpu_us: float


@dataclass(frozen=True, slots=True)
class Turn:
    """The windows of a turn."""

    windows: tuple[Window, ...]

    @property
    def cpu_us(self) -> float:
        """CPU time of a request in microseconds, the median of the windows."""
        return statistics.median(window.cpu_us for window in self.windows)

    @property
    def per_s(self) -> float:
        """Requests a second, the median of the windows."""
        return statistics.median(window.per_s for window in self.windows)


def take_turn(client: Client, gateway: CountingGateway, core: int, jobs_percent: float, shape: Shape) -> Turn:
    """Run the client on this core for one turn.

    Raises:
        Unmeasurable: it ended, made no requests, or others than it should.
    """
    gateway.sample()
    command = [part.replace("{url}", gateway.url) for part in client.command]
    with tempfile.TemporaryFile("w+b") as output:
        process = subprocess.Popen(
            on_core(core, *command),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env={**os.environ, **client.environment},
            cwd=ROOT,
        )
        try:
            _await_start(process, gateway, output)
            time.sleep(shape.warm_up_s)
            windows = [_window(process, gateway, shape.window_s, output) for _ in range(shape.windows)]
        finally:
            process.terminate()
            try:
                process.wait(_END_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
    check_requests(gateway.sample(), jobs_percent)
    # On a machine with other work a client can be kept waiting for a whole window: that says nothing of it.
    told = tuple(window for window in windows if window is not None)
    if not told:
        raise Unmeasurable("it stopped making requests")
    return Turn(told)


def cpu_s(pid: int) -> float:
    """CPU seconds that the threads of a process have taken so far.

    Raises:
        ProcessLookupError: it has ended.
    """
    try:
        tasks = list(Path(f"/proc/{pid}/task").iterdir())
        return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks) / 1e9
    except FileNotFoundError as error:
        raise ProcessLookupError(pid) from error


def check_requests(sample: Counter[str], jobs_percent: float) -> None:
    """See that these are polls and a result for each job, all of them answered.

    Raises:
        Unmeasurable: they are not.
    """
    failed = {line: count for line, count in sample.items() if not line.endswith(" 200")}
    polls, results = sample[f"GET {POLL} 200"], sample[f"POST {RESULT} 200"]
    if failed:
        raise Unmeasurable(f"requests failed: {failed}")
    if not polls:
        raise Unmeasurable("it made no polls")
    made, share = polls + results, jobs_percent / (100 + jobs_percent)
    # Five standard deviations of the sample, and some for what was under way at both ends.
    if abs(results / made - share) > 5 * math.sqrt(max(share * (1 - share), 0.0) / made) + 0.02:
        raise Unmeasurable(f"it made other requests than it should: {dict(sample)}")


def _await_start(process: subprocess.Popen[bytes], gateway: CountingGateway, output: IO[bytes]) -> None:
    first, end = gateway.requests(), time.monotonic() + _START_S
    asked = 0
    while gateway.requests() - first - asked < 100:
        asked += 1
        if process.poll() is not None or time.monotonic() > end:
            raise Unmeasurable(f"it did not start: {_tail(output)}")
        time.sleep(0.05)


def _window(
    process: subprocess.Popen[bytes], gateway: CountingGateway, seconds: float, output: IO[bytes]
) -> Window | None:
    requests, began = gateway.requests(), time.monotonic()
    try:
        cpu = cpu_s(process.pid)
        time.sleep(seconds)
        # In the order of the first readings, so that both are of equally long times.
        made = gateway.requests() - requests - 1
        took_s, used_s = time.monotonic() - began, cpu_s(process.pid) - cpu
    except ProcessLookupError as error:
        raise Unmeasurable(f"it ended by itself: {_tail(output)}") from error
    if process.poll() is not None:
        raise Unmeasurable(f"it ended by itself: {_tail(output)}")
    return Window(made / took_s, used_s / made * 1e6) if made > 0 else None


def _tail(output: IO[bytes]) -> str:
    output.seek(0)
    lines = output.read().decode(errors="replace").strip().splitlines()
    return " | ".join(lines[-3:]) or "it said nothing"
