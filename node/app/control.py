"""How commands on this machine find a node that runs here, and steer it.

A node leaves a file with the URL of its control port and the token that opens it, readable by its user alone, in its
own folder below the state folder.
"""

from __future__ import annotations

import contextlib
import json
import os
import platform
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias

from pydantic_core import from_json

from node.domain.errors import StepRefused, StorageUnavailable, TryLater
from node.domain.secret import Secret
from node.ports.transport import Request, Transport
from node.runtime.private_file import write_private

CONTROL_FILE: Final = "control.json"
NODES_FOLDER: Final = Path("nodes")
"""Below the state folder, a folder for each node in production."""

_TIMEOUT_S: Final = 5.0

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
        write_private(path, _content(handle))
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
        """All that the node tells of itself. Raises as `told_at`, and `TryLater` when another node answers there."""
        told = await told_at(self.handle.url, self._transport)
        if told.get("node") != self.handle.node:
            raise TryLater(f"what answers at {self.handle.url} is another node")
        return told

    async def order(self, order: Order) -> Mapping[str, Any]:
        """Give an order; the node's status after it. Raises as `told_at`, and `StepRefused` when the token is denied."""
        headers = (("authorization", f"Bearer {self.handle.token.reveal()}"),)
        return await _ask(Request("POST", f"{self.handle.url}/control/{order}", headers), self._transport)


async def told_at(url: str, transport: Transport) -> Mapping[str, Any]:
    """What the node whose control port is at this URL tells of itself, as ``/status.json`` has it.

    Raises:
        TransportError: nothing answers.
        TryLater: what answers is no node.
    """
    return await _ask(Request("GET", f"{url}/status.json"), transport)


async def _ask(request: Request, transport: Transport) -> Mapping[str, Any]:
    reply = await transport.exchange(request, _TIMEOUT_S)
    if reply.status in (401, 403):
        raise StepRefused(f"{request.url} does not take the token of the node's control file")
    try:
        content = from_json(reply.body) if 200 <= reply.status < 300 else None
    except ValueError:
        content = None
    if not isinstance(content, dict):
        raise TryLater(f"what answers at {request.url} is no node's control port")
    return content


def _content(handle: ControlHandle) -> bytes:
    return json.dumps(
        {
            "node": handle.node,
            "url": handle.url,
            "token": handle.token.reveal(),
            "pid": handle.pid,
            "worker": handle.worker,
            "host": handle.host,
        }
    ).encode()


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
