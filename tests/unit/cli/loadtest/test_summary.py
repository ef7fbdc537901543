"""The closing words of a load test, at any width."""

from __future__ import annotations

import io
from dataclasses import replace

import pytest
from rich.console import Console

from node.cli.loadtest.summary import summary
from node.loadtest.driver.outcome import LoadOutcome
from node.loadtest.figures.figures import Figures
from tests.unit.loadtest.report.outcomes import broken, failing, idle


def told(outcome: LoadOutcome, width: int) -> str:
    file = io.StringIO()
    console = Console(file=file, width=width)
    for part in summary(outcome):
        console.print(part)
    return file.getvalue()


@pytest.mark.parametrize("width", [30, 40, 60, 64, 80, 200])
def test_no_figure_is_cut_off_however_narrow_the_terminal_is(width: int) -> None:
    text = " ".join(told(broken(), width).split())
    assert "…" not in text
    for shown in ("register", "524.0 ms", "908.8 ms", "3.55 s", "3.62 s", "1.25 s"):
        assert shown in text


def test_failures_of_other_steps_are_told_as_such() -> None:
    figures = Figures()
    figures.errors.count("points", "HTTP 500")
    text = told(replace(broken(), figures=figures), 80)
    assert (
        "Failed: none of register, poll, result, submit\nErrors met, those of attempts that were made again included:\n  1 × points"
        in text
    )


def test_failures_have_their_own_times() -> None:
    text = told(failing(), 120)
    assert "submit, failed" in text
    assert "poll, failed" not in text


def test_where_there_was_no_job_there_is_nothing_to_audit() -> None:
    text = told(idle(), 120)
    assert "Audit: nothing to audit\n" in text
    assert "none lost" not in text
    assert "clean" not in text
