"""What listens to a run: the bus, the monitor, the metrics and the logs, with one point that masks secrets."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TextIO

from node.domain.ids import NodeId
from node.domain.secret import Secret
from node.monitors.node_monitor import NodeMonitor
from node.observability.bus import EventBus
from node.observability.last_resort import to_stderr
from node.observability.log_subscriber import LogSubscriber
from node.observability.logging import ConsolePolicy, LogPolicy, Logs
from node.observability.metrics import Metrics
from node.observability.metrics_subscriber import MetricsSubscriber
from node.observability.redaction import Redactor
from node.runtime.signals import Signal
from node.runtime.system import SystemClock
from node.settings.sections.keeping import LoggingSettings

LOG_FOLDER: Final = Path("logs")
"""Where the logs are, below the state folder."""

_MIB: Final = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Telemetry:
    """Everything that listens, for the length of a run."""

    bus: EventBus
    monitor: NodeMonitor
    metrics: Metrics
    redactor: Redactor
    logs: Logs


def redactor_for(secrets: Iterable[Secret]) -> Redactor:
    """What masks these secrets."""
    redactor = Redactor()
    for secret in secrets:
        redactor.register(secret)
    return redactor


@dataclass(frozen=True, slots=True)
class Listening:
    """Who listens to what: the nodes of the run, how it is logged, and the folder for that.

    ``log_folder`` None is `LOG_FOLDER` in the state folder. ``worker`` names the process in metrics and logs, empty
    where it has no name. What the console shows is for a fleet errors alone, and with ``is_alone`` all that matters
    to whoever runs one node: warnings, its life, what keeps it from jobs.
    """

    nodes: Sequence[NodeId]
    logging: LoggingSettings
    state_dir: Path
    log_folder: Path | None = None
    worker: str = ""
    is_alone: bool = False


@contextlib.asynccontextmanager
async def open_telemetry(about: Listening, console: TextIO | None, redactor: Redactor) -> AsyncIterator[Telemetry]:
    """Listen within the block. With ``console`` the lines of the log that `Listening` says go there, too.

    Logs that cannot be written do not raise: that is told on standard error.
    """
    clock = SystemClock()
    with contextlib.suppress(OSError):
        # Whoever cannot write there says so by themselves.
        about.state_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    wanted = about.logging
    policy = LogPolicy(
        folder=about.log_folder or about.state_dir / LOG_FOLDER,
        level="debug" if wanted.debug else wanted.level,
        json_lines=wanted.json_lines,
        max_bytes=wanted.rotate_mb * _MIB,
        backups=wanted.rotate_count,
        prompts=wanted.prompts,
        worker=about.worker,
    )
    logs = Logs.open(
        policy,
        clock,
        redactor,
        console=None if console is None else _console(console, about),
    )
    logs.bridge()
    for talkative in ("httpx", "httpcore"):
        # Below warnings they tell URLs and, of a SOCKS handshake, the password.
        logging.getLogger(talkative).setLevel(logging.WARNING)
    # Below errors it tells of each request that is none: whoever reaches the port could fill the disk.
    logging.getLogger("uvicorn.error").setLevel(logging.ERROR)
    for repetitive in ("aiokafka", "opentelemetry", "urllib3"):
        # They tell of each try what a notice tells once.
        logging.getLogger(repetitive).setLevel(logging.CRITICAL)
    bus, stop = EventBus(lambda line: to_stderr(redactor.redact(line))), Signal()
    monitor = NodeMonitor(clock, about.nodes)
    metrics = Metrics(worker=about.worker, redact=redactor.redact)
    lines = LogSubscriber(logs, clock)
    for subscriber in (monitor, MetricsSubscriber(metrics, len(about.nodes)), lines):
        bus.attach(subscriber)
    telling = asyncio.get_running_loop().create_task(lines.run(stop), name="log counts")
    try:
        yield Telemetry(bus, monitor, metrics, redactor, logs)
    finally:
        stop.set()
        await telling
        logs.close()


def _console(stream: TextIO, about: Listening) -> ConsolePolicy:
    if about.logging.debug:
        return ConsolePolicy(stream, level="debug")
    return ConsolePolicy(stream, level="warning" if about.is_alone else "error", notable=about.is_alone)
