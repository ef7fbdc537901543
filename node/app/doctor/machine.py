"""Looks at what a node needs of this machine: the disk, its outbox, the health port, the hardware that it will tell of."""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from node.app.doctor.findings import Finding, failed, passed, warned
from node.domain.errors import StorageInUse, StorageUnavailable
from node.domain.identity import Hardware
from node.runtime.database import free_bytes
from node.runtime.filelock import FileLock

_MIB: Final = 1024 * 1024


@dataclass(frozen=True, slots=True)
class MachineExamination:
    """What is asked of the machine. ``outbox`` is the file of the node's outbox, None where nobody knows which node it
    is; ``port`` is 0 where any will do.

    ``own_port`` is the one that this node itself has left word of, 0 where it has not: while it runs, that is taken.
    """

    state_dir: Path
    outbox: Path | None
    min_free_bytes: int
    host: str
    port: int
    hardware: Hardware
    own_port: int = 0

    def findings(self) -> Iterator[Finding]:
        """What is found. Blocks; never raises."""
        yield self._disk()
        runs = False
        if self.outbox is not None:
            outbox = self._outbox(self.outbox)
            yield outbox
            runs = outbox.status == "warn"
        if self.port:
            yield self._port(runs=runs)
        yield self._hardware()

    def _disk(self) -> Finding:
        folder = self.state_dir
        try:
            folder = next(path for path in (folder, *folder.parents) if path.exists())
            probe = folder / f".probe-{os.getpid()}"
            probe.write_bytes(b"0" * 4096)
            probe.unlink()
            free = free_bytes(folder)
        except OSError as error:
            remedy = "make room" if error.errno == errno.ENOSPC else _ANOTHER
            return failed("disk", f"{folder}: {error.strerror}", remedy)
        text = f"{folder} has {free // _MIB:,} MiB free"
        if free < self.min_free_bytes:
            return failed("disk", f"{text}; below {self.min_free_bytes // _MIB:,} MiB no job is claimed", "make room")
        return passed("disk", text)

    def _outbox(self, file: Path) -> Finding:
        try:
            if not file.exists():
                return passed("outbox", f"{file} will be made")
            FileLock.take(file).release()
        except StorageInUse as error:
            return warned("outbox", f"{error}: this node runs already", _LOOK)
        except StorageUnavailable as error:
            return failed("outbox", str(error), _ANOTHER)
        except OSError as error:
            return failed("outbox", f"{file}: {error.strerror}", _ANOTHER)
        return passed("outbox", f"{file} is free")

    def _port(self, *, runs: bool) -> Finding:
        place = f"{self.host}:{self.port}"
        try:
            found = socket.getaddrinfo(self.host, self.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
            family, kind, protocol, _, address = found[0]
            with socket.socket(family, kind, protocol) as listener:
                listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                listener.bind(address)
        except OSError as error:
            if runs and self.port == self.own_port and error.errno == errno.EADDRINUSE:
                return warned("port", f"{place} is taken by this node, which runs already", _LOOK)
            remedy = "end what listens there, or choose another port with HEALTH_PORT"
            return failed("port", f"{place} for health and metrics: {error.strerror}", remedy)
        return passed("port", f"{place} is free for health and metrics")

    def _hardware(self) -> Finding:
        machine = self.hardware
        has_gpu = machine.vram_mb > 0
        gpu = f"{machine.gpu} with {machine.vram_mb:,} MB" if has_gpu else "no GPU was found"
        text = f"{machine.cpu_cores} cores, {machine.ram_mb:,} MB, {gpu}, {machine.os}"
        return passed("hardware", text) if has_gpu else warned("hardware", text, _NO_GPU)


_ANOTHER: Final = "let this user write there, or name another folder with --state-dir"
_LOOK: Final = "look at it with: llm-node status"
_NO_GPU: Final = "models run on the CPU; if there is a GPU, install its driver and the extra gpu"
