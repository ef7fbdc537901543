"""Control files: how a node that runs is found, and one that does not is not."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from node.app.control import CONTROL_FILE, NODES_FOLDER, ControlClient, ControlHandle, control_handle, find_handle
from node.domain.errors import InvalidInput, StepRefused, StorageUnavailable, TryLater
from node.domain.secret import Secret
from node.ports.transport import Reply, Request


def handle(node: str = "n1", pid: int | None = None) -> ControlHandle:
    return ControlHandle(node, "http://127.0.0.1:1", Secret("the-token"), os.getpid() if pid is None else pid)


def folder(state: Path, node: str) -> Path:
    return state / NODES_FOLDER / node


def test_a_node_is_found_while_it_runs_and_its_file_is_its_users_alone(tmp_path: Path) -> None:
    with control_handle(folder(tmp_path, "n1"), handle()):
        assert find_handle(tmp_path) == handle()
        file = folder(tmp_path, "n1") / CONTROL_FILE
        assert file.stat().st_mode & 0o777 == 0o600
        assert file.parent.stat().st_mode & 0o077 == 0
    with pytest.raises(InvalidInput, match="no node runs there"):
        find_handle(tmp_path)


def test_of_several_nodes_one_must_be_named(tmp_path: Path) -> None:
    with control_handle(folder(tmp_path, "a"), handle("a")), control_handle(folder(tmp_path, "b"), handle("b")):
        with pytest.raises(InvalidInput, match=r"2 nodes run there.*--node: a, b"):
            find_handle(tmp_path)
        assert find_handle(tmp_path, "b").node == "b"
        with pytest.raises(InvalidInput, match="no node 'c' runs there"):
            find_handle(tmp_path, "c")


def test_what_a_killed_node_left_does_not_count_and_is_replaced(tmp_path: Path) -> None:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    left = control_handle(folder(tmp_path, "n1"), handle(pid=process.pid))
    left.__enter__()
    with pytest.raises(InvalidInput, match="no node runs there"):
        find_handle(tmp_path)
    with control_handle(folder(tmp_path, "n1"), handle()):
        assert find_handle(tmp_path).pid == os.getpid()


@pytest.mark.parametrize("text", ["", "{", "[]", '{"node": "n1"}', '{"node": 1, "url": "", "token": "", "pid": 1}'])
def test_a_file_that_is_none_does_not_count(tmp_path: Path, text: str) -> None:
    folder(tmp_path, "n1").mkdir(parents=True)
    (folder(tmp_path, "n1") / CONTROL_FILE).write_text(text)
    with pytest.raises(InvalidInput, match="no node runs there"):
        find_handle(tmp_path)


def test_a_folder_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StorageUnavailable, match="file"), control_handle(tmp_path / "file" / "n1", handle()):
        pass


class Answers:
    """A transport with one answer, that keeps what it was asked."""

    def __init__(self, status: int, body: bytes) -> None:
        self.reply = Reply(status, {}, body)
        self.asked: list[Request] = []

    async def exchange(self, request: Request, timeout_s: float) -> Reply:
        self.asked.append(request)
        return self.reply

    async def aclose(self) -> None:
        pass


async def test_orders_bear_the_token() -> None:
    answers = Answers(200, b'{"life": "running"}')
    client = ControlClient(handle(), answers)
    assert await client.order("pause") == {"life": "running"}
    assert await client.status() == {"life": "running"}
    order, question = answers.asked
    assert (order.method, order.url) == ("POST", "http://127.0.0.1:1/control/pause")
    assert dict(order.headers)["authorization"] == "Bearer the-token"
    assert (question.method, question.url) == ("GET", "http://127.0.0.1:1/status.json")


@pytest.mark.parametrize(
    ("status", "body", "error"),
    [
        (401, b"{}", StepRefused),
        (403, b"{}", StepRefused),
        (200, b"<html>", TryLater),
        (200, b"[]", TryLater),
        (404, b"{}", TryLater),
        (500, b"{}", TryLater),
    ],
)
async def test_an_answer_that_is_no_nodes_is_told(status: int, body: bytes, error: type[Exception]) -> None:
    with pytest.raises(error) as caught:
        await ControlClient(handle(), Answers(status, body)).order("drain")
    assert "the-token" not in str(caught.value)
