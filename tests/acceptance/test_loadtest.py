"""``loadtest`` as a person runs it: a plan, a sandbox of its own, a verdict."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import pytest

from node.cli.exit_codes import ExitCode
from tests.acceptance.program import run, running, told

SCENARIOS = Path(__file__).parents[2] / "config/scenarios"

PLAN = """
name = "short"
duration = "{duration}"
settle = "8s"
warm_up = "0s"
thresholds = {thresholds}
[nodes]
poll_cycle = "200ms"
[[nodes.stages]]
kind = "ramp"
to = 12
over = "1s"
[[jobs.arrivals]]
kind = "poisson"
rate = "25/s"
[engine]
output_tokens = 10
tokens_per_s = 50
[[faults]]
kind = "kill"
at = "2s"
share = "25%"
restart_after = "500ms"
[sandbox]
lease = "2s"
prefer_other = "200ms"
"""


def written(folder: Path, duration: str = "4s", thresholds: str = '["jobs.lost == 0", "jobs.submitted > 40"]') -> str:
    path = folder / "plan.toml"
    path.write_text(PLAN.format(duration=duration, thresholds=thresholds))
    return str(path)


def judged(code: int, output: str, expected: ExitCode) -> bool:
    """Whether a run ended as expected; on a machine that is too busy it may, and must, say that it is void instead."""
    if code == ExitCode.VOID:
        assert "Generator: " in output
        assert "Verdict: void" in output
        return False
    assert code == expected, output
    return True


def test_a_plan_is_carried_out_and_passes(tmp_path: Path) -> None:
    document = tmp_path / "result.json"
    ended = run("loadtest", written(tmp_path), "--json", str(document), cwd=tmp_path)
    is_fit = judged(ended.returncode, ended.stdout + ended.stderr, ExitCode.OK)
    assert "a sandbox gateway runs at http://127.0.0.1:" in ended.stdout
    assert "Audit: clean" in ended.stdout
    assert "✓ jobs.lost == 0: passed" in ended.stdout
    assert ended.stdout.rstrip().endswith("Verdict: passed") is is_fit
    told = json.loads(document.read_text())
    assert told["schema"] == 1
    assert told["verdict"] == ("passed" if is_fit else "void")
    assert told["audit"]["jobs"]["submitted"] == told["audit"]["jobs"]["answered"] > 40
    assert told["generator"]["is_void"] is not is_fit
    assert told["figures"]["counts"]["crashed"] == 3


def test_a_planted_bug_is_named_and_has_an_exit_code(tmp_path: Path) -> None:
    ended = run("loadtest", written(tmp_path), "--sandbox-fault", "lose-result=0.2", cwd=tmp_path)
    assert ended.returncode == ExitCode.AUDIT, ended.stdout + ended.stderr
    assert "Audit: broken" in ended.stdout
    assert " lost: Submitted and worked on" in ended.stdout
    assert "✗ jobs.lost == 0: failed" in ended.stdout
    assert "Planted into the sandbox: lose-result=0.2" in ended.stdout


def test_a_missed_threshold_has_an_exit_code(tmp_path: Path) -> None:
    ended = run("loadtest", written(tmp_path, "2500ms", '["p50.job < 1ms"]'), cwd=tmp_path)
    judged(ended.returncode, ended.stdout + ended.stderr, ExitCode.THRESHOLDS)
    assert "✗ p50.job < 1ms: failed" in ended.stdout


def test_ctrl_c_ends_the_load_and_tells_what_there_is(tmp_path: Path) -> None:
    with running("loadtest", written(tmp_path, "120s", "[]"), log=tmp_path / "log", cwd=tmp_path) as program:
        program.says("nodes run,")
        program.signal(signal.SIGINT)
        if judged(program.wait(), program.output, ExitCode.STOPPED):
            assert "stopped before its time" in program.output
        assert "Audit: clean" in program.output


def test_a_second_ctrl_c_ends_all(tmp_path: Path) -> None:
    with running("loadtest", written(tmp_path, "120s", "[]"), log=tmp_path / "log", cwd=tmp_path) as program:
        program.says("nodes run,")
        program.signal(signal.SIGINT)
        program.says("Stopping: no more jobs")
        program.signal(signal.SIGINT)
        assert program.wait() == ExitCode.INTERRUPTED, program.output


def test_a_plan_may_be_changed_on_the_command_line(tmp_path: Path) -> None:
    changes = ["--plan-set", 'thresholds=["p99.job < 7s"]', "--plan-set", "duration=99s", "--plan-set", "faults=[]"]
    ended = run("loadtest", str(SCENARIOS / "smoke.toml"), "--check", *changes, cwd=tmp_path)
    assert ended.returncode == ExitCode.OK, ended.stdout + ended.stderr
    assert "p99.job < 7s" in ended.stdout
    assert "1m39s" in ended.stdout
    assert "kill 30%" not in ended.stdout


def test_check_shows_and_does_nothing(tmp_path: Path) -> None:
    ended = told("loadtest", str(SCENARIOS / "smoke.toml"), "--check", cwd=tmp_path)
    assert ended.returncode == ExitCode.OK, ended.stdout + ended.stderr
    assert "kill 30%" in ended.stdout
    assert "sandbox gateway runs" not in ended.stdout
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["plan.toml", "--sandbox-fault", "lose-resutl"], ExitCode.INVALID_INPUT, "lose-result"),
        (["plan.toml", "--sandbox-fault", "lose-result=2"], ExitCode.INVALID_INPUT, "no share"),
        (["plan.toml", "--plan-set", "thresholds=[1]"], ExitCode.INVALID_INPUT, "--plan-set [thresholds"),
        (["plan.toml", "--plan-set", "duration"], ExitCode.INVALID_INPUT, "key=value"),
        (["plan.toml", "--set", "thresholds=[]"], ExitCode.USAGE, "--plan-set"),
        (["missing.toml"], ExitCode.INVALID_INPUT, "missing.toml"),
        (["plan.toml", "--gateway", "https://example.com"], ExitCode.NOT_ALLOWED, "not declared as yours"),
        (
            ["plan.toml", "--gateway", "http://127.0.0.1:9", "--sandbox-fault", "lose-result"],
            ExitCode.INVALID_INPUT,
            "bundled sandbox alone",
        ),
        (["plan.toml", "--json", "no/such/folder.json"], ExitCode.INVALID_INPUT, "no folder"),
        (["plan.toml", "--roster", "few.csv"], ExitCode.INVALID_INPUT, "fewer than the 12"),
    ],
)
def test_what_cannot_be_done_is_told_before_anything_begins(
    tmp_path: Path, arguments: list[str], code: ExitCode, words: str
) -> None:
    written(tmp_path)
    (tmp_path / "few.csv").write_text(
        "node_id,secret,account_id,pub_key,private_key,proxy,models,ram,cpu,vram,gpu,os\n"
        "n1,a-secret-of-one,acc,key,,,llama3.1:latest,1024,2,0,none,linux\n"
    )
    ended = told("loadtest", *arguments, cwd=tmp_path)
    assert ended.returncode == code, ended.stdout + ended.stderr
    assert words in ended.stdout + ended.stderr


def test_a_terminal_that_knows_few_characters_loses_no_run(tmp_path: Path) -> None:
    result = run("loadtest", written(tmp_path), "--check", PYTHONIOENCODING="ascii")
    assert result.returncode == ExitCode.OK, result.stderr
    assert "It passes when" in result.stdout


def test_a_document_never_takes_the_place_of_the_plan(tmp_path: Path) -> None:
    plan = written(tmp_path)
    before = Path(plan).read_text()
    result = told("loadtest", plan, "--json", plan)
    assert result.returncode == ExitCode.INVALID_INPUT
    assert "no load test wrote it" in result.stderr
    assert Path(plan).read_text() == before
