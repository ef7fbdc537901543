"""What ``outbox list`` shows on a narrow screen."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from node.app.fleet import OUTBOX_FILE
from node.cli.outbox import list_outbox
from node.domain.ids import JobId, JobKey, NodeId
from node.domain.policies import OutboxPolicy
from node.domain.results import Failure, FinishedJob
from node.observability.bus import EventBus
from node.outbox.sqlite import SqliteOutbox
from node.runtime.system import SystemClock

JOB = "23697695-b945-411c-a778-a3958fb6e395"


async def keep(state_dir: Path) -> None:
    outbox = await SqliteOutbox.open(state_dir / OUTBOX_FILE, OutboxPolicy(), SystemClock(), EventBus())
    key = JobKey("http://gateway.example", NodeId("box-1"), JobId(JOB))
    await outbox.put(FinishedJob(key, Failure("it broke", "m"), 1.0, 2.0))
    await outbox.aclose()


def test_an_id_is_shown_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asyncio.run(keep(tmp_path))
    monkeypatch.setenv("COLUMNS", "60")
    list_outbox({"state_dir": tmp_path}, None, None, as_json=False)
    lines = capsys.readouterr().out.splitlines()
    start = lines[0].index("job")
    end = lines[0].index("node")
    assert "".join(line[start:end].strip() for line in lines[1:]) == JOB
