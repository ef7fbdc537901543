"""How commands on this machine find a node that runs here, and steer it.

A node leaves a file with the URL of its control port and the token that opens it, readable by its user alone, in its
own folder below the state folder.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias

from pydantic_core import from_json

from node.domain.errors import InputFault, InvalidInput, StepRefused, StorageUnavailable, TryLater
from node.domain.secret import Secret
from node.ports.transport import Request, Transport

CONTROL_FILE: Final = "control.json"
NODES_FOLDER: Final = Path("nodes")
"""Below the state folder, a folder for each node in production."""

_TIMEOUT_S: Final = 5.0

Order: TypeAlias = Literal["pause", "resume", "drain"]


@dataclass(frozen=True, slots=True)
class ControlHandle:
    """Where a node's control port is, the token that opens it, and the process that runs the node."""

    node: str
    url: str
    token: Secret
    pid: int


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


def find_handle(state_dir: Path, node: str = "") -> ControlHandle:
    """The node that runs on this state folder; with several of them the one called ``node``. Reading blocks.

    A node that was killed leaves its file, which counts as long as its process number lives.

    Raises:
        InvalidInput: no such node runs, or several do and none is named.
    """
    handles = [handle for handle in _handles(state_dir) if node in ("", handle.node) and _lives(handle.pid)]
    if len(handles) == 1:
        return handles[0]
    if handles:
        problem, remedy = f"{len(handles)} nodes run there", f"name one with --node: {_names(handles)}"
    elif node:
        problem, remedy = f"no node {node!r} runs there", "start it, or name another folder with --state-dir"
    else:
        problem, remedy = "no node runs there", "start one with 'node', or name its folder with --state-dir"
    raise InvalidInput([InputFault(str(state_dir), problem, remedy)])


class ControlClient:
    """Asks a node over its control port."""

    def __init__(self, handle: ControlHandle, transport: Transport) -> None:
        self._handle = handle
        self._transport = transport

    async def status(self) -> Mapping[str, Any]:
        """All that the node tells of itself, as ``/status.json`` has it.

        Raises:
            TransportError: it does not answer.
            TryLater: something else answers there.
        """
        return await self._ask("GET", "/status.json")

    async def order(self, order: Order) -> Mapping[str, Any]:
        """Give an order; the node's status after it. Raises as `status`, and `StepRefused` when the token is denied."""
        return await self._ask("POST", f"/control/{order}")

    async def _ask(self, method: str, path: str) -> Mapping[str, Any]:
        headers = (("authorization", f"Bearer {self._handle.token.reveal()}"),)
        reply = await self._transport.exchange(Request(method, self._handle.url + path, headers), _TIMEOUT_S)
        if reply.status in (401, 403):
            raise StepRefused(f"the node at {self._handle.url} does not take the token of its control file")
        try:
            content = from_json(reply.body) if 200 <= reply.status < 300 else None
        except ValueError:
            content = None
        if not isinstance(content, dict):
            raise TryLater(f"what answers at {self._handle.url} is no node's control port")
        return content


def _write(path: Path, handle: ControlHandle) -> None:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with contextlib.suppress(FileNotFoundError):
        path.unlink()
    content = {"node": handle.node, "url": handle.url, "token": handle.token.reveal(), "pid": handle.pid}
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        json.dump(content, file)


def _handles(state_dir: Path) -> Iterator[ControlHandle]:
    for path in sorted((state_dir / NODES_FOLDER).glob(f"*/{CONTROL_FILE}")):
        with contextlib.suppress(OSError, ValueError):
            match json.loads(path.read_text(encoding="utf-8")):
                case {"node": str(node), "url": str(url), "token": str(token), "pid": int(pid)}:
                    yield ControlHandle(node, url, Secret(token), pid)


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _names(handles: list[ControlHandle]) -> str:
    return ", ".join(handle.node for handle in handles)
