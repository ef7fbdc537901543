"""A node in production among others that repeat every secret: none of them is in anything that it writes or tells."""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from node.cli.exit_codes import ExitCode
from tests.secrets.box import FOLDER, Box, box
from tests.support.waiting import wait_until_sync

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]

LEAKING = ("-m", "tests.secrets.leaking")
STOP = {0.0: signal.SIGTERM}
COMMANDS = {
    True: ("status", "status --json", "pause", "resume", "doctor --json", "config show"),
    False: ("status", "doctor", "config show --json", "config check"),
}
MASKED = {"node stderr", "port /metrics", "port /status.json", "spans", "kafka", "webhook", "results that failed"}
"""Outputs by which secrets come in every run."""

DEFECTS = (
    *(("out", b"printed ***"), ("out", b"in pieces ***")),
    *(("err", b"unraisable ***"), ("err", b"written ***"), ("err", b"thread ***"), ("err", b"in a thread: ***")),
    *(("log", b"a library says ***"), ("log", b"event=crash"), ("log", b"name='task ***")),
)
"""What the planted defects make the program say."""

EVERYTHING = {
    *("node stdout", "node stderr", "node command line", "child cmdline", "child environ", "tool environ"),
    *("port /health", "port /health/live", "port /health/ready", "port /metrics", "port /status.json"),
    *("port denied", "port pause", "port resume"),
    *("status stdout", "status --json stdout", "doctor stdout", "doctor --json stdout", "config show stdout"),
    *("webhook", "spans", "kafka", "systemd", "results that failed"),
    *(f"{FOLDER}/logs/{name}.log" for name in ("general", "nodes", "connection_errors", "engine_requests")),
    f"{FOLDER}/a copy.json",
}
"""Every output that there is."""

KINDS = {
    *("node", "token", "feeder_key", "engine_key", "hook_token", "hook_query", "otlp_header", "otlp_query"),
    *("proxy_user", "proxy_password", "prompt", "answer", "opening"),
}
"""Every secret that comes by."""


def much_was_said(place: Box, least: int) -> Callable[[], bool]:
    """Whether each of the others has repeated much by now, the gateway this often at least."""

    def said() -> bool:
        app, around = place.gateway.app, place.around
        return bool(
            app is not None
            and app.echoes >= least
            and app.quotations >= least // 5
            and around.engine.echoes >= min(least, 25)
            and around.proxy.echoes > 3
            and len(around.hook.heard) > 4
            and around.collector.heard
        )

    return said


@pytest.mark.parametrize("by_file", [True, False], ids=["told by a file", "told by the environment"])
def test_no_secret_of_a_node_in_production_gets_out(tmp_path: Path, by_file: bool) -> None:
    with box(tmp_path) as (place, kafka):
        place.asks_for_prompts = not by_file

        def meanwhile(said: Path) -> None:
            place.wait_for_port(said)
            wait_until_sync(much_was_said(place, 40 if by_file else 20), 60, "all have said much")
            place.ask_port()
            place.ask_programs(environ, *COMMANDS[by_file])
            place.look_at_files()

        more = {} if by_file else {"LLM_NODE_LOGGING__PROMPTS": "true"}
        environ = place.settings(by_file=by_file, NOTIFY_SOCKET=str(tmp_path / "notify"), **more)
        options = ("--json-logs",) if by_file else ()
        code = place.run("node", "node", *options, meanwhile=meanwhile, signals=STOP, **environ)
        assert code in {0, ExitCode.UNSENT}, place.outputs["node stderr"]
        place.ask_programs(environ, f"outbox list --json --state-dir {FOLDER}")
        place.close(kafka)
    assert place.findings() == []
    assert list(place.loose_files()) == []
    assert_much_was_masked(place)


def assert_much_was_masked(place: Box) -> None:
    """Everywhere something came by, so that it was not for want of secrets that none is there."""
    logs = (place.folder / FOLDER / "logs").glob("*.log")
    told = {name: data for name, data in place.outputs.items() if name in MASKED}
    told |= {path.name: path.read_bytes() for path in logs if path.name != "points.log"}
    assert [name for name, data in told.items() if b"***" not in data] == []
    assert set(told) >= MASKED
    assert place.outputs["results that failed"].count(b"***") > 1
    exchanges = b"".join(path.read_bytes() for path in (place.folder / FOLDER / "logs").glob("engine*.log"))
    assert (place.planted.prompt.encode() in exchanges) is place.asks_for_prompts


def test_a_trial_and_its_gateway_are_told_no_secret_that_they_need_not_know(tmp_path: Path) -> None:
    with box(tmp_path) as (place, kafka):

        def meanwhile(said: Path) -> None:
            place.wait_for_port(said)
            place.look_at_children(place.control["pid"])
            wait_until_sync(lambda: place.around.engine.echoes, 20, "the engine has said some")
            place.ask_programs(environ, "status")

        away = f"http://127.0.0.1:9/v1/traces?key={place.planted.otlp_query}"
        environ = place.settings(by_file=False, OTEL_EXPORTER_OTLP_ENDPOINT=away)
        assert place.run("trial", "node", "--dry-run", meanwhile=meanwhile, signals=STOP, **environ) == 0
        place.close(kafka)
    assert b"node.sandbox" in place.outputs["child cmdline"]
    assert b"PYTHONPATH" in place.outputs["child environ"]
    assert b"/v1/traces" not in place.outputs["trial stderr"], "what the exporter says itself is left out"
    assert place.findings() == []


def test_defects_of_a_node_in_production_show_no_secret(tmp_path: Path) -> None:
    with box(tmp_path) as (place, kafka):
        canary = place.planted.node_secrets[0]

        def meanwhile(said: Path) -> None:
            place.wait_for_port(said)
            wait_until_sync(lambda: all_struck(place, said), 40, "every defect has struck")

        environ = place.settings(by_file=False, CANARY_SECRET=canary, PYTHONDEVMODE="1")
        script = ("-m", "tests.secrets.sabotaged")
        code = place.run("broken", "defects", "node", script=script, meanwhile=meanwhile, signals=STOP, **environ)
        assert code == 1
        place.close(kafka)
    assert b"the last words: ***" in place.outputs["broken stderr"]
    assert b"node.crash" in place.outputs["kafka"]
    assert place.findings() == []


def all_struck(place: Box, said: Path) -> bool:
    logs = b"".join(path.read_bytes() for path in (place.folder / FOLDER / "logs").glob("*.log"))
    told = {"out": said.read_bytes(), "err": said.with_suffix(".err").read_bytes(), "log": logs}
    return all(words in told[where] for where, words in DEFECTS)


def test_every_output_is_looked_at(tmp_path: Path) -> None:
    with box(tmp_path) as (place, kafka):
        canary = place.planted.node_secrets[0]

        def meanwhile(said: Path) -> None:
            place.wait_for_port(said)
            wait_until_sync(much_was_said(place, 15), 60, "all have said much")
            place.ask_port()
            place.ask_programs(environ, "status", "status --json", "doctor", "doctor --json", script=LEAKING)
            place.ask_programs(environ, "config show", script=LEAKING)
            place.look_at_files()
            place.look_at_children(place.control["pid"])

        environ = place.settings(by_file=False, NOTIFY_SOCKET=str(tmp_path / "notify"), CANARY_SECRET=canary)
        arguments = ("node", "--set", f"openai.api_key={place.planted.engine_key}")
        place.run("node", *arguments, script=LEAKING, meanwhile=meanwhile, signals=STOP, **environ)
        place.close(kafka)
    found = place.findings()
    leaky = {leak.place for leak in found}
    assert leaky >= EVERYTHING, EVERYTHING - leaky
    assert {leak.secret.partition(" ")[0] for leak in found} >= KINDS
    assert f"{FOLDER}/{canary.replace('/', '')}.txt" in leaky
