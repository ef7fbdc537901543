from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from node.observability.log_files import Topic
from node.observability.logging import ConsolePolicy, LevelName, LogPolicy, Logs
from node.observability.redaction import Redactor


class FixedClock:
    """Stands still until told otherwise."""

    def __init__(self) -> None:
        self.now = 1_700_000_000.0

    def wall(self) -> float:
        return self.now

    def monotonic(self) -> float:
        return self.now


class LogBench:
    """Opens logs in a folder and reads them back."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "logs"
        self.clock = FixedClock()
        self.redactor = Redactor()
        self.told: list[str] = []
        self._opened: list[Logs] = []

    def open(
        self,
        *,
        level: LevelName = "info",
        json_lines: bool = True,
        threaded: bool = False,
        console: ConsolePolicy | None = None,
        prompts: bool = False,
        max_bytes: int = 1_000_000,
        queue_lines: int = 1000,
        worker: str = "",
    ) -> Logs:
        policy = LogPolicy(
            self.folder,
            level=level,
            json_lines=json_lines,
            prompts=prompts,
            max_bytes=max_bytes,
            backups=2,
            queue_lines=queue_lines,
            worker=worker,
        )
        logs = Logs.open(
            policy, self.clock, self.redactor, console=console, threaded=threaded, last_resort=self.told.append
        )
        self._opened.append(logs)
        return logs

    def text(self, topic: Topic) -> str:
        path = self.folder / f"{topic.value}.log"
        return path.read_text() if path.exists() else ""

    def lines(self, topic: Topic) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.text(topic).splitlines()]

    def close(self) -> None:
        for logs in self._opened:
            logs.close()


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[LogBench]:
    made = LogBench(tmp_path)
    yield made
    made.close()
