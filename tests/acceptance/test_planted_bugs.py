"""The smoke test as it is shipped, against a sandbox with one bug each: it ends with 13 and says what it found."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from node.cli.exit_codes import ExitCode
from tests.acceptance.program import ROOT, run

SMOKE = str(ROOT / "config/scenarios/smoke.toml")

BUGS = {
    "lose-result=0.05": ("lost", "Submitted and worked on", "jobs.lost == 0"),
    "double-accept": ("duplicated", "The gateway took more results", "jobs.duplicated == 0"),
    "double-credit": ("double credited", "Credited more often", "jobs.double_credited == 0"),
    "double-deliver": ("double delivered", "Handed out while as many leases", "jobs.double_delivered == 0"),
    "no-redelivery": ("orphaned", "Submitted, claimed by a node that then crashed", "jobs.orphaned == 0"),
    "leak-lease": ("leaked lease", "The lease was never given back", "jobs.leaked_lease == 0"),
}
"""What each is called, how that begins to be explained, and the threshold of the plan that is missed."""

RUN_S = 120
"""A run takes some 40 s, and more on a machine that is busy."""


@pytest.mark.proof
@pytest.mark.slow
@pytest.mark.timeout(RUN_S + 10)
@pytest.mark.parametrize("bug", list(BUGS))
def test_smoke_names_the_bug(bug: str, tmp_path: Path) -> None:
    name, meaning, threshold = BUGS[bug]
    command = ("loadtest", SMOKE, "--sandbox-fault", bug, "--report", "out")
    ended = run(*command, cwd=tmp_path, timeout_s=RUN_S, COLUMNS="400")
    assert ended.returncode == ExitCode.AUDIT, ended.stdout + ended.stderr
    assert f" {name}: {meaning}" in ended.stdout
    assert f"✗ {threshold}: failed" in ended.stdout
    assert f"Planted into the sandbox: {bug}" in ended.stdout
    told = json.loads((tmp_path / "out/report.json").read_text())
    found = told["audit"]["findings"][name.replace(" ", "_")]
    assert found["count"] > 0
    assert found["examples"]
    assert told["verdict"] == "broken"
    assert told["sandbox_bugs"] == [bug]
    page = (tmp_path / "out/report.html").read_text()
    assert name in page
    assert bug in page
    assert found["examples"][0] in page
    suites = (tmp_path / "out/junit.xml").read_text()
    assert {name, threshold} <= set(re.findall(r'<testcase [^>]*name="([^"]+)"[^>]*>\s*<failure', suites))


@pytest.mark.proof
@pytest.mark.slow
@pytest.mark.timeout(RUN_S + 10)
def test_smoke_accuses_no_good_gateway(tmp_path: Path) -> None:
    ended = run("loadtest", SMOKE, cwd=tmp_path, timeout_s=RUN_S)
    # A machine that is too busy makes the figures void, and the jobs' books none the worse.
    assert ended.returncode in {ExitCode.OK, ExitCode.VOID}, ended.stdout + ended.stderr
    assert "Audit: clean" in ended.stdout
