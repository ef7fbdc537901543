"""Control files: how a node that runs here is found, and one that does not is not."""

from __future__ import annotations

import asyncio
import json
import os
import platform
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from node.app.control import (
    CONTROL_FILE,
    NODES_FOLDER,
    ControlClient,
    ControlHandle,
    control_handle,
    read_handles,
)
from node.app.find_node import find_node
from node.domain.errors import (
    ConnectFailed,
    InvalidInput,
    StepRefused,
    StorageUnavailable,
    TransportError,
    TryLater,
)
from node.domain.secret import Secret
from node.ports.transport import Reply, Request

HERE = "http://127.0.0.1:3008"


def handle(node: str = "n1", url: str = HERE) -> ControlHandle:
    return ControlHandle.of_this_process(node, "box", url, Secret("the-token"))


def folder(state: Path, node: str) -> Path:
    return state / NODES_FOLDER / node


class Ports:
    """A transport to nodes that answer at these addresses by these names; it keeps what was asked."""

    def __init__(self, **nodes_by_port: str) -> None:
        self.nodes = {f"http://127.0.0.1:{port.removeprefix('p')}": node for port, node in nodes_by_port.items()}
        self.asked: list[Request] = []

    async def exchange(self, request: Request, timeout_s: float) -> Reply:
        self.asked.append(request)
        for url, node in self.nodes.items():
            if request.url == f"{url}/status.json":
                return Reply(200, {}, json.dumps({"node": node, "life": "running"}).encode())
        raise ConnectFailed("connection refused")

    async def aclose(self) -> None:
        pass


def test_a_node_leaves_a_file_that_is_its_users_alone(tmp_path: Path) -> None:
    with control_handle(folder(tmp_path, "n1"), handle()):
        assert read_handles(tmp_path) == (handle(),)
        file = folder(tmp_path, "n1") / CONTROL_FILE
        assert file.stat().st_mode & 0o777 == 0o600
        assert file.parent.stat().st_mode & 0o077 == 0
    assert read_handles(tmp_path) == ()


def test_what_a_killed_node_left_is_replaced(tmp_path: Path) -> None:
    control_handle(folder(tmp_path, "n1"), handle(url="http://127.0.0.1:1")).__enter__()
    with control_handle(folder(tmp_path, "n1"), handle()):
        assert read_handles(tmp_path) == (handle(),)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"node": "n1"}', '{"node": 1, "url": "", "token": "", "pid": 1}'])
def test_a_file_that_is_none_does_not_count(tmp_path: Path, text: str) -> None:
    folder(tmp_path, "n1").mkdir(parents=True)
    (folder(tmp_path, "n1") / CONTROL_FILE).write_text(text)
    assert read_handles(tmp_path) == ()


def test_a_folder_that_this_user_may_not_read_is_told(tmp_path: Path) -> None:
    (tmp_path / NODES_FOLDER).touch()
    for place in (tmp_path, tmp_path / ("x" * 300)):
        with pytest.raises(StorageUnavailable, match=r"the node's own user or as root.*--state-dir"):
            read_handles(place)


def test_what_else_is_in_the_folder_does_not_count(tmp_path: Path) -> None:
    with control_handle(folder(tmp_path, "n1"), handle()):
        folder(tmp_path, "empty").mkdir()
        (tmp_path / NODES_FOLDER / "file").touch()
        assert read_handles(tmp_path) == (handle(),)


def test_a_folder_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StorageUnavailable, match="file"), control_handle(tmp_path / "file" / "n1", handle()):
        pass


async def test_where_there_is_none_the_remedy_is_told(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=r"no node runs there.*--state-dir"):
        await find_node(tmp_path, (), Ports())
    with pytest.raises(InvalidInput, match=r"no node 'n2' runs there.*start it"):
        await find_node(tmp_path, (handle(),), Ports(p3008="n1"), "n2")


async def test_of_several_that_run_here_one_must_be_named(tmp_path: Path) -> None:
    elsewhere = replace(handle("c", "http://127.0.0.1:3"), host="another")
    handles = [handle("a", "http://127.0.0.1:1"), handle("b", "http://127.0.0.1:2"), elsewhere]
    ports = Ports(p1="a", p2="b")
    with pytest.raises(InvalidInput, match=r"2 nodes run there.*--node: a, b$"):
        await find_node(tmp_path, handles, ports)
    found = await find_node(tmp_path, handles, ports, "b")
    assert (found.handle.node, found.status["life"]) == ("b", "running")


async def test_of_replicas_that_share_the_folder_the_one_of_this_container_is_found(tmp_path: Path) -> None:
    replicas = [replace(handle(f"n{number}"), pid=1, host=f"container-{number}") for number in range(1, 4)]
    ports = Ports(p3008="n2")
    found = await find_node(tmp_path, replicas, ports)
    assert found.handle.node == "n2"
    assert len(ports.asked) == 1, "one question is enough for one address"
    assert not ports.asked[0].headers, "a token went to whoever listens there"
    with pytest.raises(InvalidInput, match=r"no node 'n3' runs here.*n3 on container-3.*its machine or container"):
        await find_node(tmp_path, replicas, ports, "n3")


async def test_beside_nodes_of_other_containers_none_is_offered(tmp_path: Path) -> None:
    replicas = [replace(handle(f"n{number}"), pid=1, host=f"container-{number}") for number in range(9)]
    with pytest.raises(InvalidInput, match=r"no node runs here.*n0 on container-0.*and 4 more") as caught:
        await find_node(tmp_path, replicas, Ports())
    assert "--node" not in str(caught.value)


async def test_a_process_that_is_gone_is_not_offered(tmp_path: Path) -> None:
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", "")
    await process.wait()
    gone = replace(handle(), pid=process.pid)
    for node in ("", "n1"):
        with pytest.raises(InvalidInput, match="runs there"):
            await find_node(tmp_path, (gone,), Ports(), node)
    living = handle("n2", "http://127.0.0.1:2")
    assert (await find_node(tmp_path, (gone, living), Ports(p2="n2"))).handle == living


@pytest.mark.parametrize("pid", [os.getpid(), 1], ids=["its own", "of another user"])
async def test_a_process_that_is_there_and_silent_is_told_with_its_number(tmp_path: Path, pid: int) -> None:
    with pytest.raises(TryLater, match=rf"n1 \(process {pid}\) does not answer at {HERE}.*kill {pid}"):
        await find_node(tmp_path, (replace(handle(), pid=pid, host=platform.node()),), Ports())


async def test_one_that_hangs_counts_among_those_that_run(tmp_path: Path) -> None:
    handles = (handle(), handle("n2", "http://127.0.0.1:2"))
    with pytest.raises(InvalidInput, match=r"2 nodes run there.*--node: n1, n2"):
        await find_node(tmp_path, handles, Ports(p2="n2"))
    assert (await find_node(tmp_path, handles, Ports(p2="n2"), "n2")).handle.node == "n2"


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
    answers = Answers(200, b'{"node": "n1", "life": "running"}')
    client = ControlClient(handle(), answers)
    assert (await client.order("pause"))["life"] == "running"
    assert (await client.status())["life"] == "running"
    order, question = answers.asked
    assert (order.method, order.url) == ("POST", f"{HERE}/control/pause")
    assert dict(order.headers)["authorization"] == "Bearer the-token"
    assert (question.method, question.url) == ("GET", f"{HERE}/status.json")


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


async def test_an_answer_of_another_node_is_told() -> None:
    with pytest.raises(TryLater, match="another node"):
        await ControlClient(handle(), Answers(200, b'{"node": "n2"}')).status()


async def test_silence_is_told() -> None:
    with pytest.raises(TransportError):
        await ControlClient(handle(), Ports()).status()
