"""The list of mutants that live on with reason: ``survivors.toml``, where each has a sentence that says why."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.mutation.running import SURVIVED, Mutant

LIST: Final = Path(__file__).with_name("survivors.toml")


@dataclass(frozen=True)
class Explained:
    """A mutant that no test can tell from the program, or need not, and why."""

    function: str
    removed: str
    added: str
    reason: str

    @property
    def change(self) -> tuple[str, str, str]:
        return self.function, self.removed, self.added


def read_survivors(path: Path = LIST) -> list[Explained]:
    """The list.

    Raises:
        ValueError: an entry lacks its reason, or is there twice.
    """
    rows = tomllib.loads(path.read_text(encoding="utf-8")).get("survivor", [])
    listed = [Explained(row["function"], row["removed"], row["added"], row.get("reason", "")) for row in rows]
    for entry in listed:
        if not entry.reason.strip():
            raise ValueError(f"{entry.function}: no reason is given for {entry.added!r}")
    if len({entry.change for entry in listed}) < len(listed):
        raise ValueError("a survivor is listed twice")
    return listed


def unexplained(mutants: Iterable[Mutant], listed: Sequence[Explained]) -> list[Mutant]:
    """The survivors that are not on the list."""
    known = {entry.change for entry in listed}
    return [mutant for mutant in mutants if mutant.fate == SURVIVED and mutant.change not in known]


def outdated(mutants: Sequence[Mutant], listed: Sequence[Explained]) -> list[Explained]:
    """The entries of mutated modules that no survivor stands behind: the code has changed, or a test kills it."""
    modules = {mutant.module for mutant in mutants}
    alive = {mutant.change for mutant in mutants if mutant.fate == SURVIVED}
    return [entry for entry in listed if _module(entry.function, modules) and entry.change not in alive]


def _module(function: str, modules: Iterable[str]) -> bool:
    return any(function.startswith(f"{module}.") for module in modules)


def as_toml(mutant: Mutant) -> str:
    """A survivor as an entry for the list, its reason to be filled in."""
    return (
        "[[survivor]]\n"
        f"function = {_quoted(mutant.function)}\n"
        f"removed = {_quoted(mutant.removed)}\n"
        f"added = {_quoted(mutant.added)}\n"
        'reason = ""\n'
    )


def _quoted(text: str) -> str:
    if "'" not in text and "\n" not in text:
        return f"'{text}'"
    if "'''" not in text:
        return f"'''\n{text}'''"
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"'
