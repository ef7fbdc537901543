"""What ``--report`` and ``--push-metrics`` do with an outcome."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from node.cli.loadtest.reports import ReportOptions
from node.domain.errors import InvalidInput
from node.domain.secret import Secret
from node.loadtest.report.environment import environment
from node.loadtest.report.folder import SIGNATURES
from tests.unit.loadtest.report.outcomes import broken
from tests.unit.loadtest.report.pushgateways import pushgateway


def delivered(options: ReportOptions) -> list[str]:
    said: list[str] = []
    options.opened(ca_file=None, trust_env=False).deliver(broken(), str, said.append)
    return said


def test_nothing_asked_nothing_done() -> None:
    assert delivered(ReportOptions()) == []


def test_the_report_is_written_and_named(tmp_path: Path) -> None:
    said = delivered(ReportOptions(tmp_path / "out"))
    assert {path.name for path in (tmp_path / "out").iterdir()} == set(SIGNATURES)
    assert said == [f"The report is {tmp_path / 'out/report.html'}; the files for machines are beside it."]


def test_metrics_are_pushed() -> None:
    with pushgateway() as there:
        said = delivered(ReportOptions(push_url=Secret(there.url.replace("//", "//user:hunter22@"))))
    assert said == [f"The metrics were pushed to {there.url}."]
    assert len(there.pushed) == 1


def test_a_push_that_fails_is_a_warning_and_a_note(tmp_path: Path) -> None:
    said = delivered(ReportOptions(tmp_path, Secret("http://user:hunter22@127.0.0.1:1")))
    assert said[0].startswith("Warning: the metrics were not pushed: http://127.0.0.1:1: ")
    document = json.loads((tmp_path / "report.json").read_text())
    assert document["notes"][-1].startswith("the metrics were not pushed")
    assert document["verdict"] == "broken"
    assert "the metrics were not pushed" in (tmp_path / "report.html").read_text()
    assert not [path for path in tmp_path.iterdir() if "hunter22" in path.read_text()]


def test_all_is_looked_at_before_the_folder_is_made(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="--push-metrics"):
        ReportOptions(tmp_path / "out", Secret("nowhere")).opened(ca_file=None, trust_env=False)
    assert not (tmp_path / "out").exists()


def test_the_machine_is_described(tmp_path: Path) -> None:
    found = environment()
    assert list(found) == ["program", "python", "system", "processor", "memory"]
    assert all(found.values())
    info = tmp_path / "cpuinfo"
    info.write_text("flags : x\nmodel name\t: A fast one\nmodel name\t: A fast one\n")
    assert environment(info)["processor"].endswith(" × A fast one")
    assert environment(tmp_path / "missing")["processor"]
