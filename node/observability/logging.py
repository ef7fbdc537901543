"""Logs: set up once by the composition root, every line through one point that masks secrets.

Nothing here touches the logging of the process but `Logs.bridge`, which is undone by `Logs.close`.
"""

from __future__ import annotations

import logging
import traceback
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, TextIO

import structlog
from structlog.typing import FilteringBoundLogger

from node.domain.errors import described
from node.observability.last_resort import LastResort, to_stderr
from node.observability.log_files import ConsoleStream, Delivery, Line, Topic, TopicFile
from node.observability.log_style import Fields, Style, console_style, json_style, plain_style, timestamp
from node.observability.redaction import Redactor
from node.ports.clock import Clock

LevelName = Literal["debug", "info", "warning", "error"]

LEVELS: Final[dict[LevelName, int]] = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warning": logging.WARNING,
    "error": logging.ERROR,
}
"""The standard library's number for each level, least first."""


@dataclass(frozen=True, slots=True)
class LogPolicy:
    """What is logged, where and how much of it is kept: ``backups`` + 1 files of ``max_bytes`` for each topic.

    ``queue_lines`` may wait for the writing thread; more are dropped and counted.
    """

    folder: Path
    level: LevelName = "info"
    json_lines: bool = False
    max_bytes: int = 10 * 1024 * 1024
    backups: int = 5
    queue_lines: int = 10_000
    prompts: bool = False
    """Whether prompts and answers are logged."""
    worker: str = ""
    """Names the process in every line; empty: in none."""


@dataclass(frozen=True, slots=True)
class ConsolePolicy:
    """A stream for people, with the least level shown there; with ``notable`` so are notable lines of every level."""

    stream: TextIO
    level: LevelName = "warning"
    notable: bool = False
    colors: bool = False


class _Outlet:
    """What structlog takes for a logger: gets finished fields by level."""

    def __init__(self, logs: Logs) -> None:
        self._logs = logs

    def debug(self, **fields: object) -> None:
        self._logs.write(logging.DEBUG, fields)

    def info(self, **fields: object) -> None:
        self._logs.write(logging.INFO, fields)

    def warning(self, **fields: object) -> None:
        self._logs.write(logging.WARNING, fields)

    def error(self, **fields: object) -> None:
        self._logs.write(logging.ERROR, fields)

    critical = exception = error


class Logs:
    """The log files of a run, and the console if asked. Made by `open`.

    No method raises because of a disk or stream. Lines may come from any thread.
    """

    def __init__(
        self,
        policy: LogPolicy,
        clock: Clock,
        redactor: Redactor,
        delivery: Delivery,
        *,
        console: ConsolePolicy | None,
        last_resort: LastResort,
    ) -> None:
        self._policy = policy
        self._clock = clock
        self._redactor = redactor
        self._delivery = delivery
        self._file_style = json_style() if policy.json_lines else plain_style()
        self._console = console
        self._console_style = _console_style(policy, console)
        self._last_resort = last_resort
        self._bridge: _Bridge | None = None
        self._closed = False

    @classmethod
    def open(
        cls,
        policy: LogPolicy,
        clock: Clock,
        redactor: Redactor,
        *,
        console: ConsolePolicy | None = None,
        threaded: bool = True,
        last_resort: LastResort = to_stderr,
    ) -> Logs:
        """Give the folder mode 0700, made when missing, and start the writing thread, which `close` ends.

        ``threaded=False`` writes at once instead, on the caller's thread: for virtual time. A folder that cannot be
        made is told to ``last_resort``, not raised. A console's lines are in the style of the files only as JSON.
        """
        try:
            policy.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            policy.folder.chmod(0o700)
        except OSError as error:
            last_resort(f"logs in {policy.folder}: {error.strerror}")
        handlers: list[logging.Handler] = [
            TopicFile(topic, policy.folder, policy.max_bytes, policy.backups, last_resort) for topic in Topic
        ]
        if console is not None:
            handlers.append(ConsoleStream(console.stream, last_resort))
        delivery = Delivery(tuple(handlers), policy.queue_lines)
        if threaded:
            delivery.start()
        return cls(policy, clock, redactor, delivery, console=console, last_resort=last_resort)

    @property
    def level(self) -> int:
        """The least level written, as the standard library's number."""
        return LEVELS[self._policy.level]

    @property
    def dropped(self) -> int:
        """Lines dropped because they came faster than they could be written."""
        return self._delivery.dropped

    def logger(self, topic: Topic) -> FilteringBoundLogger:
        """A structlog logger whose lines, from the policy's level on, go to this topic; threaded it never waits."""
        logger: FilteringBoundLogger = structlog.wrap_logger(
            _Outlet(self),
            processors=[],
            wrapper_class=structlog.make_filtering_bound_logger(self.level),
            topic=topic,
        )
        return logger

    def log_exchange(self, executor: str, model: str, prompt: str, answer: str) -> None:
        """Log what was asked and answered, in the engine's file alone and whatever the level.

        Does nothing unless the policy says so.
        """
        if self._policy.prompts:
            fields: Fields = {"event": "exchange", "executor": executor, "model": model}
            fields |= {"prompt": prompt, "answer": answer}
            self._put(logging.INFO, Topic.ENGINE_REQUESTS, fields, private=True)

    def bridge(self) -> None:
        """Take in the warnings of libraries that use the standard library's logging, and keep them off stderr."""
        if self._bridge is None:
            self._bridge = _Bridge(self)
            logging.getLogger().addHandler(self._bridge)

    def write(self, level: int, fields: dict[str, object]) -> None:
        """Write a line whose fields hold its ``topic`` (else it is general) and ``event``; for structlog's loggers.

        ``level`` is the standard library's number, and not compared with the policy's. ``topic`` is taken out of
        ``fields``, and so is ``notable``: whether a console may show the line below its own level.
        """
        topic, notable = fields.pop("topic", Topic.GENERAL), bool(fields.pop("notable", False))
        self._put(level, topic if isinstance(topic, Topic) else Topic.GENERAL, fields, notable=notable)

    def close(self, timeout_s: float = 5.0) -> None:
        """Write what is queued and close the files; lines that come later are lost. A second call does nothing.

        Blocks for ``timeout_s`` seconds at most. Lines that were lost for want of time, or dropped before, are told
        to the last resort.
        """
        if self._closed:
            return
        self._closed = True
        if self._bridge is not None:
            logging.getLogger().removeHandler(self._bridge)
        if not self._delivery.finish(timeout_s):
            self._last_resort(f"logs in {self._policy.folder}: not all lines were written within {timeout_s:g} s")
        if self.dropped:
            self._last_resort(f"logs in {self._policy.folder}: {self.dropped} lines were dropped")

    def _put(self, level: int, topic: Topic, fields: Fields, *, private: bool = False, notable: bool = False) -> None:
        if self._closed:
            return
        if dropped := self._delivery.dropped_to_tell():
            told: Fields = {"event": "log lines dropped", "count": dropped}
            self._send(logging.WARNING, Topic.GENERAL, told, shown=self._shows(logging.WARNING))
        self._send(level, topic, fields, shown=not private and self._shows(level, notable=notable))

    def _shows(self, level: int, *, notable: bool = False) -> bool:
        console = self._console
        return console is not None and (level >= LEVELS[console.level] or (notable and console.notable))

    def _send(self, level: int, topic: Topic, fields: Fields, *, shown: bool) -> None:
        whole: Fields = {"timestamp": timestamp(self._clock.wall()), "level": _NAMES.get(level, "error"), **fields}
        if self._policy.worker:
            whole["worker"] = self._policy.worker
        for_file = self._redactor.redact(self._file_style(whole))
        for_console = None
        if shown:
            for_console = self._redactor.redact(self._console_style(whole))
        self._delivery.put(Line(level, topic, for_file, for_console))


def _console_style(policy: LogPolicy, console: ConsolePolicy | None) -> Style:
    if policy.json_lines:
        return json_style()
    return console_style(colors=console is not None and console.colors)


_NAMES: Final = {number: name for name, number in LEVELS.items()}


class _Bridge(logging.Handler):
    """Turns records of the standard library's logging into lines."""

    def __init__(self, logs: Logs) -> None:
        super().__init__(logging.WARNING)
        self._logs = logs

    def emit(self, record: logging.LogRecord) -> None:
        try:
            fields: Fields = {"event": record.getMessage(), "logger": record.name}
        except (TypeError, ValueError):
            fields = {"event": str(record.msg), "logger": record.name}
        if record.exc_info and record.exc_info[1] is not None:
            error = record.exc_info[1]
            fields["error"] = described(error)
            fields["trace"] = "".join(traceback.format_tb(error.__traceback__))
        self._logs.write(logging.ERROR if record.levelno >= logging.ERROR else logging.WARNING, fields)
