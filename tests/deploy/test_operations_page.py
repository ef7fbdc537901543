"""docs/operations.md is complete and true."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator

import pytest
import yaml

from node.cli.exit_codes import ExitCode
from tests.deploy.exposition import families, full_metrics
from tests.deploy.test_prometheus import RULES
from tests.deploy.tools import DEPLOY, ROOT

PAGE = (ROOT / "docs/operations.md").read_text()

WRITTEN_BY_OPERATORS = {"deploy/.env", "deploy/compose.amd.yaml", "deploy/compose.cpu.yaml", "deploy/secrets/nodes.csv"}


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
    load_tests = {ExitCode.THRESHOLDS, ExitCode.AUDIT, ExitCode.VOID, ExitCode.STOPPED}
    other_commands = {ExitCode.JOB_FAILED, ExitCode.UNFIT, *load_tests}
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
    paths = set(re.findall(r"(?<![\w/.-])((?:deploy|config|tests)/[\w./-]*\w)", PAGE))
    assert len(paths) > 15
    assert {path for path in paths if not (ROOT / path).exists()} == WRITTEN_BY_OPERATORS
    named = set(re.findall(r"`(llm_node_\w+[a-z])`", PAGE))
    assert named <= families().keys()


@pytest.mark.parametrize(
    ("label", "metric"),
    [("reason", "llm_node_held"), ("check", "llm_node_check"), ("phase", "llm_node_job_phase_seconds")],
)
def test_the_values_of_a_label_are_all_told(label: str, metric: str) -> None:
    told = " ".join(PAGE.split()).partition(f"`{label}` ")[2]
    values = families()[metric].values[label]
    assert values
    assert {value for value in values if value not in re.split("[.;]", told)[0]} == set()


def test_the_alerts_can_be_given_to_the_operator_of_prometheus() -> None:
    (command,) = re.findall(r"^\$ (\(printf .*\)) \| kubectl apply -n llm-node -f -$", PAGE, re.MULTILINE)
    made = yaml.safe_load(
        subprocess.run(["/bin/sh", "-c", command], cwd=ROOT, capture_output=True, check=True, text=True).stdout
    )
    assert made["kind"] == "PrometheusRule"
    assert made["spec"] == yaml.safe_load((DEPLOY / "prometheus/alerts.yaml").read_text())
