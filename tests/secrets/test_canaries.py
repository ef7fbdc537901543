"""The program on planted secrets: none of them is in anything that it writes or says."""

from __future__ import annotations

import json
import signal
import socket
import sqlite3
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx
import pytest

from node.cli.exit_codes import ExitCode
from tests.secrets.echoing import Served, echoing_gateway
from tests.secrets.scanner import Scanner
from tests.secrets.workplace import OUTBOX, Planted, Workplace
from tests.support.waiting import wait_until_sync

SABOTAGED = ("-m", "tests.secrets.sabotaged")
STOP = {0.0: signal.SIGINT}


def until(condition: Callable[[], object]) -> Callable[[Path], None]:
    """Let the program run until something has happened."""
    return lambda _: wait_until_sync(condition, 40, "what is waited for happens")


def logged(place: Workplace, *words: bytes) -> bool:
    """Whether the logs have all these words by now."""
    text = b"".join(path.read_bytes() for path in (place.folder / "state" / "logs").glob("*.log"))
    return all(word in text for word in words)


@contextmanager
def at_work(folder: Path, proxies: int = 0, share: float = 0.5) -> Iterator[tuple[Workplace, Served]]:
    planted = Planted()
    (folder / "place").mkdir()
    place = Workplace(folder / "place", planted)
    known = list(planted.node_secrets)
    with ExitStack() as stack:
        served = stack.enter_context(
            echoing_gateway(
                known, signing=planted.signing, control=planted.control, api_key=planted.feeder_key, share=share
            )
        )
        ports = [stack.enter_context(tinyproxy(folder, planted, number)) for number in range(proxies)]
        place.furnish(served.url, proxies=ports)
        yield place, served
        planted.tokens += served.tokens


@contextmanager
def tinyproxy(folder: Path, planted: Planted, number: int) -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port: int = taken.getsockname()[1]
    config = folder / f"tinyproxy-{number}.conf"
    account = f"{planted.proxy_user} {planted.proxy_password}"
    config.write_text(f"Port {port}\nListen 127.0.0.1\nBind 127.0.0.{71 + number}\nBasicAuth {account}\n")
    process = subprocess.Popen(["tinyproxy", "-d", "-c", str(config)], stdout=subprocess.DEVNULL)
    try:
        wait_until_sync(lambda: answers(port), 10, "tinyproxy listens")
        yield port
    finally:
        process.kill()
        process.wait(10)


def answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@pytest.mark.timeout(60)
def test_a_gateway_that_repeats_every_secret_brings_none_of_them_to_light(tmp_path: Path) -> None:
    with at_work(tmp_path) as (place, served):
        run = ("--gateway", served.url, "--log-level", "debug", "--summary", "summary.json")
        assert served.app is not None
        echoing = served.app
        code = place.run("run", *run, meanwhile=until(lambda: echoing.echoes > 40), signals=STOP)
        stopped = place.run("again", *run, "--json-logs", meanwhile=until(lambda: echoing.echoes > 60), signals=STOP)
        listed = place.run("listed", "outbox", "list", "--json")
        served.app.secrets.append(place.planted.developer_key)
        asked = ("submit", "hello", "--gateway", served.url, "--timeout", "500ms")
        place.run("submitted", *asked, LLM_NODE_API_KEY=place.planted.developer_key)
        place.run("shown", "config", "show", "--json")
        assert {code, stopped} <= {0, ExitCode.UNSENT}
        assert listed == 0
        jobs = json.loads((place.folder / "summary.json").read_text())["jobs"]
        assert jobs["received"]
        logs = b"".join(path.read_bytes() for path in (place.folder / "state" / "logs").iterdir())
        assert logs.count(b"***") > 40
        assert b"exchange" in logs
    assert len(place.planted.tokens) > 6
    assert place.findings() == []
    assert list(place.loose_files()) == []
    assert_keys_are_in_records_alone(place)


def assert_keys_are_in_records_alone(place: Workplace) -> None:
    scanner = Scanner({"feeder": place.planted.feeder_key, "developer": place.planted.developer_key})
    with sqlite3.connect(place.folder / OUTBOX) as database:
        rest = database.execute("SELECT key, since, reason FROM results").fetchall()
        rest += database.execute("SELECT * FROM accepted").fetchall()
    database.close()
    assert scanner.secrets_in(repr(rest).encode()) == set()


@pytest.mark.needs_tinyproxy
@pytest.mark.timeout(60)
def test_proxies_keep_their_accounts_to_themselves(tmp_path: Path) -> None:
    with at_work(tmp_path, proxies=2, share=0.0) as (place, served):
        seen = (b"proxy assigned", b"proxy bad", b"poll ended")
        code = place.run(
            *("run", "--gateway", served.url, "--log-level", "debug"),
            meanwhile=until(lambda: logged(place, *seen)),
            signals=STOP,
            LLM_NODE_PROXY__ECHO_URL=f"{served.url}/ip",
        )
        assert code == 0
        place.outputs |= dict(control_replies(served.url, place.planted.control))
    assert place.findings() == []


def control_replies(url: str, token: str) -> Iterator[tuple[str, bytes]]:
    """What the sandbox tells whoever has its control token, and whoever has not."""
    for path in ("ledger?detail=1", "nodes", "feeder", "faults"):
        told = httpx.get(f"{url}/sandbox/{path}", headers={"x-control-token": token})
        assert told.status_code == 200
        yield f"/sandbox/{path}", told.content
        yield f"/sandbox/{path} denied", httpx.get(f"{url}/sandbox/{path}", headers={"x-control-token": "x"}).content


@pytest.mark.timeout(60)
def test_a_gateway_by_itself_keeps_secrets_in_its_data_alone(tmp_path: Path) -> None:
    (tmp_path / "place").mkdir()
    place = Workplace(tmp_path / "place", Planted())
    key = place.planted.developer_key

    def meet_it(said: Path) -> None:
        wait_until_sync(lambda: b"listens at" in said.read_bytes(), 20, "it listens")
        handshake = json.loads((place.folder / "state" / "gateway.json").read_text())
        place.planted.control = handshake["control_token"]
        question = {"model": "m", "messages": [{"role": "user", "content": "x"}], "max_output": 1, "temperature": None}
        for content in (question, {"model": key}):
            httpx.post(f"{handshake['url']}/submit_job", headers={"api_key": key}, json=content)
        place.outputs |= dict(control_replies(handshake["url"], place.planted.control))

    code = place.run("gateway", "gateway", "--data", "data", meanwhile=meet_it, signals={0.0: signal.SIGTERM})
    assert code == 0
    kept = [path for path in (place.folder / "data").iterdir() if path.is_file()]
    assert any(key.encode() in path.read_bytes() for path in kept)
    assert {path.stat().st_mode & 0o077 for path in [place.folder / "data", *kept]} == {0}
    assert {finding.place for finding in place.findings()} <= {f"data/{path.name}" for path in kept}


def sabotage(place: Workplace, served: Served, kind: str, mark: bytes) -> int:
    """Run with every planted defect until each has struck at least once."""

    def struck(said: Path) -> None:
        told = said.with_suffix(".err")
        in_the_logs = (b"a library says " + mark, b"event=crash", b"name='task " + mark)
        in_the_errors = (b"unraisable " + mark, b"written " + mark, b"thread " + mark, b"in a thread: " + mark)

        def all_seen() -> bool:
            return (
                all(words in said.read_bytes() for words in (b"printed " + mark, b"in pieces " + mark))
                and all(words in told.read_bytes() for words in in_the_errors)
                and logged(place, *in_the_logs)
            )

        wait_until_sync(all_seen, 40, "every defect has struck")

    arguments = (kind, "--gateway", served.url, "--log-level", "debug")
    canary = place.planted.node_secrets[0]
    return place.run(
        "broken", *arguments, script=SABOTAGED, meanwhile=struck, signals=STOP, CANARY_SECRET=canary, PYTHONDEVMODE="1"
    )


@pytest.mark.timeout(90)
def test_defects_that_quote_a_secret_show_none(tmp_path: Path) -> None:
    with at_work(tmp_path, share=0.0) as (place, served):
        assert sabotage(place, served, "defects", b"***") == 1
    assert b"the last words: ***" in place.outputs["broken stderr"]
    assert place.findings() == []


@pytest.mark.timeout(90)
def test_without_masks_the_same_defects_do_show_it(tmp_path: Path) -> None:
    with at_work(tmp_path, share=0.1) as (place, served):
        assert sabotage(place, served, "unmasked", b"c4nary") == 1
    leaky = {finding.place for finding in place.findings()}
    assert {"broken stdout", "broken stderr", "state/logs/general.log"} <= leaky


@pytest.mark.timeout(60)
def test_a_violent_end_shows_no_secret(tmp_path: Path) -> None:
    with at_work(tmp_path) as (place, served):
        assert served.app is not None
        echoing = served.app
        seen = until(lambda: echoing.echoes > 3)
        ended = {0.0: signal.SIGABRT}
        code = place.run("ended", "--gateway", served.url, meanwhile=seen, signals=ended, PYTHONFAULTHANDLER="1")
    assert code == -signal.SIGABRT
    assert b"Fatal Python error: Aborted" in place.outputs["ended stderr"]
    assert place.findings() == []
