"""How a gateway that was started by hand is found by the other commands on this machine.

It leaves a file with its URL and control token, readable by its user alone, below the state folder.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from node.sandbox.handshake import Handshake, read_handshake

CONTROL_FILE: Final = Path("gateway.json")


@contextlib.contextmanager
def control_file(state_dir: Path, handshake: Handshake) -> Iterator[None]:
    """Leave the file within the block; a gateway that starts later takes its place."""
    path = state_dir / CONTROL_FILE
    state_dir.mkdir(parents=True, exist_ok=True)
    with contextlib.suppress(FileNotFoundError):
        path.unlink()
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(handshake.to_line())
    try:
        yield
    finally:
        if read_control_file(state_dir) == handshake:
            path.unlink()


def read_control_file(state_dir: Path, url: str = "") -> Handshake | None:
    """The gateway that was started by hand, if its file is there and, with ``url``, it is that one."""
    try:
        handshake = read_handshake((state_dir / CONTROL_FILE).read_bytes())
    except OSError:
        return None
    return handshake if handshake is not None and url in {"", handshake.url} else None
