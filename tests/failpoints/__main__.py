"""The long form: many seeds, every end of every run, and the faults of the disk."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Final

from tests.failpoints.abi import Library
from tests.failpoints.campaign import crash_everywhere
from tests.failpoints.fault_sweep import fail_everywhere
from tests.failpoints.findings import Harm
from tests.failpoints.product import Product
from tests.failpoints.survey import Depth, Kind, Tally
from tests.support.virtual_time import in_virtual_time

ABOUT: Final = """\
Runs the real outbox on the real sqlite3 module, writes down every step that it takes on the disk, and opens it
again on every state that a crash or a loss of power can leave: before, in the middle of and after each step. Then
lets each call to the disk fail. Exit code 1 when a promised result was lost or anything else was wrong.

A seed is the same run each time: `python -m tests.failpoints --seeds 1 --seed0 N` repeats the one that failed.
Long runs can be split by --seed0; the numbers of their reports (--report) are added up, field by field.
"""


def main(arguments: list[str] | None = None) -> int:
    """Run what the command line asks for; the exit code."""
    options = _parser().parse_args(arguments)
    try:
        Library.of_python()
    except OSError as error:
        print(f"SQLite is not to be reached: {error}", file=sys.stderr)
        return 2
    started = time.perf_counter()
    tally = Tally()
    for seed in range(options.seed0, options.seed0 + options.seeds):
        _run_seed(seed, options, tally)
        took = time.perf_counter() - started
        print(f"seed {seed}: {_line(tally, seed - options.seed0 + 1)} ({took:.0f} s)", file=sys.stderr, flush=True)
    if options.report is not None:
        report = {"seed0": options.seed0, "seeds": options.seeds, **_numbers(tally)}
        found = [f"{where}: {finding}" for where, finding in tally.findings]
        options.report.write_text(json.dumps({**report, "findings": found}, indent=2) + "\n")
    print(_line(tally, options.seeds))
    return 1 if tally.findings else 0


def _run_seed(seed: int, options: argparse.Namespace, tally: Tally) -> None:
    depth = Depth(runs=options.runs, calls=options.calls)
    here = _in_virtual_time(lambda: crash_everywhere(seed, Product(), depth))
    if options.every:
        here.add("", _in_virtual_time(lambda: fail_everywhere(seed, Product(), every=options.every)))
    for where, finding in here.findings:
        print(f"{where}: {finding}", file=sys.stderr)
    if here.findings:
        rest = f"--runs {options.runs} --calls {options.calls} --every {options.every}"
        print(f"again: python -m tests.failpoints --seeds 1 --seed0 {seed} {rest}", file=sys.stderr)
    tally.add("", here)


def _in_virtual_time(work: Callable[[], Coroutine[None, None, Tally]]) -> Tally:
    tallies: list[Tally] = []

    async def run() -> None:
        tallies.append(await work())

    in_virtual_time(run)()
    return tallies[0]


def _numbers(tally: Tally) -> dict[str, int]:
    harms = [finding.harm for _, finding in tally.findings]
    lost, corrupt = harms.count(Harm.LOST), harms.count(Harm.CORRUPT)
    return {
        "crash_points": tally.states[Kind.CRASH],
        "power_losses": tally.states[Kind.POWER_LOSS],
        "io_faults": tally.faults,
        "acknowledged": tally.acknowledged,
        "lost": lost,
        "corrupt": corrupt,
        "otherwise_wrong": len(harms) - lost - corrupt,
    }


def _line(tally: Tally, seeds: int) -> str:
    numbers = {"seeds": seeds, **_numbers(tally)}
    return ", ".join(f"{name.replace('_', ' ')} {number}" for name, number in numbers.items())


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m tests.failpoints", description=ABOUT, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--seeds", type=_positive, default=20, metavar="N", help="how many seeds (default: %(default)s)")
    add("--seed0", type=int, default=1, metavar="M", help="the first of them (default: %(default)s)")
    add("--runs", type=_positive, default=3, help="runs of a seed, each begun on an end of the last (%(default)s)")
    add("--calls", type=_positive, default=10, help="calls to the outbox in each of a run's two sessions (%(default)s)")
    add("--every", type=int, default=10, help="let every how-manieth call to the disk fail; 0 for none (%(default)s)")
    add("--report", type=Path, metavar="FILE", help="write the numbers as JSON")
    return parser


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("must be 1 or more")
    return number


if __name__ == "__main__":
    sys.exit(main())
