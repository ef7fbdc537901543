"""The child's entry, run in this process: its standard streams are pipes, its owner is a thread."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

import pytest

from node.sandbox.child import main
from node.sandbox.handshake import Handshake, read_handshake
from node.sandbox.policy import SandboxPolicy, dump_policy

CONFIG = dump_policy(SandboxPolicy()) + b"\n"


@contextlib.contextmanager
def owned(monkeypatch: pytest.MonkeyPatch, owner: Callable[[IO[bytes], IO[bytes]], None]) -> Iterator[None]:
    """Run ``owner`` on a thread with the two ends of the pipes that stand in for stdin and stdout."""
    (in_read, in_write), (out_read, out_write) = os.pipe(), os.pipe()
    with (
        os.fdopen(out_write, "w") as stdout,
        os.fdopen(in_write, "wb") as to_child,
        os.fdopen(out_read, "rb") as from_child,
    ):
        stdin = os.fdopen(in_read)
        monkeypatch.setattr("sys.stdin", stdin)
        monkeypatch.setattr("sys.stdout", stdout)
        thread = threading.Thread(target=owner, args=(to_child, from_child))
        thread.start()
        yield
        thread.join()
        stdin.close()


def greeted(from_child: IO[bytes]) -> Handshake:
    handshake = read_handshake(from_child.readline())
    assert handshake is not None
    address = handshake.url.removeprefix("http://").split(":")
    socket.create_connection((address[0], int(address[1])), timeout=10).close()
    return handshake


def test_it_ends_with_its_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Handshake] = []

    def owner(to_child: IO[bytes], from_child: IO[bytes]) -> None:
        with to_child:
            to_child.write(CONFIG)
            to_child.flush()
            seen.append(greeted(from_child))

    with owned(monkeypatch, owner):
        assert main([]) == 0
    assert seen[0].pid == os.getpid()


def test_it_ends_before_it_began_when_nothing_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    with owned(monkeypatch, lambda to_child, _from_child: to_child.close()):
        assert main([]) == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_ends_by_a_signal(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, number: int) -> None:
    config = tmp_path / "sandbox.json"
    config.write_bytes(CONFIG)

    def owner(_to_child: IO[bytes], from_child: IO[bytes]) -> None:
        greeted(from_child)
        os.kill(os.getpid(), number)

    with owned(monkeypatch, owner):
        assert main(["--config", str(config)]) == 0


def test_a_config_that_cannot_be_read_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--config", str(tmp_path)]) == 2
    assert f"{tmp_path}: Is a directory" in capsys.readouterr().err


def test_another_programs_first_line_is_no_handshake() -> None:
    assert read_handshake(b"hello\n") is None
    assert read_handshake(b"") is None
