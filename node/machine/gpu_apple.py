"""The graphics cards of a Mac, through system_profiler."""

from __future__ import annotations

import re
from typing import Any, Final

from node.machine.gpu import Gpu, GpuReading
from node.machine.tool import TIMEOUT_S, Tool, ToolFailed

_SIZE: Final = re.compile(r"\s*(\d+)\s*(MB|GB)\s*", re.IGNORECASE)


class AppleGpus:
    """See `node.machine.gpu.GpuSource`. Names and totals alone: what they are used for, macOS tells only root.

    Apple's own chips share the machine's memory, of which there are ``ram_bytes``. ``path`` is searched for the tool
    in place of PATH.
    """

    def __init__(self, ram_bytes: int, path: str | None = None, timeout_s: float = TIMEOUT_S) -> None:
        self._tool = Tool("system_profiler", path, timeout_s)
        self._ram_bytes = ram_bytes
        self._known: GpuReading | None = None

    def read(self) -> GpuReading:
        """See `node.machine.gpu.GpuSource.read`. The tool takes a second, and is asked until it has answered once."""
        if self._known is not None:
            return self._known
        if not self._tool.is_there:
            return GpuReading()
        try:
            self._known = GpuReading(self._ask())
        except ToolFailed as error:
            return GpuReading(notes=(f"the Mac's graphics cards cannot be read: {error}",))
        return self._known

    def close(self) -> None:
        """See `node.machine.gpu.GpuSource.close`; there is nothing to let go of."""

    def _ask(self) -> tuple[Gpu, ...]:
        said = self._tool.ask("SPDisplaysDataType", "-json")
        cards = said.get("SPDisplaysDataType") if isinstance(said, dict) else None
        if not isinstance(cards, list):
            raise ToolFailed("system_profiler printed no list of displays")
        return tuple(self._card(card) for card in cards if isinstance(card, dict))

    def _card(self, card: dict[str, Any]) -> Gpu:
        name = str(card.get("sppci_model") or card.get("_name") or "GPU").strip()
        if name.startswith("Apple"):
            return Gpu(name, self._ram_bytes, shares_ram=True)
        told = card.get("spdisplays_vram")
        if told is None and (told := card.get("spdisplays_vram_shared")) is not None:
            return Gpu(name, _size(told), shares_ram=True)
        return Gpu(name, _size(told))


def _size(told: object) -> int | None:
    match = _SIZE.fullmatch(told) if isinstance(told, str) else None
    return None if match is None else int(match[1]) * (2**30 if match[2].upper() == "GB" else 2**20)
