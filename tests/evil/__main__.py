"""The long runs: ``python -m tests.evil --help``."""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from tests.contract.transport.conftest import TRANSPORTS
from tests.evil.fuzz import Progress, fuzz
from tests.evil.parts import MIB
from tests.evil.whole import play_all


def _fuzz(asked: argparse.Namespace) -> int:
    numbers = (
        range(asked.first, asked.first + asked.replies) if asked.only is None else range(asked.only, asked.only + 1)
    )
    print(f"seed {asked.seed}, replies {numbers.start} to {numbers.stop - 1}", file=sys.stderr)
    progress = Progress(len(numbers), sys.stderr.write)
    tally = asyncio.run(fuzz(asked.seed, numbers, TRANSPORTS[asked.transport], progress))
    if asked.report:
        report = {"seed": asked.seed, "first": numbers.start, "replies": len(numbers), **tally.report()}
        asked.report.write_text(json.dumps(report, indent=1))
    for number, failure in sorted(tally.failures.items())[:20]:
        print(f"{failure}\n  again: python -m tests.evil fuzz --seed {asked.seed} --only {number}", file=sys.stderr)
    print(f"seed {asked.seed}: {tally.line()}")
    return 1 if tally.failed else 0


def _table(asked: argparse.Namespace) -> int:
    whole = asyncio.run(play_all(TRANSPORTS[asked.transport], asked.limit * MIB, sys.stderr.write))
    for violation in whole.violations[:50]:
        print(violation, file=sys.stderr)
    if asked.report:
        asked.report.write_text(json.dumps(vars(whole), indent=1))
    print(whole.line())
    return 1 if whole.violations else 0


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tests.evil",
        description="An evil gateway, at length. Exit code 1: something was not as it must be.",
    )
    commands = parser.add_subparsers(required=True)
    told = (
        "Draw replies from a seed, the most given to the client's steps as values, one in twenty sent as bytes over "
        "sockets. Split runs take the same seed and other numbers (--first); their reports are added up by adding "
        "their numbers and uniting their outcomes."
    )
    command = commands.add_parser("fuzz", help="draw many replies from a seed", description=told)
    command.add_argument(
        "--replies", type=_positive, default=100_000, metavar="N", help="how many (default %(default)s)"
    )
    command.add_argument(
        "--seed", type=int, default=1, metavar="S", help="what they are drawn from (default %(default)s)"
    )
    command.add_argument(
        "--first", type=int, default=0, metavar="I", help="the number of the first (default %(default)s)"
    )
    command.add_argument("--only", type=int, metavar="I", help="this one alone, as a failure names it")
    command.add_argument("--transport", choices=TRANSPORTS, default="httpx", help="what reads from the sockets")
    command.add_argument("--report", type=Path, metavar="FILE", help="write the counts and outcomes as JSON")
    command.set_defaults(run=_fuzz)
    told = (
        "Play every case of the table at every step: for a client alone, for a fleet in which every node meets one "
        "and must work again, and in a process whose memory is measured. Takes some minutes."
    )
    command = commands.add_parser("table", help="play every case at every step", description=told)
    command.add_argument(
        "--limit", type=_positive, default=32, metavar="MIB", help="of a reply, for memory (default %(default)s)"
    )
    command.add_argument("--transport", choices=TRANSPORTS, default="httpx", help="what is tried")
    command.add_argument("--report", type=Path, metavar="FILE", help="write the counts and violations as JSON")
    command.set_defaults(run=_table)
    asked = parser.parse_args(arguments)
    code: int = asked.run(asked)
    return code


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("one is the least")
    return number


if __name__ == "__main__":
    sys.exit(main())
