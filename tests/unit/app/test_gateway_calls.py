"""What the program says of a gateway's answers, and makes of those that are not what was asked for."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from node.app.control_file import control_file, read_control_file
from node.app.developer import Developer
from node.app.sandbox import SandboxControl
from node.domain.errors import StepRefused, StorageUnavailable
from node.domain.secret import Secret
from node.ports.transport import Reply, Request
from node.sandbox.handshake import Handshake

HANDSHAKE = Handshake(url="http://127.0.0.1:1", control_token=Secret("token"), pid=1)


@dataclass
class OneAnswer:
    """A transport that gives every request the same answer."""

    status: int
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)

    async def exchange(self, request: Request, timeout_s: float) -> Reply:
        return Reply(self.status, self.headers, self.body)

    async def aclose(self) -> None:
        pass


async def test_a_refusal_that_repeats_the_developers_key_does_not_show_it() -> None:
    answer = OneAnswer(401, b'{"detail": "sk-very-secret is no key"}')
    developer = Developer(answer, "http://g", Secret("sk-very-secret"), random.Random(0))
    with pytest.raises(StepRefused) as submitting:
        await developer.submit("hello", "m", 0, None)
    with pytest.raises(StepRefused) as asking:
        await developer.result("j", 5.0)
    for refused in (submitting, asking):
        assert "is no key" in str(refused.value)
        assert "very-secret" not in str(refused.value)


@pytest.mark.parametrize("body", [b"<html>", b"", b"[1]", b'{"status": "ok"}'])
async def test_an_answer_that_is_no_ledger_counts_as_none(body: bytes) -> None:
    assert await SandboxControl(OneAnswer(200, body), HANDSHAKE).ledger() is None


def test_a_state_folder_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StorageUnavailable, match="file"), control_file(tmp_path / "file" / "state", HANDSHAKE):
        pass


def test_a_gateway_is_found_while_it_runs(tmp_path: Path) -> None:
    with control_file(tmp_path, HANDSHAKE):
        assert read_control_file(tmp_path) == HANDSHAKE
        assert read_control_file(tmp_path, "http://127.0.0.1:2") is None
    assert read_control_file(tmp_path) is None
