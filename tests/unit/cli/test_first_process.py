"""A container's program heeds SIGTERM from its first moment on."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import pytest

from node.cli.main import heed_sigterm


@pytest.fixture(autouse=True)
def former_handler() -> Iterator[None]:
    former = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, former)


def test_process_1_ends_as_others_do() -> None:
    heed_sigterm(1)
    with pytest.raises(SystemExit) as ended:
        os.kill(os.getpid(), signal.SIGTERM)
    assert ended.value.code == 128 + signal.SIGTERM


def test_others_need_no_handler() -> None:
    former = signal.getsignal(signal.SIGTERM)
    heed_sigterm(7)
    assert signal.getsignal(signal.SIGTERM) is former
