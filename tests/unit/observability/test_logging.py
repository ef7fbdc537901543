from __future__ import annotations

import asyncio
import errno
import io
import logging
import tempfile
import threading
import time
from pathlib import Path

import pytest

from node.domain.ids import JobId, JobKey, NodeId, SourceId
from node.domain.secret import Secret
from node.observability.log_files import Topic
from node.observability.logging import ConsolePolicy
from tests.support.virtual_time import VirtualClock, in_virtual_time
from tests.support.waiting import wait_until_sync
from tests.unit.observability.conftest import LogBench

KEY = JobKey(SourceId("http://gateway"), NodeId("node-1"), JobId("job-1"))


@pytest.mark.parametrize("threaded", [True, False])
def test_lines_go_to_their_topics_file_and_troubles_to_the_general_one_too(bench: LogBench, threaded: bool) -> None:
    logs = bench.open(threaded=threaded)
    logs.logger(Topic.GENERAL).info("up")
    logs.logger(Topic.NODES).info("running", node="node-1")
    logs.logger(Topic.CONNECTION_ERRORS).warning("poll failed", node="node-1")
    logs.logger(Topic.POINTS).debug("left out by the level")
    logs.close()

    assert [line["event"] for line in bench.lines(Topic.GENERAL)] == ["up", "poll failed"]
    assert [line["event"] for line in bench.lines(Topic.NODES)] == ["running"]
    assert bench.lines(Topic.CONNECTION_ERRORS) == [
        {"timestamp": "2023-11-14T22:13:20.000Z", "level": "warning", "event": "poll failed", "node": "node-1"}
    ]
    assert bench.text(Topic.POINTS) == ""
    assert bench.told == []


def test_folder_and_files_are_for_their_owner_alone(bench: LogBench) -> None:
    bench.folder.mkdir(mode=0o755)
    bench.open().logger(Topic.GENERAL).info("up")
    assert bench.folder.stat().st_mode & 0o777 == 0o700
    assert (bench.folder / "general.log").stat().st_mode & 0o777 == 0o600


def test_every_line_names_the_process_where_it_has_a_name(bench: LogBench) -> None:
    logs = bench.open(json_lines=True, worker="gpu-7")
    logs.logger(Topic.GENERAL).info("hello")
    logs.close()
    (line,) = bench.lines(Topic.GENERAL)
    assert (line["event"], line["worker"]) == ("hello", "gpu-7")


@pytest.mark.parametrize("json_lines", [True, False])
def test_every_sink_masks_secrets(bench: LogBench, json_lines: bool) -> None:
    secret = 'my "odd" secret\\'
    bench.redactor.register(Secret(secret))
    stream = io.StringIO()
    logs = bench.open(json_lines=json_lines, console=ConsolePolicy(stream, "info"), prompts=True)
    logs.bridge()

    logs.logger(Topic.NODES).info(f"event {secret}", node=secret, count=1)
    logs.log_exchange("ollama", "m", f"prompt {secret}", f"answer {secret}")
    logging.getLogger("some.library").warning("it said %s", secret)
    logs.close()

    everything = [bench.text(topic) for topic in Topic] + [stream.getvalue()]
    for text in everything:
        assert "odd" not in text
    assert all("***" in text for text in (everything[0], everything[1], everything[4], everything[5]))


def test_files_rotate_by_size_and_count(bench: LogBench) -> None:
    logs = bench.open(max_bytes=2000)
    for number in range(200):
        logs.logger(Topic.NODES).info("a line", number=number)
    logs.close()
    files = sorted(path.name for path in bench.folder.iterdir())
    assert files == ["nodes.log", "nodes.log.1", "nodes.log.2"]
    assert all((bench.folder / name).stat().st_size <= 2000 for name in files)
    assert bench.lines(Topic.NODES)[-1]["number"] == 199


def test_the_console_shows_its_own_level(bench: LogBench) -> None:
    stream = io.StringIO()
    logs = bench.open(console=ConsolePolicy(stream, "warning"), json_lines=False)
    logs.logger(Topic.NODES).info("quiet")
    logs.logger(Topic.NODES).error("loud", node="node-1")
    assert "loud" in stream.getvalue()
    assert "quiet" not in stream.getvalue()


def test_prompts_that_were_asked_for_are_in_the_engines_file_alone(bench: LogBench) -> None:
    stream = io.StringIO()
    logs = bench.open(console=ConsolePolicy(stream, "debug"), prompts=True, json_lines=False, level="error")
    logs.log_exchange("ollama", "m", "what?", "that.")
    assert stream.getvalue() == ""
    assert "prompt=what? answer=that." in bench.text(Topic.ENGINE_REQUESTS)


def test_prompts_are_logged_only_on_request(bench: LogBench) -> None:
    bench.open(prompts=False, level="debug").log_exchange("ollama", "m", "what?", "that.")
    assert bench.text(Topic.ENGINE_REQUESTS) == ""


def test_a_full_disk_costs_lines_and_is_told_once(bench: LogBench) -> None:
    bench.folder.mkdir()
    path = bench.folder / "nodes.log"
    path.symlink_to("/dev/full")
    logs = bench.open()
    for number in range(3):
        logs.logger(Topic.NODES).info("lost", number=number)
    logs.logger(Topic.POINTS).info("kept")
    [line] = bench.told
    assert "nodes.log: No space left on device" in line
    assert len(bench.lines(Topic.POINTS)) == 1


def test_a_folder_that_comes_back_is_told_too(bench: LogBench, tmp_path: Path) -> None:
    logs = bench.open()
    bench.folder.rename(tmp_path / "away")
    logs.logger(Topic.NODES).info("lost")
    (tmp_path / "away").rename(bench.folder)
    logs.logger(Topic.NODES).info("kept")
    assert [line["event"] for line in bench.lines(Topic.NODES)] == ["kept"]
    assert "can be written again, 1 lines were lost" in bench.told[-1]


def test_a_folder_that_cannot_be_made_is_told_and_hurts_nobody(bench: LogBench) -> None:
    bench.folder.write_text("a file stands here")
    bench.open().logger(Topic.NODES).info("lost")
    assert len(bench.told) == 2


def test_a_console_nobody_reads_hurts_nobody(bench: LogBench) -> None:
    stream = io.StringIO()
    stream.close()
    logs = bench.open(console=ConsolePolicy(stream, "info"))
    logs.logger(Topic.NODES).info("a line")
    logs.logger(Topic.NODES).info("a line")
    assert len(bench.lines(Topic.NODES)) == 2
    assert len(bench.told) == 1


class SlowStream(io.StringIO):
    """Takes nothing until it is released."""

    def __init__(self) -> None:
        super().__init__()
        self.entered = threading.Event()
        self.released = threading.Event()

    def write(self, text: str) -> int:
        self.entered.set()
        self.released.wait(20)
        return super().write(text)


def test_a_stuck_writer_holds_nobody_up_and_drops_are_counted_and_told(bench: LogBench) -> None:
    stream = SlowStream()
    logs = bench.open(threaded=True, queue_lines=10, console=ConsolePolicy(stream, "info"))
    logger = logs.logger(Topic.GENERAL)
    logger.info("first")
    assert stream.entered.wait(10)
    for number in range(30):
        logger.info("flood", number=number)
    assert logs.dropped == 20
    stream.released.set()
    wait_until_sync(lambda: stream.getvalue().count("\n") == 11)
    logger.info("after")
    logs.close()

    events = [(line["event"], line.get("count")) for line in bench.lines(Topic.GENERAL)]
    assert events[-2:] == [("log lines dropped", 20), ("after", None)]
    assert "20 lines were dropped" in bench.told[-1]


def test_closing_does_not_wait_for_a_stuck_writer_for_ever(bench: LogBench) -> None:
    stream = SlowStream()
    logs = bench.open(threaded=True, console=ConsolePolicy(stream, "info"), queue_lines=1)
    logs.logger(Topic.GENERAL).info("stuck")
    assert stream.entered.wait(10)
    logs.logger(Topic.GENERAL).info("queued")
    logs.close(timeout_s=0.05)
    assert "not all lines were written within 0.05 s" in bench.told[-1]
    stream.released.set()


def test_the_time_for_closing_is_shared_by_a_full_queue_and_a_stuck_writer(bench: LogBench) -> None:
    stream = SlowStream()
    logs = bench.open(threaded=True, console=ConsolePolicy(stream, "info"), queue_lines=1)
    logs.logger(Topic.GENERAL).info("stuck")
    assert stream.entered.wait(10)
    logs.logger(Topic.GENERAL).info("queued")
    started = time.monotonic()
    logs.close(timeout_s=1.0)
    assert time.monotonic() - started < 1.9
    stream.released.set()


def test_lines_after_the_end_are_lost_in_silence(bench: LogBench) -> None:
    logs = bench.open(threaded=True)
    logs.close()
    logs.close()
    logs.logger(Topic.GENERAL).error("too late")
    assert bench.text(Topic.GENERAL) == ""
    assert bench.told == []


async def test_the_bridge_takes_in_what_libraries_and_asyncio_say(bench: LogBench) -> None:
    logs = bench.open(level="debug")
    before = list(logging.getLogger().handlers)
    logs.bridge()
    logs.bridge()
    library = logging.getLogger("some.library")
    library.info("too quiet")
    [bridge] = set(logging.getLogger().handlers) - set(before)
    bridge.handle(logging.LogRecord("some.library", logging.WARNING, "", 0, "bad %d", ("arguments",), None))
    try:
        raise OSError(errno.ENOSPC, "the disk is full")
    except OSError:
        library.exception("it failed")
    asyncio.get_running_loop().call_exception_handler({"message": "a callback broke"})
    logs.close()

    lines = bench.lines(Topic.GENERAL)
    assert [(line["level"], line["event"]) for line in lines] == [
        ("warning", "bad %d"),
        ("error", "it failed"),
        ("error", "a callback broke"),
    ]
    assert lines[1]["error"] == "OSError: the disk is full"
    assert "raise OSError" in lines[1]["trace"]
    assert logging.getLogger().handlers == before


@in_virtual_time
async def test_in_virtual_time_lines_are_written_at_once_with_virtual_times() -> None:
    with tempfile.TemporaryDirectory() as folder:
        bench = LogBench(Path(folder))
        bench.clock = VirtualClock()  # type: ignore[assignment]
        logger = bench.open().logger(Topic.GENERAL)
        logger.info("one")
        await asyncio.sleep(3600)
        logger.info("two")
        assert [line["timestamp"] for line in bench.lines(Topic.GENERAL)] == [
            "2023-11-14T22:13:20.000Z",
            "2023-11-14T23:13:20.000Z",
        ]
        bench.close()
