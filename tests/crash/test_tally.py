"""Counts are told, written and added up; the exit code tells whether all is well."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.crash.__main__ import main
from tests.crash.audit import Breach, Kind
from tests.crash.tally import Tally, read_tally


def report(path: Path, seed: str, *breaches: Breach, command: str = "kills") -> str:
    tally = Tally(command, seeds=[seed], wall_s=2.0)
    tally.counts["kills"] = 100
    tally.found("round 1", breaches)
    tally.write(path)
    return str(path)


def test_reports_add_up(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    total = tmp_path / "sum"
    assert main(["add", report(tmp_path / "a", "1"), report(tmp_path / "b", "2"), "--report", str(total)]) == 0
    last = capsys.readouterr().out.splitlines()[-1]
    assert last.startswith("kills: kills 200, results finished 0, lost 0, doubled 0, ")
    assert last.endswith("; 4 s, seeds 1 to 2")
    assert read_tally(total).counts["kills"] == 200


def test_anything_wrong_ends_with_1_and_is_counted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    reports = [report(tmp_path / "a", "1", Breach(Kind.LOST, "n/1"), Breach(Kind.LATE, "slow"))]
    assert main(["add", *reports]) == 1
    assert "lost 1, doubled 0" in (last := capsys.readouterr().out)
    assert ", late 1;" in last


@pytest.mark.parametrize("second", [("1", "kills"), ("2", "drains")])
def test_what_cannot_be_added_is_refused(tmp_path: Path, second: tuple[str, str]) -> None:
    seed, command = second
    reports = [report(tmp_path / "a", "1"), report(tmp_path / "b", seed, command=command)]
    assert main(["add", *reports]) == 2


@pytest.mark.parametrize("arguments", [[], ["kills", "--kills", "0"], ["drains", "--plant", "x"], ["add", "nothing"]])
def test_wrong_usage_ends_with_2(arguments: list[str]) -> None:
    try:
        code: object = main(arguments)
    except SystemExit as ending:
        code = ending.code
    assert code == 2
