"""All other commands from outside: what they print, and how they end."""

from __future__ import annotations

import json
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from tests.acceptance.program import MAIN, QUICK, ROOT, environment, run, running, told, url_in

COMMANDS = [
    (),
    ("simulate",),
    ("gateway",),
    ("submit",),
    ("init",),
    ("roster",),
    ("config",),
    ("config", "show"),
    ("config", "check"),
    ("outbox",),
    ("outbox", "list"),
    ("outbox", "retry"),
    ("outbox", "drop"),
]


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_help_teaches_every_command(command: tuple[str, ...]) -> None:
    done = told(*command, "--help")
    assert done.returncode == 0
    assert "Usage:" in done.stdout
    assert len(done.stdout.splitlines()) > 5


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_a_wrong_flag_is_a_usage_error(command: tuple[str, ...]) -> None:
    done = told(*command, "--no-such-flag")
    assert done.returncode == 2
    assert "no-such-flag" in done.stderr
    assert "Traceback" not in done.stderr


def test_help_is_quick() -> None:
    unwatched = {name: value for name, value in environment().items() if not name.startswith("COVERAGE")}
    took = []
    for _ in range(5):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([sys.executable, MAIN, "--help"], env=unwatched, capture_output=True, check=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        took.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    assert min(took) < 0.4


def test_the_version_is_told() -> None:
    done = run("--version")
    assert done.returncode == 0
    assert done.stdout.startswith("llm-node ")


def test_without_the_dependencies_main_says_what_installs_them(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-E", "-s", "-S", MAIN], capture_output=True, text=True, cwd=tmp_path, check=False
    )
    assert done.returncode == 78
    assert "make install" in done.stderr or ".venv/bin/python main.py" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("text", ["soon", "0", "-3s", "5 weeks"])
def test_a_bad_duration_says_what_a_good_one_is(text: str) -> None:
    done = told("simulate", f"--duration={text}")
    assert done.returncode == 2
    assert "30s" in done.stderr


def test_a_gateway_that_is_not_ones_own_is_refused(tmp_path: Path) -> None:
    done = told("--gateway", "https://gateway.example", "--state-dir", str(tmp_path))
    assert done.returncode == 4
    assert 'owned = ["https://gateway.example"]' in done.stderr


def test_all_faults_of_all_inputs_are_told_at_once(tmp_path: Path) -> None:
    roster = tmp_path / "nodes.csv"
    head = "node_id,secret,account_id,pub_key,private_key,proxy,models,ram,cpu,vram,gpu,os"
    roster.write_text(
        f"{head}\nn1,s,a,k,,,m,lots,4,0,,linux\n\nn2,s,a,k,,,m,1024,4,0,,linux\nn2,s,a,k,,,m,1024,4,0,,linux\n"
    )
    proxies = tmp_path / "proxies.txt"
    proxies.write_text("user:hunter2@nowhere\n")
    done = told("--nodes", str(roster), "--proxies", str(proxies), "--strict", "--state-dir", str(tmp_path / "state"))
    assert done.returncode == 3
    assert f"{roster}:2 [ram]" in done.stderr
    assert f"{roster}:5 [node_id]" in done.stderr
    assert f"{proxies}:1" in done.stderr
    assert "hunter2" not in done.stderr


def test_good_rows_go_on_without_strict(tmp_path: Path) -> None:
    roster = tmp_path / "nodes.csv"
    told("roster", "--nodes", "3", "-o", str(roster))
    roster.write_text(roster.read_text() + "broken,row\n")
    figures = tmp_path / "s.json"
    done = run(
        "--nodes",
        str(roster),
        "--duration",
        "3s",
        "--summary",
        str(figures),
        "--state-dir",
        str(tmp_path / "s"),
        **QUICK,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Left out:" in done.stdout
    assert json.loads(figures.read_text())["nodes"]["total"] == 3


def test_a_summary_that_cannot_be_written_is_said_before_the_run(tmp_path: Path) -> None:
    done = told("--summary", str(tmp_path / "missing" / "s.json"), "--state-dir", str(tmp_path / "s"))
    assert done.returncode == 3
    assert "missing" in done.stderr


@pytest.mark.timeout(60)
def test_a_prompt_is_answered_by_a_node_of_the_fleet(tmp_path: Path) -> None:
    state = str(tmp_path / "state")
    with running("gateway", "--feed", "0", "--state-dir", state, log=tmp_path / "gw", **QUICK) as gateway:
        gateway.says("It is not fed")
        url = url_in(gateway.output)
        with running("--gateway", url, "--state-dir", state, log=tmp_path / "sim", **QUICK) as fleet:
            fleet.says("idle")
            done = run("submit", "hello", "--model", "llama3.1:latest", "--state-dir", state)
            assert done.returncode == 0, done.stderr
            assert done.stdout.strip()
            as_json = run("submit", "hello there", "--gateway", url, "--json")
            assert json.loads(as_json.stdout)["status"] == "success"
            second = run("--gateway", url, "--state-dir", state, "--duration", "1s", **QUICK)
            assert second.returncode == 6
            assert f"in use by process {fleet.process.pid}" in second.stderr
            listed = run("outbox", "list", "--state-dir", state)
            assert listed.returncode == 6


def test_without_a_gateway_submit_says_how_to_get_one(tmp_path: Path) -> None:
    done = told("submit", "hello", "--state-dir", str(tmp_path))
    assert done.returncode == 3
    assert "python main.py gateway" in done.stderr
    nobody = run("submit", "hello", "--gateway", "http://127.0.0.1:9")
    assert nobody.returncode == 5


def test_an_outbox_that_is_not_there_is_named(tmp_path: Path) -> None:
    for command in (("list",), ("retry", "--dead"), ("drop", "--dead")):
        done = told("outbox", *command, "--state-dir", str(tmp_path))
        assert done.returncode == 3
        assert "--state-dir" in done.stderr


@pytest.mark.proof
@pytest.mark.timeout(60)
def test_dead_letters_are_listed_revived_and_dropped(tmp_path: Path) -> None:
    state = str(tmp_path / "state")
    slow = {**QUICK, "LLM_NODE_STORED__DELAY_MIN_S": "2", "LLM_NODE_STORED__DELAY_MAX_S": "3"}
    with running("gateway", "--state-dir", state, log=tmp_path / "g1", **slow) as gateway:
        gateway.says("listens at")
        url = url_in(gateway.output)
        with running(
            "--gateway", url, "--state-dir", state, "--duration", "12s", log=tmp_path / "log", **slow
        ) as fleet:
            fleet.says("processing")
            gateway.process.kill()
            gateway.process.wait(5)
            port = url.rpartition(":")[2]
            with running("gateway", "--port", port, "--state-dir", state, log=tmp_path / "g2", **slow):
                assert fleet.wait(30) == 0, fleet.output
    letters = json.loads(run("outbox", "list", "--json", "--state-dir", state).stdout)
    assert letters
    assert {entry["state"] for entry in letters} == {"dead"}
    assert all("404" in entry["reason"] for entry in letters)
    one = letters[0]["job"]
    assert "1 results will be sent" in run("outbox", "retry", one, "--state-dir", state).stdout
    assert "1 results are removed" in run("outbox", "drop", one, "--state-dir", state).stdout
    assert run("outbox", "drop", one, "--state-dir", state).returncode == 3
    assert run("outbox", "drop", "--dead", "--state-dir", state).returncode == 0
    assert "Nothing is unsent" in run("outbox", "list", "--state-dir", state).stdout


def test_settings_are_shown_with_their_origins_and_secrets_masked(tmp_path: Path) -> None:
    (tmp_path / "node.toml").write_text('[gateway]\njwt_key = "correct horse battery"\n[node]\nslots = 3\n')
    done = told("config", "show", "--changed", cwd=tmp_path, POINTS_CHECK_INTERVAL="7")
    assert done.returncode == 0, done.stderr
    assert "correct horse" not in done.stdout
    assert "node.toml:4" in done.stdout
    assert "POINTS_CHECK_INTERVAL" in done.stdout
    rows = {row["name"]: row for row in json.loads(told("config", "show", "--json", cwd=tmp_path).stdout)}
    assert rows["node.slots"]["value"] == "3"


def test_a_settings_file_is_checked_whole(tmp_path: Path) -> None:
    (tmp_path / "node.toml").write_text('[node]\nslot = 3\npoll_cycle_s = "often"\n[nodes]\n')
    done = told("config", "check", cwd=tmp_path)
    assert done.returncode == 3
    assert "node.toml:2" in done.stderr
    assert "node.toml:3" in done.stderr
    assert "slots" in done.stderr


def test_a_fresh_folder_gets_files_that_work(tmp_path: Path) -> None:
    first = told("init", cwd=tmp_path)
    assert first.returncode == 0
    assert told("roster", "--nodes", "4", cwd=tmp_path).returncode == 0
    assert told("config", "check", cwd=tmp_path).returncode == 0
    again = told("init", cwd=tmp_path)
    assert again.returncode == 0
    assert again.stdout.count("--force writes over it") == first.stdout.count("Wrote ") > 0


def test_the_checkout_is_in_order() -> None:
    done = told("config", "check", cwd=ROOT)
    assert done.returncode == 0, done.stderr
    assert "20 nodes" in done.stdout


def test_no_environment_of_the_tests_leaks() -> None:
    assert "LLM_NODE_TESTS_MAY_SKIP" not in environment()
