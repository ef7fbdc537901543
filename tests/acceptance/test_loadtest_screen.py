"""What a person sees of ``loadtest`` while it runs: the live screen, lines, and the page to steer it by."""

from __future__ import annotations

import json
import re
import signal
import socket
import time
from pathlib import Path
from urllib.request import Request, urlopen

import pytest

from node.cli.exit_codes import ExitCode
from node.loadtest.figures.figures import Figures
from tests.acceptance.program import Running, run, running, told
from tests.acceptance.test_dashboard import terminal
from tests.acceptance.test_loadtest import judged, written
from tests.support.waiting import wait_until_sync


@pytest.mark.timeout(60)
def test_the_screen_shows_the_load_and_fits_whatever_becomes_of_the_terminal(tmp_path: Path) -> None:
    plan = written(tmp_path, "120s", "[]")
    with terminal("loadtest", plan, "--state-dir", str(tmp_path), width=110, height=30) as screen:
        wanted = ("12 of 12", "offered/s", "job p99", "self ", "2s  kill 25%, back after 500ms", "load ━")
        screen.read_until(lambda: all(words in screen.text for words in wanted))
        screen.resize(60, 20)
        screen.read_until(lambda: all(screen.text.count(words) == 1 for words in ("offered/s", "load ━", "job p99")))
        assert "left" in screen.text
        screen.press_ctrl_c()
        screen.read_until(lambda: screen.process.returncode is not None, 30)
        assert "load ━" not in screen.text
        assert "Verdict: " in screen.text
        assert not screen.is_cursor_hidden
        assert screen.process.returncode in {ExitCode.STOPPED, ExitCode.VOID}


@pytest.mark.timeout(60)
def test_a_second_ctrl_c_leaves_the_terminal_as_it_was(tmp_path: Path) -> None:
    plan = written(tmp_path, "120s", "[]")
    with terminal("loadtest", plan, "--state-dir", str(tmp_path), width=80, height=24) as screen:
        screen.read_until(lambda: "12 of 12" in screen.text)
        screen.press_ctrl_c()
        screen.read_until(lambda: "Stopping: no more jobs" in screen.text)
        screen.press_ctrl_c()
        screen.read_until(lambda: "Stopping at once" in screen.text)
        assert "offered/s" not in screen.text
        screen.press_ctrl_c()
        screen.read_until(lambda: screen.process.returncode is not None, 30)
        assert screen.process.returncode == ExitCode.INTERRUPTED
        assert not screen.is_cursor_hidden


@pytest.mark.timeout(60)
def test_a_terminal_that_is_held_does_not_hold_the_load(tmp_path: Path) -> None:
    document = tmp_path / "result.json"
    arguments = ("loadtest", written(tmp_path, "120s", "[]"), "--state-dir", str(tmp_path), "--json", str(document))
    with terminal(*arguments, width=80, height=24) as screen:
        screen.read_until(lambda: "12 of 12" in screen.text)
        screen.read_until_quiet()
        screen.type(b"\x13")
        held_s = 3.0
        until = time.monotonic() + held_s
        wait_until_sync(lambda: time.monotonic() > until)
        screen.type(b"\x11")
        screen.press_ctrl_c()
        screen.read_until(lambda: screen.process.returncode is not None, 30)
    series = Figures.from_document(json.loads(document.read_text())["figures"]).series
    lags_s = [lag_s for lag_s in series.maxima("lag") if lag_s is not None]
    assert len(lags_s) >= held_s
    assert max(lags_s) < held_s / 2


@pytest.mark.timeout(60)
def test_without_a_dashboard_the_terminal_is_written_on_line_by_line(tmp_path: Path) -> None:
    plan = written(tmp_path, "120s", "[]")
    arguments = ("loadtest", plan, "--no-dashboard", "--state-dir", str(tmp_path))
    with terminal(*arguments, width=200, height=24) as screen:
        screen.read_until(lambda: "12 of 12 nodes run" in screen.text)
        assert "2s: kill 25%, back after 500ms" in screen.text
        assert "offered/s" not in screen.text


class Page:
    """The live page of a program, as its own buttons use it."""

    def __init__(self, program: Running) -> None:
        program.says("Live page: ")
        wait_until_sync(lambda: re.search(r"Live page: (\S+)/", program.output))
        found = re.search(r"Live page: (http://127\.0\.0\.1:\d+)/", program.output)
        assert found is not None
        self._url = found[1]
        page = urlopen(f"{self._url}/").read().decode()  # noqa: S310 - loopback
        token = re.search(r'name="token" content="([^"]+)"', page)
        assert token is not None
        self._token = token[1]

    def state(self) -> dict[str, object]:
        found: dict[str, object] = json.load(urlopen(f"{self._url}/state"))  # noqa: S310 - loopback
        return found

    def order(self, order: str) -> None:
        headers = {"x-run-token": self._token}
        with urlopen(Request(f"{self._url}/{order}", method="POST", headers=headers)) as reply:  # noqa: S310 - loopback
            assert reply.status == 200


@pytest.mark.timeout(60)
def test_a_run_is_steered_by_its_page(tmp_path: Path) -> None:
    document = tmp_path / "result.json"
    arguments = ("loadtest", written(tmp_path, "120s", "[]"), "--ui", "--ui-port", "0", "--json", str(document))
    with running(*arguments, log=tmp_path / "log", cwd=tmp_path) as program:
        page = Page(program)
        assert "the run begins when Start is pressed there" in program.output
        assert page.state()["phase"] == "waiting"
        page.order("start")
        wait_until_sync(lambda: page.state()["accepted"], 20)
        page.order("pause")
        wait_until_sync(lambda: page.state()["is_paused"])
        held = page.state()["elapsed_s"]
        assert page.state()["elapsed_s"] == held
        page.order("resume")
        wait_until_sync(lambda: not page.state()["is_paused"])
        page.order("stop")
        program.says("until Ctrl+C.")
        assert "Verdict: " in program.output
        told = json.loads(document.read_text())
        assert page.state()["verdict"] == told["verdict"]
        assert [note for note in told["notes"] if note.startswith("it was paused for ")]
        assert {"paused", "resumed"} <= {text for _, text in told["figures"]["series"]["marks"]}
        program.signal(signal.SIGINT)
        assert program.wait() in {ExitCode.STOPPED, ExitCode.VOID}


def test_a_run_that_nobody_starts_can_be_interrupted(tmp_path: Path) -> None:
    arguments = ("loadtest", written(tmp_path), "--ui", "--ui-port", "0")
    with running(*arguments, log=tmp_path / "log", cwd=tmp_path) as program:
        Page(program)
        program.signal(signal.SIGINT)
        assert program.wait() == ExitCode.STOPPED, program.output
        assert "stays at" not in program.output
        assert "0 submitted" in program.output


def test_with_autostart_and_no_terminal_it_ends_by_itself_and_a_file_has_no_escape_codes(tmp_path: Path) -> None:
    plan = written(tmp_path, "2500ms", "[]")
    ended = run("loadtest", plan, "--ui", "--ui-port", "0", "--autostart", cwd=tmp_path)
    judged(ended.returncode, ended.stdout + ended.stderr, ExitCode.OK)
    assert "Live page: http://127.0.0.1:" in ended.stdout
    assert "stays at" not in ended.stdout
    assert "2s: kill 25%, back after 500ms" in ended.stdout
    assert "\x1b" not in ended.stdout + ended.stderr


def test_a_port_that_is_taken_is_told(tmp_path: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = str(other.getsockname()[1])
        ended = run("loadtest", written(tmp_path), "--ui", "--ui-port", port, cwd=tmp_path)
    assert ended.returncode == ExitCode.INVALID_INPUT
    assert f"127.0.0.1:{port}" in ended.stderr
    assert "taken by another program" in ended.stderr


@pytest.mark.parametrize("flags", [("--autostart",), ("--ui-port", "8089")])
def test_flags_that_make_no_sense_are_refused(tmp_path: Path, flags: tuple[str, ...]) -> None:
    ended = told("loadtest", written(tmp_path), *flags, cwd=tmp_path)
    assert ended.returncode == ExitCode.USAGE
    assert "--ui" in ended.stderr
    assert not ended.stdout
