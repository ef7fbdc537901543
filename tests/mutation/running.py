"""A run of mutmut on a copy of the program."""

from __future__ import annotations

import difflib
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.mutation.targets import Target

ROOT: Final = Path(__file__).parents[2]
_COPIED: Final = ("config", "node", "tests", "main.py", "setup.cfg")

KILLED: Final = "killed"
SURVIVED: Final = "survived"
TIMED_OUT: Final = "timeout"

UNTRIED: Final = "untried"

_UNREACHABLE: Final = (r"assert_never\(",)
"""Lines that mypy holds to be out of reach."""

_NAME: Final = re.compile(r"(?<=def )\w+")

_BY_EXIT_CODE: Final = {
    **dict.fromkeys((0, 5, 33), SURVIVED),
    **dict.fromkeys((24, 36, 152, 255, -24), TIMED_OUT),
}
"""Those of pytest and mutmut: 5 and 33 tell that no test runs the code. All others are deaths of some kind."""


@dataclass(frozen=True)
class Mutant:
    """One change to one function, and what the tests made of it."""

    target: str
    module: str
    function: str
    removed: str
    added: str
    fate: str

    @property
    def change(self) -> tuple[str, str, str]:
        """What it is known by from one run to the next: a number would shift with every edit."""
        return self.function, self.removed, self.added


class MutationFailed(Exception):
    """mutmut came to no result; the message is the end of its output."""


def run_target(target: Target, folder: Path, children: int) -> list[Mutant]:
    """Mutate a target in a copy of the program below ``folder``, and tell what became of each mutant.

    Raises:
        MutationFailed: the tests fail without a mutation, or mutmut does.
    """
    for name in _COPIED:
        _copy(ROOT / name, folder / name)
    with (folder / "setup.cfg").open("a", encoding="utf-8") as file:
        file.write(_configuration(target))
    command = [sys.executable, "-m", "mutmut", "run", "--max-children", str(children)]
    log = folder / "mutmut.log"
    with log.open("w", encoding="utf-8") as out:
        ended = subprocess.run(command, cwd=folder, stdout=out, stderr=subprocess.STDOUT, check=False)
    mutants = list(_mutants(target, folder))
    if ended.returncode or not mutants:
        text = log.read_text(encoding="utf-8", errors="replace")[-3000:]
        raise MutationFailed(f"{text}\nmutmut ended with {ended.returncode}")
    return mutants


def _copy(source: Path, destination: Path) -> None:
    if source.is_dir():
        shutil.copytree(source, destination, ignore=shutil.ignore_patterns("__pycache__"))
    else:
        shutil.copy(source, destination)


def _configuration(target: Target) -> str:
    # A test that waits for ever is ended by its own limit: mutmut's is some multiple of the time of all tests.
    arguments = [
        "-p",
        "no:cacheprovider",
        "-p",
        "no:xdist",
        "--timeout=15",
        *(f"--deselect={test}" for test in target.without),
    ]
    lists = {
        "source_paths": ["node"],
        "only_mutate": target.modules,
        "do_not_mutate_patterns": _UNREACHABLE,
        "pytest_add_cli_args": arguments,
        "pytest_add_cli_args_test_selection": target.tests,
    }
    texts = (f"{name} =\n" + "".join(f"    {value}\n" for value in values) for name, values in lists.items())
    return (
        f"\n[mutmut]\ntimeout_multiplier = 4\ntimeout_constant = 5\nuse_git_change_detection = false\n{''.join(texts)}"
    )


def _mutants(target: Target, folder: Path) -> Iterator[Mutant]:
    """Read what mutmut leaves beside each mutated module: exit codes, and the lines of each version of a function."""
    for module in target.modules:
        mutated = folder / "mutants" / module
        if not (meta := mutated.with_name(f"{mutated.name}.meta")).is_file():
            continue
        codes: dict[str, int | None] = json.loads(meta.read_text(encoding="utf-8"))["exit_code_by_key"]
        spans = json.loads(mutated.with_name(f"{mutated.name}.spans").read_text(encoding="utf-8"))["spans"]
        lines = mutated.read_text(encoding="utf-8").splitlines()
        versions = {name: lines[first - 1 : last] for name, (first, last) in spans.items()}
        for key, code in codes.items():
            package, _, name = key.rpartition(".")
            original = f"{name.rpartition('__mutmut_')[0]}__mutmut_orig"
            removed, added = _difference(versions[original], versions[name])
            yield Mutant(target.name, package, f"{package}.{_readable(name)}", removed, added, _fate(code))


def _fate(code: int | None) -> str:
    return UNTRIED if code is None else _BY_EXIT_CODE.get(code, KILLED)


def _readable(name: str) -> str:
    """``xǁLaneǁwidth__mutmut_3`` is a change of ``Lane.width``, ``x_load__mutmut_1`` one of ``load``."""
    function = name.rpartition("__mutmut_")[0]
    return function.removeprefix("xǁ").replace("ǁ", ".") if "ǁ" in function else function.removeprefix("x_")


def _difference(original: list[str], mutated: list[str]) -> tuple[str, str]:
    """The lines that a mutation takes out, and those it puts in."""
    changes = list(difflib.ndiff(_anonymous(original), _anonymous(mutated)))
    removed = "\n".join(line[2:].strip() for line in changes if line.startswith("- "))
    added = "\n".join(line[2:].strip() for line in changes if line.startswith("+ "))
    return removed, added


def _anonymous(version: list[str]) -> list[str]:
    """The lines of a version of a function, all of whose names are the same."""
    return [_NAME.sub("", line) for line in version]
