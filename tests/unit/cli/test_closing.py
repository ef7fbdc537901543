"""What is said at the end of a run leads to where things are."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest

from node.app.summary import Outcome
from node.cli.closing import closing_lines, places
from node.domain.events import Crash
from node.monitors.node_monitor import NodeMonitor
from node.observability.bus import EventBus
from node.runtime.system import SystemClock


def outcome(*, unsent: int = 0, dead: int = 0, crashes: int = 0) -> Outcome:
    monitor, bus = NodeMonitor(SystemClock(), []), EventBus()
    bus.attach(monitor)
    for _ in range(crashes):
        bus.emit(Crash("a task", "ValueError", ""))
    return Outcome(
        gateway="http://127.0.0.1:1",
        view=monitor.snapshot(),
        nodes=(),
        ledger=None,
        unsent=unsent,
        dead=dead,
        orphans=0,
        aborted=False,
    )


async def test_a_run_that_ends_well_needs_no_words(tmp_path: Path) -> None:
    assert not list(closing_lines(outcome(), tmp_path, None))


@pytest.mark.parametrize("left", [{"unsent": 1}, {"dead": 2}])
async def test_the_outbox_that_is_named_is_the_one_with_the_results(tmp_path: Path, left: dict[str, int]) -> None:
    folder = tmp_path / "nodes" / "a node"
    (line,) = closing_lines(outcome(**left), folder, None)
    command = line.split("'", 1)[1].rpartition("'")[0]
    assert shlex.split(command) == ["outbox", "list", "--state-dir", str(folder)]


async def test_the_log_to_report_is_where_the_logs_are(tmp_path: Path) -> None:
    for logs, expected in ((None, tmp_path / "logs"), (Path("/var/log/llm-node/n1"), Path("/var/log/llm-node/n1"))):
        (line,) = closing_lines(outcome(crashes=1), tmp_path, logs)
        assert line.endswith(f" {expected / 'general.log'}")


def test_a_folder_of_its_own_for_logs_is_told() -> None:
    assert places(Path("/s"), None) == "logs and outbox are in /s"
    assert places(Path("/s"), Path("/l")) == "logs are in /l, the outbox in /s"
