"""How commands on this machine find a node that runs here, and steer it.

A node leaves a file with the URL of its control port and the token that opens it, readable by its user alone, in its
own folder below the state folder. Several nodes may share that folder, in containers of their own too, where process
numbers and addresses mean something else in each: a node counts as running here when it answers at its URL, with its
own name.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import platform
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias

from pydantic_core import from_json

from node.domain.errors import (
    InputFault,
    InvalidInput,
    StepFailed,
    StepRefused,
    StorageUnavailable,
    TransportError,
    TryLater,
)
from node.domain.secret import Secret
from node.ports.transport import Request, Transport

CONTROL_FILE: Final = "control.json"
NODES_FOLDER: Final = Path("nodes")
"""Below the state folder, a folder for each node in production."""

_TIMEOUT_S: Final = 5.0
_SHOWN: Final = 5

Order: TypeAlias = Literal["pause", "resume", "drain"]


@dataclass(frozen=True, slots=True)
class ControlHandle:
    """Where a node's control port is, the token that opens it, and the process that runs the node.

    ``host`` is the name of its machine or container, to which ``url`` and ``pid`` belong.
    """

    node: str
    url: str
    token: Secret
    pid: int
    worker: str = ""
    host: str = ""

    @classmethod
    def of_this_process(cls, node: str, worker: str, url: str, token: Secret) -> ControlHandle:
        """A handle of a node that this process runs."""
        return cls(node, url, token, os.getpid(), worker, platform.node())


@contextlib.contextmanager
def control_handle(folder: Path, handle: ControlHandle) -> Iterator[None]:
    """Leave the file in the node's folder within the block.

    Raises:
        StorageUnavailable: it cannot be written.
    """
    path = folder / CONTROL_FILE
    try:
        _write(path, handle)
    except OSError as error:
        raise StorageUnavailable(f"{path}: {error.strerror}") from error
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            path.unlink()


def read_handles(state_dir: Path) -> tuple[ControlHandle, ...]:
    """All that nodes have left below this state folder, those that were killed too. Blocks.

    Raises:
        StorageUnavailable: this user may not look there.
    """
    folder = state_dir / NODES_FOLDER
    try:
        found = [_read(place / CONTROL_FILE) for place in sorted(folder.iterdir())]
    except FileNotFoundError:
        return ()
    except OSError as error:
        raise StorageUnavailable(
            f"{error.filename}: {error.strerror}; look as the node's own user or as root, or name its folder with"
            " --state-dir"
        ) from error
    return tuple(handle for handle in found if handle is not None)


class ControlClient:
    """Asks a node over its control port."""

    def __init__(self, handle: ControlHandle, transport: Transport) -> None:
        self.handle: Final = handle
        self._transport = transport

    async def status(self) -> Mapping[str, Any]:
        """All that the node tells of itself, as ``/status.json`` has it.

        Raises:
            TransportError: it does not answer.
            TryLater: something else answers there, be it another node.
        """
        told = await self._ask(Request("GET", f"{self.handle.url}/status.json"))
        if told.get("node") != self.handle.node:
            raise TryLater(f"what answers at {self.handle.url} is another node")
        return told

    async def order(self, order: Order) -> Mapping[str, Any]:
        """Give an order; the node's status after it. Raises as `status`, and `StepRefused` when the token is denied."""
        headers = (("authorization", f"Bearer {self.handle.token.reveal()}"),)
        return await self._ask(Request("POST", f"{self.handle.url}/control/{order}", headers))

    async def _ask(self, request: Request) -> Mapping[str, Any]:
        reply = await self._transport.exchange(request, _TIMEOUT_S)
        if reply.status in (401, 403):
            raise StepRefused(f"the node at {self.handle.url} does not take the token of its control file")
        try:
            content = from_json(reply.body) if 200 <= reply.status < 300 else None
        except ValueError:
            content = None
        if not isinstance(content, dict):
            raise TryLater(f"what answers at {self.handle.url} is no node's control port")
        return content


@dataclass(frozen=True, slots=True)
class Found:
    """A node that answers: how to ask it, and what it told."""

    client: ControlClient
    status: Mapping[str, Any]


async def find_node(state_dir: Path, handles: Sequence[ControlHandle], transport: Transport, node: str = "") -> Found:
    """Of those that left these handles below the state folder the one that runs here; of several the one called ``node``.

    Raises:
        InvalidInput: no such node runs here, or several do and none is named; the fault says what to do.
        TryLater: its process is there, and silent.
    """
    clients = [ControlClient(handle, transport) for handle in handles if node in ("", handle.node)]
    asked = await asyncio.gather(*(_look(client) for client in clients))
    here = [found for found in asked if isinstance(found, Found) or (found.is_silent and found.is_process_here)]
    if len(here) > 1:
        names = _listed([found.client.handle.node for found in here])
        raise InvalidInput(
            [InputFault(str(state_dir), f"{len(here)} nodes run there", f"name one with --node: {names}")]
        )
    match here:
        case [Found() as found]:
            return found
        case [_Missing(client, error)]:
            handle = client.handle
            raise TryLater(
                f"node {handle.node} (process {handle.pid}) does not answer at {handle.url}: {error};"
                f" if it hangs, end it with: kill {handle.pid}"
            )
        case _:
            raise InvalidInput([_nobody(state_dir, [client.handle for client in clients], node)])


@dataclass(frozen=True, slots=True)
class _Missing:
    """A node that does not answer at its place, and what came instead."""

    client: ControlClient
    error: TransportError | StepFailed

    @property
    def is_silent(self) -> bool:
        return isinstance(self.error, TransportError)

    @property
    def is_process_here(self) -> bool:
        handle = self.client.handle
        if handle.host != platform.node():
            return False
        try:
            os.kill(handle.pid, 0)
        except ProcessLookupError:
            return False
        except PermissionError:
            return True
        return True


async def _look(client: ControlClient) -> Found | _Missing:
    try:
        return Found(client, await client.status())
    except (TransportError, StepFailed) as error:
        return _Missing(client, error)


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


def _write(path: Path, handle: ControlHandle) -> None:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with contextlib.suppress(FileNotFoundError):
        path.unlink()
    content = {
        "node": handle.node,
        "url": handle.url,
        "token": handle.token.reveal(),
        "pid": handle.pid,
        "worker": handle.worker,
        "host": handle.host,
    }
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        json.dump(content, file)


def _read(path: Path) -> ControlHandle | None:
    """The handle in a file; None where there is no file, or it holds none."""
    try:
        content = json.loads(path.read_bytes())
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return None
    match content:
        case {
            "node": str(node),
            "url": str(url),
            "token": str(token),
            "pid": int(pid),
            "worker": str(worker),
            "host": str(host),
        }:
            return ControlHandle(node, url, Secret(token), pid, worker, host)
        case _:
            return None


def _listed(names: Sequence[str]) -> str:
    more = len(names) - _SHOWN
    return ", ".join(names[:_SHOWN]) + (f" and {more} more" if more > 0 else "")
