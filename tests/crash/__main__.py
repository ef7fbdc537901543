"""The long forms on the command line."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import functools
import random
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from tests.crash import drains, kills
from tests.crash.campaign import Leg, run_legs
from tests.crash.planted import BUGS
from tests.crash.tally import Tally, read_tally

_DESCRIPTION: Final = """\
Crash tests on the real program, beside a real sandbox gateway, over loopback, in processes of their own.

kills   kill -9, again and again, at random moments under load; each time the outbox is copied and read, and a new
        process takes it over. In the end the gateway's ledger is held against all that was ever finished.
drains  SIGTERM and SIGINT in every phase of a life: drain, abort at the second, exit at the third.
add     adds up the reports of runs that were split.

The last line on stdout has the counts. The exit code is 1 when anything is wrong; then folders are named that hold
what is needed to see why, and the command that runs the same leg again. A seed decides what is drawn: lives, gear,
weather, phases, signals. Where a kill strikes within them is the machine's doing, so that a leg run again strikes
nearby, not at the same instruction.
"""

_KILLS_A_LEG: Final = 100
_DRAINS_A_LEG: Final = 25
_COUNTS: Final = {
    "kills": (*kills.COUNTS, *kills.MORE_COUNTS),
    "drains": (*drains.COUNTS, *drains.MORE_COUNTS),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; its exit code: 0 all well, 1 something is wrong, 2 wrong usage, 130 interrupted."""
    options = _parser().parse_args(arguments)
    try:
        tally = _added(options.reports) if options.command == "add" else asyncio.run(_campaign(options))
    except (OSError, ValueError, KeyError) as error:
        sys.stderr.write(f"{error}\n")
        return 2
    except (KeyboardInterrupt, asyncio.CancelledError):
        sys.stderr.write("Interrupted; no process is left.\n")
        return 130
    if options.report is not None:
        tally.write(options.report)
    print(f"{tally.line(_COUNTS[tally.command])}; {tally.wall_s:.0f} s, seeds {_span(tally.seeds)}")
    return 0 if tally.is_clean else 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m tests.crash", description=_DESCRIPTION, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True)
    kill = commands.add_parser("kills", help="kill -9 under load")
    kill.add_argument("--kills", type=_positive, default=200, metavar="N", help="how many in all (default 200)")
    kill.add_argument("--workers", type=_positive, default=4, metavar="N", help="workers at a time (default 4)")
    kill.add_argument("--plant", choices=sorted(BUGS), help="run with a planted bug, to see it caught")
    drain = commands.add_parser("drains", help="drain and abort by real signals")
    drain.add_argument("--drains", type=_positive, default=500, metavar="N", help="how many in all (default 500)")
    drain.add_argument("--lanes", type=_positive, default=3, metavar="N", help="legs at a time (default 3)")
    for command in (kill, drain):
        command.add_argument("--seed", type=int, help="of the first leg; each further one adds 1 (default: drawn)")
        command.add_argument("--report", type=Path, metavar="FILE", help="write the counts as JSON")
    add = commands.add_parser("add", help="add up reports")
    add.add_argument("reports", nargs="+", type=Path, metavar="REPORT", help="reports of one and the same command")
    add.add_argument("--report", type=Path, metavar="FILE", help="write the sum as JSON")
    return parser


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("a number from 1")
    return number


async def _campaign(options: argparse.Namespace) -> Tally:
    task = asyncio.current_task()
    if task is not None:
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    seed = options.seed if options.seed is not None else random.SystemRandom().randrange(1_000_000)
    sys.stderr.write(f"seed {seed}\n")
    tally = Tally(options.command)
    is_kills = options.command == "kills"
    legs = list(_kill_legs(options, seed) if is_kills else _drain_legs(options, seed))
    await run_legs(tally, legs, at_once=1 if is_kills else options.lanes, names=_COUNTS[options.command])
    return tally


def _kill_legs(options: argparse.Namespace, seed: int) -> list[Leg]:
    legs = []
    for number, share in enumerate(_shares(options.kills, _KILLS_A_LEG)):
        plan = kills.KillPlan(kills=share, seed=str(seed + number), workers=options.workers)
        again = f"python -m tests.crash kills --kills {share} --workers {options.workers} --seed {plan.seed}"
        if options.plant:
            plan = kills.planted(plan, options.plant)
            again += f" --plant {options.plant}"
        legs.append(Leg(again, functools.partial(kills.run_kills, plan), within_s=120 + 10 * share))
    return legs


def _drain_legs(options: argparse.Namespace, seed: int) -> list[Leg]:
    legs = []
    for number, share in enumerate(_shares(options.drains, _DRAINS_A_LEG)):
        plan = drains.DrainPlan(drains=share, seed=str(seed + number))
        again = f"python -m tests.crash drains --drains {share} --seed {plan.seed}"
        legs.append(Leg(again, functools.partial(drains.run_drains, plan), within_s=120 + 40 * share))
    return legs


def _shares(total: int, most: int) -> list[int]:
    return [min(most, total - done) for done in range(0, total, most)]


def _added(reports: Sequence[Path]) -> Tally:
    first, *others = map(read_tally, reports)
    for other in others:
        if other.command != first.command:
            raise ValueError(f"reports of {first.command} and of {other.command} cannot be added")
        if set(other.seeds) & set(first.seeds):
            raise ValueError("two reports share a seed: the same leg would count twice")
        first.add(other)
    return first


def _span(seeds: Sequence[str]) -> str:
    numbers = sorted(map(int, seeds))
    return f"{numbers[0]} to {numbers[-1]}" if numbers else "none"


if __name__ == "__main__":
    with contextlib.suppress(BrokenPipeError):
        sys.exit(main())
