"""docs/operations.md is complete and true."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from node.cli.exit_codes import ExitCode
from tests.deploy.exposition import families, full_metrics
from tests.deploy.test_prometheus import RULES
from tests.deploy.tools import DEPLOY, ROOT

PAGE = (ROOT / "docs/operations.md").read_text()


def rows(head: str) -> Iterator[list[str]]:
    """The cells of the table whose head begins so, without the head."""
    lines = iter(PAGE.splitlines())
    for line in lines:
        if line.startswith(f"| {head} |"):
            break
    next(lines)
    for line in lines:
        if not line.startswith("|"):
            return
        yield [cell.strip() for cell in line.strip("|").split("|")]


def test_the_metrics_are_those_of_the_exposition() -> None:
    told = {name: [kind, labels, about] for name, kind, labels, about in rows("metric")}
    assert told == {
        f"`{family.name}`": [family.kind, ", ".join(sorted(family.labels)) or "–", family.about]
        for family in families().values()
    }


def test_what_is_told_is_what_is_exposed() -> None:
    exposed = set(re.findall(r"^# TYPE (\w+) ", full_metrics().exposition().decode(), re.MULTILINE))
    named = {family.name for family in families().values()}
    assert {name for name in exposed if not name.endswith("_created")} == named


def test_the_exit_codes_are_those_of_the_program() -> None:
    told = [(int(code), name) for code, name, *_ in rows("code")]
    assert told == [(code.value, code.name) for code in ExitCode]


def test_codes_that_no_restart_cures_are_those_of_the_unit() -> None:
    unit = re.search(r"^RestartPreventExitStatus=(.*)$", (DEPLOY / "llm-node.service").read_text(), re.MULTILINE)
    assert unit
    other_commands = {ExitCode.JOB_FAILED, ExitCode.UNFIT}
    hopeless = {int(code) for code, _, helps, _ in rows("code") if helps == "no"} - other_commands
    assert hopeless == {int(code) for code in unit[1].split()}


def test_each_alert_has_its_runbook() -> None:
    alerts = PAGE.partition("\n## Alerts\n")[2].partition("\n## ")[0]
    sections = re.findall(r"^### (\w+)\n\n(.+)", alerts, re.MULTILINE)
    assert [name for name, _ in sections] == list(RULES)


@pytest.mark.parametrize("target", sorted(set(re.findall(r"\]\(([^)]+)\)", PAGE))))
def test_links_lead_somewhere(target: str) -> None:
    file, _, anchor = target.partition("#")
    text = PAGE if not file else (ROOT / "docs" / file).read_text()
    anchors = {
        re.sub(r"[^\w -]", "", head.lower()).replace(" ", "-") for head in re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    }
    assert not anchor or anchor in anchors


def test_files_and_metrics_that_are_named_exist() -> None:
    assert all((ROOT / path).exists() for path in re.findall(r"`((?:deploy|config|tests)/[\w./-]*)`", PAGE))
    named = set(re.findall(r"`(llm_node_\w+[a-z])`", PAGE))
    assert named <= families().keys()


def test_the_checks_and_reasons_are_all_told() -> None:
    text = " ".join(PAGE.split())
    for reason in families()["llm_node_held"].values["reason"]:
        assert reason in text.partition("`reason` ")[2].partition(".")[0]
