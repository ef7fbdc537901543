from __future__ import annotations

import asyncio
import os
import socket
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from node.observability.sd_notify import SystemdNotifier
from node.runtime.signals import Signal
from tests.support.virtual_time import in_virtual_time
from tests.support.waiting import wait_until


@pytest.fixture(params=["path", "abstract"])
def systemd(request: pytest.FixtureRequest) -> Iterator[tuple[socket.socket, str]]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver, tempfile.TemporaryDirectory() as folder:
        name = f"llm-node-test-{uuid.uuid4()}"
        address = f"@{name}" if request.param == "abstract" else str(Path(folder) / "notify")
        receiver.bind(f"\0{name}" if request.param == "abstract" else address)
        receiver.settimeout(0)
        yield receiver, address


def received(receiver: socket.socket) -> list[str]:
    messages = []
    while True:
        try:
            messages.append(receiver.recv(4096).decode())
        except BlockingIOError:
            return messages


def test_each_message_is_what_systemd_expects(systemd: tuple[socket.socket, str]) -> None:
    receiver, address = systemd
    notifier = SystemdNotifier.from_environment({"NOTIFY_SOCKET": address})
    assert notifier.is_wanted
    assert notifier.ready("in session")
    assert notifier.status("2 jobs\nREADY=0\tunder way")
    assert notifier.stopping()
    assert received(receiver) == ["READY=1\nSTATUS=in session", "STATUS=2 jobs READY=0 under way", "STOPPING=1"]
    assert not notifier.status("  ")


@in_virtual_time
async def test_without_a_socket_nothing_happens() -> None:
    for environment in ({}, {"NOTIFY_SOCKET": ""}, {"NOTIFY_SOCKET": "vsock:2:1"}):
        notifier = SystemdNotifier.from_environment({**environment, "WATCHDOG_USEC": "1000000"})
        assert not notifier.is_wanted
        assert not notifier.ready()
        await notifier.run_watchdog(Signal())


def test_a_receiver_that_is_gone_or_full_hurts_nobody(tmp_path: Path) -> None:
    assert not SystemdNotifier(str(tmp_path / "nobody"), None).ready()
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
        receiver.bind(str(tmp_path / "full"))
        notifier = SystemdNotifier(str(tmp_path / "full"), None)
        assert any(not notifier.status(f"{number}") for number in range(10_000))


async def test_signs_of_life_come_at_half_the_watchdogs_time(systemd: tuple[socket.socket, str]) -> None:
    receiver, address = systemd
    environment = {"NOTIFY_SOCKET": address, "WATCHDOG_USEC": "40000", "WATCHDOG_PID": str(os.getpid())}
    notifier, stop, got = SystemdNotifier.from_environment(environment), Signal(), list[str]()
    task = asyncio.create_task(notifier.run_watchdog(stop))
    await wait_until(lambda: got.extend(received(receiver)) or len(got) >= 3)
    stop.set()
    await task
    assert set(got) == {"WATCHDOG=1"}


@in_virtual_time
async def test_a_node_that_is_not_well_is_silent() -> None:
    with tempfile.TemporaryDirectory() as folder, socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
        address = str(Path(folder) / "notify")
        receiver.bind(address)
        receiver.settimeout(0)
        well, stop = True, Signal()
        notifier = SystemdNotifier(address, 20.0)
        task = asyncio.create_task(notifier.run_watchdog(stop, lambda: well))
        await asyncio.sleep(35)
        assert received(receiver) == ["WATCHDOG=1"] * 4
        well = False
        await asyncio.sleep(100)
        assert received(receiver) == []
        stop.set()
        await task


@pytest.mark.parametrize(
    "environment",
    [
        {},
        {"WATCHDOG_USEC": "soon"},
        {"WATCHDOG_USEC": "0"},
        {"WATCHDOG_USEC": "-5"},
        {"WATCHDOG_USEC": "1000", "WATCHDOG_PID": "1"},
    ],
)
async def test_without_a_watchdog_of_ours_no_sign_is_sent(
    environment: dict[str, str], systemd: tuple[socket.socket, str]
) -> None:
    receiver, address = systemd
    notifier = SystemdNotifier.from_environment({"NOTIFY_SOCKET": address, **environment}, pid=77)
    await notifier.run_watchdog(Signal())
    assert received(receiver) == []
