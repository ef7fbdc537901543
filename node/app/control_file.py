"""How a gateway that was started by hand is found by the other commands on this machine.

It leaves a file with its URL and control token, readable by its user alone, below the state folder.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from node.domain.errors import StorageUnavailable
from node.runtime.private_file import write_private
from node.sandbox.handshake import Handshake, read_handshake

CONTROL_FILE: Final = Path("gateway.json")


@contextlib.contextmanager
def control_file(state_dir: Path, handshake: Handshake) -> Iterator[None]:
    """Leave the file within the block, the folder made when missing; a gateway that starts later takes its place.

    Raises:
        StorageUnavailable: the file cannot be written.
    """
    path = state_dir / CONTROL_FILE
    try:
        write_private(path, handshake.to_line())
    except OSError as error:
        raise StorageUnavailable(f"{path}: {error.strerror}") from error
    try:
        yield
    finally:
        if read_control_file(state_dir) == handshake:
            path.unlink()


def read_control_file(state_dir: Path, url: str = "") -> Handshake | None:
    """The gateway that was started by hand; None without a readable file, or where ``url`` is given and another one's.

    Never raises. A gateway that was killed leaves its file: that it is told here does not mean that it runs.
    """
    try:
        handshake = read_handshake((state_dir / CONTROL_FILE).read_bytes())
    except OSError:
        return None
    return handshake if handshake is not None and url in {"", handshake.url} else None
