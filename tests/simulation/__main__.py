"""``python -m tests.simulation``: run many seeds, replay one, add up the reports of several runs."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from tests.simulation.batch import Sums, run_batch
from tests.simulation.plan import draw_plan
from tests.simulation.world import run

app = typer.Typer(add_completion=False, no_args_is_help=True, help=__doc__)


@app.command("run")
def run_seeds(
    seeds: Annotated[int, typer.Option(min=1, help="How many seeds.")] = 100,
    seed0: Annotated[int, typer.Option(help="The first of them.")] = 1,
    jobs: Annotated[int, typer.Option(min=1, help="Processes at once.")] = os.cpu_count() or 1,
    report: Annotated[Path | None, typer.Option(help="Where to write the sums as JSON, for `sum`.")] = None,
) -> None:
    """Run seeds of one virtual hour each. Exit code 1 on any violation; each is told with the seed's own command."""
    told: set[int] = set()

    def tell(sums: Sums) -> None:
        for seed in sums.failed.keys() - told:
            told.add(seed)
            tell_violations(seed, sums.failed[seed])
        if sums.seeds % 50 == 0 and sums.seeds < seeds:
            left_s = sums.took_s / sums.seeds * (seeds - sums.seeds)
            print(f"{sums.seeds} of {seeds} seeds, {sums.violations} violations, {left_s:.0f} s left", file=sys.stderr)
            if report is not None:
                report.write_text(sums.dump())

    finish(run_batch(range(seed0, seed0 + seeds), jobs, tell), report)


@app.command()
def replay(
    seed: Annotated[int, typer.Argument(help="The seed.")],
    history: Annotated[Path | None, typer.Option(help="Where to write what happened, an event a line.")] = None,
) -> None:
    """Run one seed again: the same history, byte for byte. Exit code 1 on a violation."""
    outcome = run(draw_plan(seed), keep_history=True)
    if history is not None:
        history.write_text("\n".join(outcome.history) + "\n")
    for text in outcome.violations:
        print(text)
    print(f"seed {seed}: {outcome.nodes} nodes, {outcome.steps} steps, digest {outcome.digest}")
    raise typer.Exit(bool(outcome.violations))


@app.command("sum")
def add_up(reports: Annotated[list[Path], typer.Argument(help="Reports of runs over different seeds.")]) -> None:
    """Add up the reports of several runs."""
    sums = Sums()
    for path in reports:
        sums.join(Sums.load(path.read_text()))
    for seed, texts in sums.failed.items():
        tell_violations(seed, texts)
    finish(sums, None)


def tell_violations(seed: int, texts: list[str]) -> None:
    """Say what a seed violated, and how to see it again."""
    for text in texts[:10]:
        print(f"seed {seed}: {text}", file=sys.stderr)
    print(f"seed {seed}: see it again with: python -m tests.simulation replay {seed} --history FILE", file=sys.stderr)


def finish(sums: Sums, report: Path | None) -> None:
    """Write the report, print the last line, and leave with the exit code."""
    if report is not None:
        report.write_text(sums.dump())
    print(sums.line())
    raise typer.Exit(bool(sums.failed))


if __name__ == "__main__":
    app()
