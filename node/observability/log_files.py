"""Where log lines end: rotated files and a stream, written on a thread, or at once where threads must not be."""

from __future__ import annotations

import contextlib
import logging
import os
import queue
import sys
import time
from enum import Enum
from io import TextIOWrapper
from logging.handlers import QueueListener, RotatingFileHandler
from pathlib import Path
from typing import TYPE_CHECKING, Final, TextIO

from node.observability.last_resort import LastResort

if TYPE_CHECKING:
    StreamHandler = logging.StreamHandler[TextIO]
else:
    StreamHandler = logging.StreamHandler


class Topic(Enum):
    """What a line is about; each has a file of its own, ``<value>.log``.

    `GENERAL` is the fleet as a whole, and gets every other topic's warnings and errors too. `NODES` is the context
    of single nodes: one file for all, each line with its node, since a thousand files would help nobody.
    """

    GENERAL = "general"
    NODES = "nodes"
    POINTS = "points"
    CONNECTION_ERRORS = "connection_errors"
    ENGINE_REQUESTS = "engine_requests"


class Line(logging.LogRecord):
    """A finished line, secrets masked, as files and as the console want it; without ``for_console`` it is not shown.

    ``level`` is the standard library's number.
    """

    def __init__(self, level: int, topic: Topic, for_file: str, for_console: str | None) -> None:
        super().__init__("node", level, "", 0, for_file, None, None)
        self.topic = topic
        self.for_console = for_console


class _Troubles:
    """Tells when a place to write to fails, once, and when it works again."""

    def __init__(self, place: str, last_resort: LastResort) -> None:
        self._place = place
        self._last_resort = last_resort
        self._failed = False
        self._lost = 0

    def before(self) -> None:
        self._failed = False

    def failed(self) -> None:
        error = sys.exc_info()[1]
        why = error.strerror if isinstance(error, OSError) and error.strerror else type(error).__name__
        self._failed = True
        self._lost += 1
        if self._lost == 1:
            self._last_resort(f"log {self._place}: {why}: lines are lost until it can be written again")

    def after(self) -> None:
        if self._lost and not self._failed:
            self._last_resort(f"log {self._place}: can be written again, {self._lost} lines were lost")
            self._lost = 0


class TopicFile(RotatingFileHandler):
    """A topic's file, readable by its owner alone, and its ``backups`` predecessors of ``max_bytes`` each.

    With either of them 0 the file is never rotated. A disk that is full or gone costs lines, never more: nothing
    raises, and ``last_resort`` is told when it begins and ends.
    """

    def __init__(self, topic: Topic, folder: Path, max_bytes: int, backups: int, last_resort: LastResort) -> None:
        path = folder / f"{topic.value}.log"
        super().__init__(
            path, maxBytes=max_bytes, backupCount=backups, encoding="utf-8", delay=True, errors="backslashreplace"
        )
        self._topic = topic
        self._troubles = _Troubles(str(path), last_resort)

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the line belongs here."""
        if not isinstance(record, Line):
            return False
        return record.topic is self._topic or (self._topic is Topic.GENERAL and record.levelno >= logging.WARNING)

    def emit(self, record: logging.LogRecord) -> None:
        """Write a line, after a rotation where it is due."""
        self._troubles.before()
        super().emit(record)
        self._troubles.after()

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - the name is the standard library's
        """Count the line as lost."""
        del record
        self._troubles.failed()

    def close(self) -> None:
        """Close the file, whether or not the disk takes what is left."""
        with contextlib.suppress(OSError):
            super().close()

    def _open(self) -> TextIOWrapper:
        return open(self.baseFilename, "a", encoding="utf-8", errors="backslashreplace", opener=_for_owner)


def _for_owner(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


class ConsoleStream(StreamHandler):
    """A terminal or pipe, for lines that are meant for it; when nobody reads it any more, lines are lost and no more."""

    def __init__(self, stream: TextIO, last_resort: LastResort) -> None:
        super().__init__(stream)
        self._troubles = _Troubles("on the console", last_resort)

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the line is for the console."""
        return isinstance(record, Line) and record.for_console is not None

    def format(self, record: logging.LogRecord) -> str:
        """The line as the console wants it."""
        return (record.for_console if isinstance(record, Line) else None) or record.getMessage()

    def emit(self, record: logging.LogRecord) -> None:
        """Write a line."""
        self._troubles.before()
        super().emit(record)
        self._troubles.after()

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - the name is the standard library's
        """Count the line as lost."""
        del record
        self._troubles.failed()


_ROOM: Final = 0.5
"""Share of the queue that must be free before dropped lines are told, which takes a line itself."""


class Delivery(QueueListener):
    """Hands lines to handlers: on a thread of its own once started, else at once and on the caller's.

    The queue holds ``max_lines``; lines that find it full are dropped and counted, so that a slow disk holds nobody
    up.
    """

    def __init__(self, handlers: tuple[logging.Handler, ...], max_lines: int) -> None:
        self._lines: queue.Queue[logging.LogRecord | None] = queue.Queue(max_lines)
        super().__init__(self._lines, *handlers, respect_handler_level=True)
        self._max_lines = max_lines
        self._threaded = False
        self._dropped = 0
        self._untold = 0

    @property
    def dropped(self) -> int:
        """Lines dropped so far."""
        return self._dropped

    def start(self) -> None:
        """Write on a thread from now on."""
        super().start()
        self._threaded = True

    def put(self, line: Line) -> None:
        """Write a line, or (once started) queue it without waiting. From any thread."""
        if not self._threaded:
            self.handle(line)
            return
        try:
            self._lines.put_nowait(line)
        except queue.Full:
            self._dropped += 1
            self._untold += 1

    def dropped_to_tell(self) -> int:
        """Lines dropped since this was last above zero; zero while the queue is too full to say it."""
        if not self._untold or self._lines.qsize() > self._max_lines * _ROOM:
            return 0
        untold, self._untold = self._untold, 0
        return untold

    def finish(self, timeout_s: float) -> bool:
        """Write what is queued and close everything; False, with nothing closed, when ``timeout_s`` is too short.

        Blocks for so long at most.
        """
        if self._threaded and self._thread is not None:
            self._threaded = False
            end = time.monotonic() + timeout_s
            with contextlib.suppress(queue.Full):
                self._lines.put(None, timeout=timeout_s)
            self._thread.join(max(0.0, end - time.monotonic()))
            if self._thread.is_alive():
                return False
        for handler in self.handlers:
            handler.close()
        return True
