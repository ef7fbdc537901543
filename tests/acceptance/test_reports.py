"""``loadtest --report`` and ``--push-metrics`` as a person and a CI job run them."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import pytest

from node.cli.exit_codes import ExitCode
from node.loadtest.report.folder import SIGNATURES
from tests.acceptance.program import run, running, told
from tests.acceptance.test_loadtest import SCENARIOS, written
from tests.unit.loadtest.report.pushgateways import pushgateway
from tests.unit.loadtest.report.trees import tree

SMOKE = str(SCENARIOS / "smoke.toml")


def test_a_planted_bug_is_named_in_the_output_and_in_every_file(tmp_path: Path) -> None:
    folder = tmp_path / "out/here"
    with pushgateway() as there:
        url = there.url.replace("//", "//ci:hunter22-hunter22@")
        plan = written(tmp_path, thresholds='["jobs.submitted > 40"]')
        asked = ("--sandbox-fault", "lose-result=0.3", "--report", "out/here")
        ended = run("loadtest", plan, *asked, cwd=tmp_path, LLM_NODE_PUSH_METRICS=url)
    assert ended.returncode == ExitCode.AUDIT, ended.stdout + ended.stderr
    assert "The report is out/here/report.html" in ended.stdout
    files = {name: (folder / name).read_text() for name in SIGNATURES}
    assert {path.name for path in folder.iterdir()} == set(files)
    assert "Planted into the sandbox on purpose: <code>lose-result=0.3</code>" in files["report.html"]
    document = json.loads(files["report.json"])
    lost = document["audit"]["findings"]["lost"]
    assert lost["count"] > 0
    assert all(name in files["jobs.csv"] and name in files["report.html"] for name in lost["examples"][:20])
    assert tree(files["junit.xml"]).find(".//testcase[@name='lost']/failure") is not None
    assert f'llm_loadtest_audit_findings{{kind="lost"}} {lost["count"]:.1f}' in files["metrics.prom"]
    assert document["environment"]["program"].startswith("llm-worker-node ")
    ((request, _, body),) = there.pushed
    assert request == "PUT /metrics/job/llm_loadtest/plan/short"
    assert body.decode() == files["metrics.prom"]
    assert "hunter22" not in "".join([*files.values(), ended.stdout, ended.stderr])


def test_a_run_that_is_stopped_has_its_report(tmp_path: Path) -> None:
    folder = tmp_path / "out"
    with running(
        "loadtest", written(tmp_path, "60s"), "--report", str(folder), cwd=tmp_path, log=tmp_path / "log"
    ) as program:
        program.says("done (")
        program.signal(signal.SIGINT)
        assert program.wait() in {ExitCode.STOPPED, ExitCode.VOID}, program.output
    assert json.loads((folder / "report.json").read_text())["verdict"] in {"stopped", "void"}
    assert 'class="verdict doubt"' in (folder / "report.html").read_text()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--report", "taken"), "no load test wrote it"),
        (("--report", "file"), "is no folder"),
        (("--push-metrics", "nowhere:9091"), "this is no address of a Pushgateway"),
    ],
)
def test_what_cannot_be_written_is_told_before_the_run(arguments: tuple[str, ...], words: str, tmp_path: Path) -> None:
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken/junit.xml").write_text("mine")
    (tmp_path / "file").write_text("mine")
    ended = told("loadtest", SMOKE, *arguments, cwd=tmp_path)
    assert ended.returncode == ExitCode.INVALID_INPUT
    assert words in ended.stderr
    assert arguments[0] in ended.stderr
    assert "sandbox" not in ended.stdout
    assert (tmp_path / "taken/junit.xml").read_text() == "mine"


def test_check_writes_nothing(tmp_path: Path) -> None:
    assert told("loadtest", SMOKE, "--check", "--report", "out", cwd=tmp_path).returncode == ExitCode.OK
    assert not (tmp_path / "out").exists()
