"""The program with defects whose texts hold a secret, planted in as many places as Python has for them.

``python -m tests.secrets.sabotaged KIND ARGUMENTS``: ``defects`` leaves the masks on, ``unmasked`` takes them off, so
that a test can see that the secrets really come by. The secret is in the environment, as ``CANARY_SECRET``.
"""

from __future__ import annotations

import asyncio
import gc
import itertools
import logging
import os
import sys
import threading
import warnings
from typing import Any

import node.cli.production
import node.cli.simulation
from node.cli.main import main
from node.domain.jobs import Job
from node.observability.redaction import Redactor
from node.sources.gateway import GatewaySource

CANARY = os.environ["CANARY_SECRET"]
_claims = itertools.count()
_forgotten: list[asyncio.Task[None]] = []
_claim = GatewaySource.claim


class _Unfinalizable:
    def __del__(self) -> None:
        raise ValueError(f"unraisable {CANARY}")


class _Cycle:
    def __init__(self) -> None:
        self.myself = self
        self.part = _Unfinalizable()


def _fail(how: str) -> None:
    held_in_a_local = CANARY
    try:
        raise KeyError(f"{how}, the cause: {held_in_a_local}")
    except KeyError as error:
        raise RuntimeError(f"{how}: {held_in_a_local}") from error


async def _fail_unseen() -> None:
    _fail("nobody retrieves this")


def _commit(number: int) -> None:
    loop = asyncio.get_running_loop()
    match number % 10:
        case 0:
            _fail("a defect in a poll")
        case 1:
            loop.call_soon(_fail, f"in a callback {CANARY}")
        case 2:
            _forgotten.append(loop.create_task(_fail_unseen(), name=f"task {CANARY}"))
            loop.call_later(0.01, _forgotten.clear)
        case 3:
            threading.Thread(target=_fail, args=("in a thread",), name=f"thread {CANARY}").start()
        case 4:
            _Cycle()
            gc.collect()
        case 5:
            warnings.warn(f"warned of {CANARY}", stacklevel=1)
        case 6:
            logging.getLogger("some.library").warning("a library says %s", CANARY)
            logging.getLogger("some.library").error("it failed", exc_info=ValueError(CANARY))
        case 7:
            print(f"printed {CANARY}")
            print("in", "pieces", CANARY[:9], end="")
            print(CANARY[9:], file=sys.stdout)
        case 8:
            sys.stderr.write(f"written {CANARY}\n")
        case _:
            _keep_the_loop_busy(CANARY)


def _keep_the_loop_busy(_: str) -> None:
    loop = asyncio.get_running_loop()
    loop.slow_callback_duration = 0.0
    loop.call_soon(lambda *_: None, CANARY)


async def _sabotaged_claim(self: GatewaySource, *arguments: Any) -> Job | None:
    _commit(next(_claims))
    return await _claim(self, *arguments)


def _close(*_: Any) -> None:
    _fail("the last words")


def _put(owner: Any, name: str, instead: Any) -> None:
    setattr(owner, name, instead)


if __name__ == "__main__":
    kind, *arguments = sys.argv[1:]
    if kind == "unmasked":
        _put(Redactor, "redact", lambda _self, text: text)
    _put(GatewaySource, "claim", _sabotaged_claim)
    for module in (node.cli.simulation, node.cli.production):
        _put(module, "_close", _close)
    sys.exit(main(arguments))
