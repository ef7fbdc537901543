"""The unit."""

from __future__ import annotations

import re
import shlex
import subprocess
from pathlib import Path

from node.cli.exit_codes import ExitCode
from node.domain.policies import StopPolicy
from tests.deploy.tools import DEPLOY, ROOT, run

UNIT = DEPLOY / "llm-node.service"
MOST_EXPOSED = 2.0


def values(name: str) -> list[str]:
    return re.findall(rf"^{name}=(.*)$", UNIT.read_text(), re.MULTILINE)


def environment() -> dict[str, str]:
    return dict(entry.split("=", 1) for entry in values("Environment"))


def test_systemd_understands_it(tmp_path: Path) -> None:
    program = values("ExecStart")[0].split()[0]
    unit = tmp_path / UNIT.name
    unit.write_text(UNIT.read_text().replace(program, "/bin/true"))
    assert not run("systemd-analyze", "verify", "--man=no", unit).strip()


def test_the_template_that_the_page_makes_of_it_shares_nothing(tmp_path: Path) -> None:
    page = (ROOT / "docs/operations.md").read_text()
    (command,) = re.findall(
        r"^# (sed -E .*) deploy/llm-node\.service >/etc/systemd/system/llm-node@\.service$", page, re.MULTILINE
    )
    template = subprocess.run([*shlex.split(command), UNIT], capture_output=True, check=True, text=True).stdout
    own = {"node.env", "secret", "StateDirectory=", "LogsDirectory=", "STATE_DIR=", "LOGGING__FOLDER="}
    changed = [line for line in template.splitlines() if "%i" in line]
    assert len(changed) == len(own)
    assert all(any(word in line for line in changed) for word in own)
    (tmp_path / "llm-node@.service").write_text(template.replace(values("ExecStart")[0].split()[0], "/bin/true"))
    said = run("systemd-analyze", "verify", "--man=no", tmp_path / "llm-node@.service")
    assert not said.strip()


def test_it_is_hardened() -> None:
    said = run("systemd-analyze", "security", "--offline=true", "--no-pager", UNIT)
    exposure = re.search(r"exposure level for \S+: ([\d.]+)", said)
    assert exposure
    assert float(exposure[1]) <= MOST_EXPOSED


def test_systemd_is_told_of_the_start_and_of_life() -> None:
    assert values("Type") == ["notify"]
    assert int(values("WatchdogSec")[0]) >= 10


def test_a_node_has_time_to_drain() -> None:
    drain_s = float(environment()["LLM_NODE_STOP__DRAIN_S"])
    assert float(values("TimeoutStopSec")[0]) >= drain_s + StopPolicy().abort_s + 5
    assert values("KillSignal") == ["SIGTERM"]


def test_it_is_not_started_again_for_what_that_does_not_cure() -> None:
    assert values("Restart") == ["on-failure"]
    assert values("StartLimitIntervalSec") == ["0"]
    codes = {ExitCode(int(code)) for code in values("RestartPreventExitStatus")[0].split()}
    assert codes == {
        ExitCode.USAGE,
        ExitCode.INVALID_INPUT,
        ExitCode.NOT_ALLOWED,
        ExitCode.REFUSED,
        ExitCode.SETUP,
    }


def test_its_state_is_where_it_may_write() -> None:
    assert environment()["LLM_NODE_STATE_DIR"] == f"/var/lib/{values('StateDirectory')[0]}"
    assert environment()["LLM_NODE_LOGGING__FOLDER"] == f"/var/log/{values('LogsDirectory')[0]}"
    assert values("StateDirectoryMode") == values("LogsDirectoryMode") == ["0700"]
    assert values("ProtectSystem") == ["strict"]


def test_the_secret_is_a_credential_of_the_unit() -> None:
    (name, _, source) = values("LoadCredential")[0].partition(":")
    assert source.startswith("/etc/")
    assert environment()["NODE_SECRET_FILE"] == f"%t/credentials/%n/{name}"
