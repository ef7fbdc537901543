"""All figures of the program, beside those of its peers, in one run: see docs/performance.md.

Exit codes: 0 when all was measured that can be here, 1 with --strict when a goal is missed or not measured, 2 when
nothing can be measured here, 130 when it was interrupted.
"""

from __future__ import annotations

import argparse
import itertools
import json
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.markup import escape

from benchmarks import suite
from benchmarks.cores import two_cores
from benchmarks.figures import Figure, Unmeasurable
from benchmarks.machine import facts, load_average
from benchmarks.peers.found import find_peers
from benchmarks.report import Report, from_json, show, write_docs, write_json

_ROOT: Final = Path(__file__).resolve().parents[1]
RESULTS: Final = _ROOT / "benchmarks" / "results.json"
PAGE: Final = _ROOT / "docs" / "performance.md"
_BUSY: Final = 0.7
_OTHERS_CORES: Final = 0.1


def main(arguments: list[str] | None = None) -> int:
    """Measure, print and keep; the exit code."""
    options = _parser().parse_args(arguments)
    console = Console(stderr=True)
    if options.read is not None:
        try:
            report = from_json(json.loads(options.read.read_text()))
        except (OSError, ValueError, KeyError, TypeError) as error:
            console.print(f"{options.read}: {error}", markup=False)
            return 2
    else:
        try:
            report = _measure(options, console)
        except Unmeasurable as error:
            console.print(f"Nothing can be measured here: {error}", markup=False)
            return 2
        except KeyboardInterrupt:
            console.print("Interrupted: nothing was written.")
            return 130
        write_json(report, options.results)
    show(report, Console(width=None if sys.stdout.isatty() else 140))
    if options.write_docs:
        write_docs(report, PAGE)
    unmet = [figure for figure in report.figures if figure.kind.goal is not None and not figure.is_met]
    return 1 if options.strict and unmet else 0


def _measure(options: argparse.Namespace, console: Console) -> Report:
    two_cores()
    peers = find_peers()
    chosen = suite.parts(peers, quick=options.quick)
    names = [part.name for part in chosen]
    if unknown := set(options.only or ()) - set(names):
        raise Unmeasurable(f"no part {', '.join(sorted(unknown))}; there are {', '.join(names)}")
    if options.only:
        chosen = [part for part in chosen if part.name in options.only]
    for peer in (peers.locust, peers.autocannon, peers.wrk):
        if peer.missing:
            console.print(peer.missing, markup=False)
    if load_average() > _BUSY:
        console.print(
            f"The machine is busy (load average {load_average():g}): figures will be worse than they should be."
        )
    with console.status("", refresh_per_second=2) as status:

        def tell(text: str) -> None:
            if console.is_terminal:
                status.update(escape(text))
            elif ":" not in text:
                console.print(text, markup=False, highlight=False)

        figures, took = suite.run(chosen, tell)
    for remark in _remarks(figures, took):
        console.print(remark, markup=False, highlight=False)
    return Report(facts(peers.versions), options.quick, took, figures)


def _remarks(figures: list[Figure], took: list[suite.Took]) -> Iterator[str]:
    for part in took:
        if part.others_cores > _OTHERS_CORES:
            yield f"Others took {part.others_cores:g} cores during {part.part}: its figures are worse than they should be."
    for reason, missing in itertools.groupby(
        (each for each in figures if each.spread is None), lambda each: each.missing
    ):
        yield f"Not measured: {', '.join(figure.kind.name for figure in missing)}: {reason}"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="short runs: less than 5 minutes in all, and less sure")
    parser.add_argument("--only", action="append", metavar="PART", help="this part alone; may be repeated")
    parser.add_argument("--results", type=Path, default=RESULTS, metavar="FILE", help="where the figures are kept")
    parser.add_argument("--write-docs", action="store_true", help="put the tables into docs/performance.md")
    parser.add_argument("--read", type=Path, metavar="FILE", help="measure nothing: show figures that were kept")
    parser.add_argument("--strict", action="store_true", help="exit code 1 when a goal is missed or not measured")
    return parser


if __name__ == "__main__":
    # Ended as by Ctrl+C, so that no server stays behind.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    sys.exit(main())
