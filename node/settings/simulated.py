"""Rosters of simulated nodes. Their identities are made up: no real gateway knows them, none is meant to."""

from __future__ import annotations

import csv
import io
import random
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from node.domain.errors import InputFault, InvalidInput
from node.settings.roster_rows import COLUMNS
from node.settings.text_file import write_new

NODES: Final = 20
ACCOUNTS: Final = 5
MODELS: Final = ("llama3.1:latest", "gemma2:2b", "qwen2.5:7b")
"""The models of the prompt files that come with the program."""


class _Machine(NamedTuple):
    gpu: str
    vram_mb: int
    ram_mb: Sequence[int]
    cpu_cores: Sequence[int]


_MACHINES: Final = (
    _Machine("NVIDIA GeForce RTX 3060", 12_288, (16_384, 32_768), (8, 12)),
    _Machine("NVIDIA GeForce RTX 3090", 24_576, (32_768, 65_536), (12, 16)),
    _Machine("NVIDIA GeForce RTX 4070", 12_288, (32_768,), (12, 16)),
    _Machine("NVIDIA GeForce RTX 4090", 24_576, (65_536, 131_072), (16, 24, 32)),
    _Machine("NVIDIA RTX A5000", 24_576, (65_536, 131_072), (24, 32)),
    _Machine("NVIDIA A100 80GB PCIe", 81_920, (262_144, 524_288), (48, 64)),
)
_SYSTEMS: Final = ("Ubuntu 22.04", "Ubuntu 24.04", "Debian 12", "Fedora 42")


def roster_text(nodes: int = NODES, *, seed: int = 0, accounts: int = ACCOUNTS, models: Sequence[str] = MODELS) -> str:
    """A roster of this many nodes, spread evenly over the accounts; the same for the same arguments.

    Every node offers the first model, and each of the others with a chance of three in five.

    Raises:
        ValueError: there is not at least one node, account and model, or a model's name holds ``|`` or is empty.
    """
    if nodes < 1 or accounts < 1 or not models:
        raise ValueError("a roster needs at least one node, one account and one model")
    if any(not name.strip() or "|" in name for name in models):
        raise ValueError("a model's name is not empty and holds no |")
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows(_rows(nodes, random.Random(seed), accounts, models))
    return text.getvalue()


def write_roster(
    path: Path,
    nodes: int = NODES,
    *,
    seed: int = 0,
    accounts: int = ACCOUNTS,
    models: Sequence[str] = MODELS,
    overwrite: bool = False,
) -> None:
    """Write `roster_text` to a new file.

    Raises:
        InvalidInput: the file is there already and ``overwrite`` is not set, it cannot be written, or the
            numbers make no roster.
    """
    try:
        text = roster_text(nodes, seed=seed, accounts=accounts, models=models)
    except ValueError as error:
        raise InvalidInput([InputFault("roster", str(error), "give larger numbers and plain names")]) from error
    write_new(path, text, overwrite=overwrite)


def _rows(nodes: int, chance: random.Random, accounts: int, models: Sequence[str]) -> Iterator[list[object]]:
    digits = max(3, len(str(nodes)))
    for number in range(1, nodes + 1):
        node = f"sim-node-{number:0{digits}d}"
        machine = chance.choice(_MACHINES)
        offered = [name for place, name in enumerate(models) if place == 0 or chance.random() < 0.6]
        yield [
            node,
            f"sim-secret-{chance.getrandbits(64):016x}",
            f"sim-account-{(number - 1) % accounts + 1:02d}",
            f"sim-public-key-{chance.getrandbits(64):016x}",
            "sim-private-key-never-read",
            "",
            "|".join(offered),
            chance.choice(machine.ram_mb),
            chance.choice(machine.cpu_cores),
            machine.vram_mb,
            machine.gpu,
            chance.choice(_SYSTEMS),
        ]
