"""What the doctor prints: for people, whatever their screen's width, for files, and for programs."""

from __future__ import annotations

import io
import json

import pytest
from rich.console import Console

from node.app.doctor.findings import Finding, failed, passed, warned
from node.cli.doctor import Report

ADDRESS = "https://a-very-long-name-of-a-gateway.in-some.example.test/with/a/path"
FINDINGS = (
    passed("config", "the settings can be used"),
    warned("hardware", "2 cores [no GPU was found]", "install its driver"),
    failed("gateway", f"{ADDRESS} cannot be used: no whole reply in 9 s", "check the network and firewalls"),
)


def printed(console: Console, findings: tuple[Finding, ...] = FINDINGS, *, as_json: bool = False) -> str:
    report = Report(None if as_json else console)
    for finding in findings:
        report.add(finding)
    report.close(console)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


@pytest.mark.parametrize("width", [40, 60, 200])
def test_on_a_screen_nothing_is_cut_off_and_columns_stay(width: int) -> None:
    text = printed(Console(file=io.StringIO(), force_terminal=True, color_system=None, width=width))
    lines = text.splitlines()
    assert max(map(len, lines)) <= width
    assert [line[:4] for line in lines[:-1] if line[:4].strip()][:3] == ["pass", "warn", "fail"]
    told = "".join(line[16:].rstrip() for line in lines)
    assert ADDRESS in told
    assert "[no GPU" in text


def test_in_a_file_each_finding_is_one_line_that_can_be_searched() -> None:
    lines = printed(Console(file=io.StringIO(), width=60)).splitlines()
    assert lines[0] == "pass  config    the settings can be used"
    assert lines[1:3] == ["warn  hardware  2 cores [no GPU was found]", f"{'':16}install its driver"]
    assert lines[3] == f"fail  gateway   {ADDRESS} cannot be used: no whole reply in 9 s"
    assert lines[-1] == "1 pass, 1 warn, 1 fail: a node cannot work here yet."


def test_a_warning_alone_keeps_no_node_from_working() -> None:
    text = printed(Console(file=io.StringIO()), FINDINGS[:2])
    assert text.endswith("1 pass, 1 warn, 0 fail: a node can work here.\n")


def test_for_programs_it_is_json_and_nothing_else() -> None:
    document = json.loads(printed(Console(file=io.StringIO(), width=40), as_json=True))
    assert [check["status"] for check in document["checks"]] == ["pass", "warn", "fail"]
    assert document["checks"][1]["remedy"] == "install its driver"
