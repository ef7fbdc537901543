"""Which of the nodes that share a state folder is meant by a command on this machine.

They may run in containers of their own, and process numbers and addresses mean something else in each: a node counts
as running here when it answers at its URL, with its own name.
"""

from __future__ import annotations

import asyncio
import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from node.app.control import ControlClient, ControlHandle, told_at
from node.domain.errors import InputFault, InvalidInput, StepFailed, TransportError, TryLater
from node.ports.transport import Transport

_SHOWN: Final = 5


@dataclass(frozen=True, slots=True)
class Found:
    """A node that answers, and what it told."""

    handle: ControlHandle
    status: Mapping[str, Any]

    def client(self, transport: Transport) -> ControlClient:
        """What steers it."""
        return ControlClient(self.handle, transport)


@dataclass(frozen=True, slots=True)
class _Silent:
    """A node whose process is there, and that does not answer."""

    handle: ControlHandle
    error: TransportError


async def find_node(state_dir: Path, handles: Sequence[ControlHandle], transport: Transport, node: str = "") -> Found:
    """Of those that left these handles below the state folder the one that runs here; of several the one called ``node``.

    Raises:
        InvalidInput: no such node runs here, or several do and none is named; the fault says what to do.
        TryLater: its process is there, and silent.
    """
    meant = [handle for handle in handles if node in ("", handle.node)]
    # In each container the same address is another node's: one question for all that have left it.
    urls = list(dict.fromkeys(handle.url for handle in meant))
    answers = dict(zip(urls, await asyncio.gather(*(_look(url, transport) for url in urls)), strict=True))
    here = [found for handle in meant if (found := _found(handle, answers[handle.url])) is not None]
    match here:
        case [Found() as found]:
            return found
        case [_Silent(handle, error)]:
            raise TryLater(
                f"node {handle.node} (process {handle.pid}) does not answer at {handle.url}: {error};"
                f" if it hangs, end it with: kill {handle.pid}"
            )
        case []:
            raise InvalidInput([_nobody(state_dir, meant, node)])
        case _:
            remedy = f"name one with --node: {_listed([found.handle.node for found in here])}"
            raise InvalidInput([InputFault(str(state_dir), f"{len(here)} nodes run there", remedy)])


async def _look(url: str, transport: Transport) -> Mapping[str, Any] | TransportError:
    try:
        return await told_at(url, transport)
    except TransportError as error:
        return error
    except StepFailed:
        return {}


def _found(handle: ControlHandle, answer: Mapping[str, Any] | TransportError) -> Found | _Silent | None:
    if isinstance(answer, TransportError):
        return _Silent(handle, answer) if _is_process_here(handle) else None
    return Found(handle, answer) if answer.get("node") == handle.node else None


def _is_process_here(handle: ControlHandle) -> bool:
    if handle.host != platform.node():
        return False
    try:
        os.kill(handle.pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _nobody(state_dir: Path, handles: Sequence[ControlHandle], node: str) -> InputFault:
    elsewhere = [handle for handle in handles if handle.host != platform.node()]
    what = f"no node {node!r}" if node else "no node"
    if elsewhere:
        known = _listed([f"{handle.node} on {handle.host or 'an unknown machine'}" for handle in elsewhere])
        problem = f"{what} runs here; those known there: {known}"
        remedy = "run this command on its machine or container, or start it here"
        return InputFault(str(state_dir), problem, remedy)
    remedy = "start it, or name another folder" if node else "start one with 'node', or name its folder"
    return InputFault(str(state_dir), f"{what} runs there", f"{remedy} with --state-dir")


def _listed(names: Sequence[str]) -> str:
    more = len(names) - _SHOWN
    return ", ".join(names[:_SHOWN]) + (f" and {more} more" if more > 0 else "")
