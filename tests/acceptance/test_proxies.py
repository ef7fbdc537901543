"""A fleet behind real proxies: every node leaves by its proxy, and only good proxies are used."""

from __future__ import annotations

import socket
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from tests.acceptance.program import QUICK, run, summary
from tests.support.waiting import wait_until_sync

PASSWORD = "hunter2-p_a.ss"


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port: int = taken.getsockname()[1]
        return port


def accepts(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@contextmanager
def listening(port: int, *command: str) -> Iterator[int]:
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_until_sync(lambda: accepts(port), 10, f"{command[0]} listens")
        yield port
    finally:
        process.kill()
        process.wait(10)


@contextmanager
def tinyproxy(leaves_by: str, folder: Path) -> Iterator[int]:
    port = free_port()
    config = folder / f"tinyproxy-{port}.conf"
    config.write_text(
        f"Port {port}\nListen 127.0.0.1\nBind {leaves_by}\nTimeout 60\nMaxClients 100\nBasicAuth user {PASSWORD}\n"
    )
    with listening(port, "tinyproxy", "-d", "-c", str(config)):
        yield port


@contextmanager
def microsocks(leaves_by: str) -> Iterator[int]:
    port = free_port()
    address = ("-i", "127.0.0.1", "-p", str(port), "-b", leaves_by)
    with listening(port, "microsocks", *address, "-u", "user", "-P", PASSWORD):
        yield port


@pytest.mark.proof
@pytest.mark.needs_tinyproxy
@pytest.mark.needs_microsocks
@pytest.mark.timeout(90)
def test_a_fleet_works_through_good_proxies_alone(tmp_path: Path) -> None:
    pool, roster, figures = tmp_path / "proxies.txt", tmp_path / "nodes.csv", tmp_path / "s.json"
    assert run("roster", "--nodes", "5", "-o", str(roster)).returncode == 0
    with ExitStack() as stack:
        http = [stack.enter_context(tinyproxy(f"127.0.0.{51 + index}", tmp_path)) for index in range(3)]
        socks = [stack.enter_context(microsocks(f"127.0.0.{61 + index}")) for index in range(2)]
        transparent = stack.enter_context(tinyproxy("127.0.0.1", tmp_path))
        lines = [f"user:{PASSWORD}@127.0.0.1:{port}" for port in (*http, transparent)]
        lines += [f"socks5://user:{PASSWORD}@127.0.0.1:{port}" for port in socks]
        lines += [f"user:wrong@127.0.0.1:{http[0]}", f"127.0.0.1:{free_port()}"]
        pool.write_text("\n".join(lines) + "\n")
        done = run(
            *("--nodes", str(roster), "--proxies", str(pool), "--duration", "12s", "--summary", str(figures)),
            *("--state-dir", str(tmp_path / "state"), "--log-level", "debug"),
            timeout_s=60,
            **QUICK,
        )
    assert done.returncode == 0, done.stdout + done.stderr
    content = summary(figures)
    assert content["nodes"]["with_jobs"] == 5
    assert content["jobs"]["lost"] == 0
    logs = "".join(path.read_text() for path in (tmp_path / "state" / "logs").iterdir())
    used = {f"http://127.0.0.1:{port}" for port in http} | {f"socks5://127.0.0.1:{port}" for port in socks}
    assigned = [line for line in logs.splitlines() if "proxy assigned" in line]
    assert {address for address in used if any(address in line for line in assigned)} == used
    assert not [line for line in assigned if f"127.0.0.1:{transparent}" in line]
    assert PASSWORD not in logs + done.stdout + done.stderr
