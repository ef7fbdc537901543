"""Mutation testing: ``python -m tests.mutation --help``."""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Final

from tests.mutation.running import KILLED, SURVIVED, TIMED_OUT, Mutant, MutationFailed, run_target
from tests.mutation.survivors import LIST, as_toml, outdated, read_survivors, unexplained
from tests.mutation.targets import TARGETS, Target

LEAST: Final = 90.0
"""Per cent of the mutants that must be noticed."""


def main(arguments: Sequence[str]) -> int:
    """0: the score is high enough; 1: it is not; 2: wrong usage, or the tests fail as they stand."""
    options = _parser().parse_args(arguments)
    mutants: list[Mutant] = []
    for report in options.add:
        mutants += [Mutant(**row) for row in json.loads(report.read_text(encoding="utf-8"))]
    chosen = [] if options.add and not options.target else _chosen(options.target)
    for target in chosen:
        began = time.monotonic()
        sys.stderr.write(f"{target.name}: {', '.join(target.modules)}\n")
        try:
            with tempfile.TemporaryDirectory(prefix="mutation-") as folder:
                found = run_target(target, Path(folder), options.children)
        except MutationFailed as error:
            sys.stderr.write(f"{error}\n")
            return 2
        mutants += found
        if options.report:
            options.report.write_text(json.dumps([asdict(mutant) for mutant in mutants], indent=1), encoding="utf-8")
        sys.stderr.write(f"{target.name}: {_line(found)} ({time.monotonic() - began:.0f} s)\n")
    _tell_survivors(mutants)
    sys.stdout.write(f"{_line(mutants)}\n")
    return 0 if _score(mutants) >= LEAST else 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m tests.mutation",
        description="Changes the program at one place after the other, on a copy, and sees whether a test fails."
        f" Exit code 1 when less than {LEAST:g} % of the changes are noticed (killed, or ended by their time)."
        f" Survivors that have a reason are listed in {LIST.name}; the others are printed, ready for that list.",
        epilog="A run can be split: --target outbox --report a.json, then the rest with --report b.json;"
        " --add a.json b.json adds them up.",
    )
    names = ", ".join(target.name for target in TARGETS)
    parser.add_argument("--target", nargs="+", default=[], metavar="NAME", help=f"only these of: {names}")
    parser.add_argument("--children", type=int, default=2, help="mutants tested at the same time (default: 2)")
    parser.add_argument("--report", type=Path, metavar="FILE", help="write every mutant and its fate there, as JSON")
    parser.add_argument("--add", nargs="+", default=[], type=Path, metavar="FILE", help="add up reports of split runs")
    return parser


def _chosen(names: Sequence[str]) -> list[Target]:
    known = {target.name: target for target in TARGETS}
    if wrong := set(names) - known.keys():
        _parser().error(f"no target is called {', '.join(sorted(wrong))}")
    return [known[name] for name in names] if names else list(TARGETS)


def _tell_survivors(mutants: Sequence[Mutant]) -> None:
    listed = read_survivors()
    for mutant in unexplained(mutants, listed):
        sys.stdout.write(f"{as_toml(mutant)}\n")
    for entry in outdated(mutants, listed):
        sys.stdout.write(f"{LIST.name}: no longer a survivor: {entry.function}: {entry.added}\n")


def _score(mutants: Sequence[Mutant]) -> float:
    fates = Counter(mutant.fate for mutant in mutants)
    return 100 * (fates[KILLED] + fates[TIMED_OUT]) / max(1, len(mutants))


def _line(mutants: Sequence[Mutant]) -> str:
    fates = Counter(mutant.fate for mutant in mutants)
    return (
        f"{len(mutants)} mutants, {fates[KILLED]} killed, {fates[SURVIVED]} survived, {fates[TIMED_OUT]} timeout,"
        f" score {_score(mutants):.1f} %"
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
