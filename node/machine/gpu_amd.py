"""AMD's cards, through amd-smi or, where that is not installed, rocm-smi."""

from __future__ import annotations

from typing import Any

from node.machine.gpu import Gpu, GpuReading
from node.machine.tool import TIMEOUT_S, Tool, ToolFailed

_UNIT_BYTES = {"B": 1, "KB": 2**10, "MB": 2**20, "GB": 2**30}


class AmdGpus:
    """See `node.machine.gpu.GpuSource`. ``path`` is searched for the tools in place of PATH."""

    def __init__(self, path: str | None = None, timeout_s: float = TIMEOUT_S) -> None:
        self._amd_smi = Tool("amd-smi", path, timeout_s)
        self._rocm_smi = Tool("rocm-smi", path, timeout_s)
        self._names: dict[int, str] | None = None

    def read(self) -> GpuReading:
        """See `node.machine.gpu.GpuSource.read`."""
        notes: list[str] = []
        for tool, ask in ((self._amd_smi, self._ask_amd_smi), (self._rocm_smi, self._ask_rocm_smi)):
            if not tool.is_there:
                continue
            try:
                return GpuReading(ask(), tuple(notes))
            except ToolFailed as error:
                notes.append(f"AMD's cards cannot be read: {error}")
        return GpuReading(notes=tuple(notes))

    def close(self) -> None:
        """See `node.machine.gpu.GpuSource.close`; there is nothing to let go of."""

    def _ask_amd_smi(self) -> tuple[Gpu, ...]:
        if self._names is None:
            cards = _cards(self._amd_smi.ask("static", "--asic", "--json"))
            self._names = {index: _name(_at(card, "asic", "market_name")) for index, card in enumerate(cards)}
        cards = _cards(self._amd_smi.ask("metric", "--usage", "--mem-usage", "--json"))
        return tuple(
            Gpu(
                self._names.get(index, _name(None)),
                _amd_bytes(_at(card, "mem_usage", "total_vram")),
                _amd_bytes(_at(card, "mem_usage", "used_vram")),
                _ratio(_value(_at(card, "usage", "gfx_activity"))),
            )
            for index, card in enumerate(cards)
        )

    def _ask_rocm_smi(self) -> tuple[Gpu, ...]:
        said = self._rocm_smi.ask("--showproductname", "--showmeminfo", "vram", "--showuse", "--json")
        if not isinstance(said, dict):
            raise ToolFailed("rocm-smi printed no object")
        found = []
        for key, card in said.items():
            if not (key.startswith("card") and isinstance(card, dict)):
                continue
            # The spelling of its keys differs between releases: "Card series", "Card Series".
            told = {name.lower(): value for name, value in card.items()}
            found.append(
                Gpu(
                    _name(told.get("card series") or told.get("device name") or told.get("card model")),
                    _whole(told.get("vram total memory (b)")),
                    _whole(told.get("vram total used memory (b)")),
                    _ratio(told.get("gpu use (%)")),
                )
            )
        return tuple(found)


def _cards(said: Any) -> list[Any]:
    """The list of cards: bare in older releases, under ``gpu_data`` in newer ones."""
    cards = said.get("gpu_data") if isinstance(said, dict) else said
    if not isinstance(cards, list):
        raise ToolFailed("amd-smi printed no list of cards")
    return cards


def _at(value: Any, *keys: str) -> Any:
    for key in keys:
        value = value.get(key) if isinstance(value, dict) else None
    return value


def _value(told: Any) -> Any:
    """A figure: bare, or as an object of value and unit."""
    return told.get("value") if isinstance(told, dict) else told


def _amd_bytes(told: Any) -> int | None:
    unit = told.get("unit") if isinstance(told, dict) else None
    number = _whole(_value(told))
    return None if number is None else number * _UNIT_BYTES.get(str(unit or "MB").upper(), 2**20)


def _name(told: Any) -> str:
    name = told.strip() if isinstance(told, str) else ""
    if name.upper() in {"", "N/A"}:
        return "AMD GPU"
    return name if name.upper().startswith(("AMD", "ADVANCED MICRO")) else f"AMD {name}"


def _whole(told: Any) -> int | None:
    number = _number(told)
    return None if number is None else int(number)


def _ratio(told: Any) -> float | None:
    number = _number(told)
    return None if number is None else number / 100


def _number(told: Any) -> float | None:
    """A number that is not negative, or a text of one; None for all else, such as "N/A"."""
    if isinstance(told, bool) or not isinstance(told, int | float | str):
        return None
    try:
        number = float(told)
    except ValueError:
        return None
    return number if 0 <= number < float("inf") else None
