"""What a container, or a service manager, lets this process have: Linux control groups, both versions.

The files are those of the kernel's documentation (admin-guide/cgroup-v2 and cgroup-v1).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_UNLIMITED: Final = 2**60
"""Version 1 says "no limit" by a number near 2**63."""


@dataclass(frozen=True, slots=True)
class MemoryLimit:
    """Bytes that a group may use, and uses: pages of files that could be dropped at once are not counted."""

    limit_bytes: int
    used_bytes: int


class Cgroup:
    """The groups that this process is in: its own and those around it, of which any may set a limit.

    ``root`` is where they are mounted, ``membership`` the file that names the process's own; both are other than the
    defaults only in tests. Without such files (other systems) there are no limits.
    """

    def __init__(self, root: Path = Path("/sys/fs/cgroup"), membership: Path = Path("/proc/self/cgroup")) -> None:
        self._root = root
        self._membership = membership

    def memory(self) -> MemoryLimit | None:
        """The limit that leaves least room, and what is used of it; None where there is none. Reads files."""
        is_v2 = self._is_v2
        limit_file, used_file, cache = (
            ("memory.max", "memory.current", "inactive_file")
            if is_v2
            else ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
        )
        found = []
        for folder in self._folders("memory"):
            limit, used = _whole(folder / limit_file), _whole(folder / used_file)
            if limit is not None and used is not None and 0 < limit < _UNLIMITED:
                found.append(MemoryLimit(limit, max(0, used - _stat(folder / "memory.stat", cache))))
        return min(found, key=lambda memory: memory.limit_bytes - memory.used_bytes, default=None)

    def memory_limit_bytes(self) -> int | None:
        """The lowest limit of memory; None where there is none. Reads files."""
        name = "memory.max" if self._is_v2 else "memory.limit_in_bytes"
        limits = [_whole(folder / name) for folder in self._folders("memory")]
        return min((limit for limit in limits if limit and limit < _UNLIMITED), default=None)

    def cpus(self) -> float | None:
        """Processors' worth of time that may be used, such as 1.5; None where there is no limit. Reads files."""
        quotas = []
        for folder in self._folders("cpu"):
            if self._is_v2:
                quota, _, period = _text(folder / "cpu.max").partition(" ")
            else:
                quota, period = _text(folder / "cpu.cfs_quota_us"), _text(folder / "cpu.cfs_period_us")
            if quota.isdecimal() and period.isdecimal() and int(quota) and int(period):
                quotas.append(int(quota) / int(period))
        return min(quotas, default=None)

    @property
    def _is_v2(self) -> bool:
        return (self._root / "cgroup.controllers").exists()

    def _folders(self, controller: str) -> list[Path]:
        """The folders of the process's own group and of those around it, the inner ones first.

        In a container the group may be named as the host sees it while its files are mounted at the root: folders
        that are not there are passed over, and the root comes last.
        """
        root = self._root if self._is_v2 else self._root / controller
        path = self._path(controller)
        inner = root.joinpath(*path.parts[1:]) if path.is_absolute() and ".." not in path.parts else root
        groups = [inner, *inner.parents]
        return [group for group in groups[: groups.index(root) + 1] if group.is_dir()]

    def _path(self, controller: str) -> Path:
        for line in _text(self._membership).splitlines():
            number, _, rest = line.partition(":")
            names, _, path = rest.partition(":")
            if (self._is_v2 and number == "0") or controller in names.split(","):
                return Path(path)
        return Path("/")


def cores(physical: int, cgroup: Cgroup) -> int:
    """Cores that the process can use of so many: a quota that is not whole counts as the next whole number."""
    quota = cgroup.cpus()
    return max(1, physical if quota is None else min(physical, math.ceil(quota)))


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii", errors="replace").strip()
    except OSError:
        return ""


def _whole(path: Path) -> int | None:
    text = _text(path)
    return int(text) if text.isdecimal() else None


def _stat(path: Path, name: str) -> int:
    for line in _text(path).splitlines():
        key, _, value = line.partition(" ")
        if key == name and value.isdecimal():
            return int(value)
    return 0
