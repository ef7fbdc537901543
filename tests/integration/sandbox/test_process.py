"""The sandbox as a child process: started, killed, restarted, orphaned."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from node.domain.errors import SandboxFailed
from node.domain.events import Crash
from node.runtime.tasks import TaskOwner
from node.sandbox.bugs import parse_bugs
from node.sandbox.job_rows import decode
from node.sandbox.policy import FaultKind, FaultRule, Prompt, SandboxPolicy, WorkloadPolicy, dump_policy
from node.sandbox.process import SandboxProcess
from tests.integration.sandbox.test_server import CHAT, JOB, KEY, answer, calling, enter
from tests.support.waiting import wait_until, wait_until_sync

ROOT = Path(__file__).resolve().parents[3]


@contextlib.asynccontextmanager
async def child(policy: SandboxPolicy | None = None) -> AsyncIterator[tuple[SandboxProcess, httpx.AsyncClient]]:
    crashes: list[Crash] = []
    tasks = TaskOwner(crashes.append)
    process = await SandboxProcess.start(policy or SandboxPolicy(), tasks)
    control = {"x-control-token": process.handshake.control_token.reveal()}
    try:
        async with calling(process.handshake.url, control) as client:
            yield process, client
    finally:
        await process.stop()
        await tasks.join()
    assert not crashes


def is_listening(url: str) -> bool:
    address = httpx.URL(url)
    with socket.socket() as probe:
        return probe.connect_ex((address.host, address.port or 0)) == 0


def is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    status = Path(f"/proc/{pid}/stat")
    with contextlib.suppress(FileNotFoundError):
        return status.read_text().rpartition(")")[2].split()[0] != "Z"
    return not status.parent.parent.exists()


async def test_a_child_serves_feeds_and_ends_in_a_session_of_its_own() -> None:
    workload = WorkloadPolicy(prompts=(Prompt("m", "line\nbreak"),), rate_per_s=50, share_other=0)
    async with child(SandboxPolicy(workload=workload, seed=1)) as (process, client):
        assert os.getsid(process.handshake.pid) == process.handshake.pid != os.getsid(0)
        bearer = await enter(client)

        async def claimed() -> bool:
            job = (await client.get("/worker/get_job", headers=bearer)).json()["job_data"]
            return bool(job and job["messages"][0]["content"] == "line\nbreak")

        while not await claimed():  # noqa: ASYNC110 - the feeder is in another process
            await asyncio.sleep(0.01)
        feeder = (await client.post("/sandbox/feeder", json={"running": False})).json()
        assert not feeder["running"]
        assert process.returncode is None
    assert process.returncode == 0
    assert await process.wait() == 0
    assert await process.stop() == 0
    assert not is_listening(process.handshake.url)


async def test_bugs_limits_and_the_end_of_tokens_reach_the_process() -> None:
    policy = SandboxPolicy(bugs=parse_bugs(["lose-result"]), rate_per_s=1000, lease_s=1)
    async with child(policy) as (process, client):
        control = {"x-control-token": process.handshake.control_token.reveal()}
        token = (await client.post("/worker/register_node", json={"node_url": "a"})).json()["access_token"]
        bearer = {"authorization": f"Bearer {token}"}
        await client.post("/worker/update_models", json={"node_url": "a", "models": ["m"]}, headers=bearer)
        job = {"model": "m", "messages": [], "max_output": 1}
        await client.post("/submit_job", json=job, headers={"api_key": "k"})
        data = (await client.get("/worker/get_job", headers=bearer)).json()["job_data"]
        result = {"job_id": data["job_id"], "api_key": "k", "model_name": "m", "status": "success"}
        content = {**result, "result": {"message": {"content": "x"}}}
        assert (await client.post("/worker/update_result", json=content, headers=bearer)).status_code == 200
        page = (await client.get("/sandbox/jobs", headers=control)).json()
        row = decode(page["rows"][0])
        assert (row.state, [answer.receipt for answer in row.answers]) == ("lost", ["dropped"])
        assert (await client.get("/sandbox/limits", headers=control)).json()["rate_per_s"] == 1000
        assert (await client.post("/sandbox/expire_tokens", headers=control)).status_code == 200
        assert (await client.get("/worker/get_job", headers=bearer)).status_code == 401


async def test_its_stop_answers_who_waits() -> None:
    async with child(SandboxPolicy(faults=(FaultRule("ping", "hang"),))) as (process, client):
        chat = asyncio.create_task(client.post("/chat/completions", json=CHAT, headers=KEY))
        ping = asyncio.create_task(client.get("/worker/ping"))
        while (await client.get("/sandbox/ledger")).json()["submitted"] == 0:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        assert await process.stop() == 0
        assert (await chat).status_code == 504
        with pytest.raises(httpx.TransportError):
            await ping


@pytest.mark.parametrize("kind", ["cut", "reset", "hang"])
async def test_faults_break_connections_of_uvloop_too(kind: FaultKind) -> None:
    rule = FaultRule("submit_job", kind, count=1)
    async with child(SandboxPolicy(faults=(rule,))) as (process, client):
        with pytest.raises(httpx.TransportError):
            await client.post("/submit_job", json=JOB, headers=KEY, timeout=0.5 if kind == "hang" else 10)
        assert (await client.post("/submit_job", json=JOB, headers=KEY)).status_code == 200
        assert not process.last_lines


@pytest.mark.parametrize("kill", [True, False])
async def test_what_was_accepted_queued_and_leased_outlives_the_process(tmp_path: Path, kill: bool) -> None:
    policy = SandboxPolicy(data_dir=tmp_path, points_per_minute=0)
    async with child(policy) as (process, client):
        assert (await client.post("/check_node_secret", json={"node_id": "a", "secret": "s"})).status_code == 200
        bearer = await enter(client)
        ids = [(await client.post("/submit_job", json=JOB, headers=KEY)).json()["job_id"] for _ in range(3)]
        done, leased = [(await client.get("/worker/get_job", headers=bearer)).json()["job_data"] for _ in range(2)]
        assert (await client.post("/worker/update_result", json=answer(done), headers=bearer)).status_code == 200
        if kill:
            os.kill(process.handshake.pid, signal.SIGKILL)
            assert await process.wait() == -signal.SIGKILL
    async with child(policy) as (_, client):
        wrong = await client.post("/check_node_secret", json={"node_id": "a", "secret": "other"})
        assert wrong.status_code == 401
        assert (await client.post("/worker/update_result", json=answer(done), headers=bearer)).status_code == 409
        points = (await client.get("/get_points", params={"node_name": "a"}, headers=bearer)).json()
        assert points["points"] == 1
        assert (await client.get(f"/get_result/{ids[0]}", headers=KEY)).json()["status"] == "success"
        ledger = (await client.get("/sandbox/ledger")).json()
        assert [ledger[key] for key in ("submitted", "accepted", "leased", "pending", "lost")] == [3, 1, 1, 1, 0]
        last = (await client.get("/worker/get_job", headers=bearer)).json()["job_data"]
        assert last["job_id"] == ids[2]
        for job in (leased, last):
            assert (await client.post("/worker/update_result", json=answer(job), headers=bearer)).status_code == 200


async def test_killed_in_the_middle_of_work_nothing_that_was_said_is_taken_back(tmp_path: Path) -> None:
    policy = SandboxPolicy(data_dir=tmp_path, points_per_minute=0)
    accepted: list[str] = []
    submitted: list[str] = []
    async with child(policy) as (process, client):
        bearers = [await enter(client, f"node-{number}") for number in range(8)]

        async def work(bearer: dict[str, str]) -> None:
            with contextlib.suppress(httpx.TransportError):
                while True:
                    ticket = await client.post("/submit_job", json=JOB, headers=KEY)
                    submitted.append(ticket.json()["job_id"])
                    job = (await client.get("/worker/get_job", headers=bearer)).json()["job_data"]
                    if job is None:
                        continue
                    reply = await client.post("/worker/update_result", json=answer(job), headers=bearer)
                    if reply.status_code == 200:
                        accepted.append(job["job_id"])

        workers = [asyncio.create_task(work(bearer)) for bearer in bearers]
        await wait_until(lambda: len(accepted) >= 100)
        os.kill(process.handshake.pid, signal.SIGKILL)
        await asyncio.gather(*workers)
    async with child(policy) as (_, client):
        for job_id in accepted:
            assert (await client.get(f"/get_result/{job_id}", headers=KEY)).status_code == 200
        rows = (await client.get("/sandbox/ledger", params={"detail": 1})).json()
        assert set(submitted) <= {row["job_id"] for row in rows["jobs"]}
        assert rows["submitted"] == rows["pending"] + rows["leased"] + rows["accepted"]
        assert rows["accepted"] >= len(accepted)
        assert rows["points"] == rows["accepted"]


async def test_without_data_a_restart_forgets_everything() -> None:
    async with child() as (_, client):
        bearer = await enter(client)
        await client.post("/submit_job", json=JOB, headers=KEY)
        job = (await client.get("/worker/get_job", headers=bearer)).json()["job_data"]
    async with child() as (_, client):
        assert (await client.get("/worker/get_job", headers=bearer)).status_code == 401
        bearer = await enter(client)
        assert (await client.post("/worker/update_result", json=answer(job), headers=bearer)).status_code == 404


async def test_two_sandboxes_on_one_folder_are_refused(tmp_path: Path) -> None:
    policy = SandboxPolicy(data_dir=tmp_path)
    async with child(policy):
        tasks = TaskOwner(print)
        with pytest.raises(SandboxFailed, match="in use"):
            await SandboxProcess.start(policy, tasks)
        await tasks.join()


async def test_a_taken_port_is_told_with_the_childs_last_lines() -> None:
    lines: list[str] = []
    with socket.create_server(("127.0.0.1", 0)) as other:
        tasks = TaskOwner(print)
        with pytest.raises(SandboxFailed, match=r"exit code 2\n.*is taken by another program"):
            await SandboxProcess.start(SandboxPolicy(port=other.getsockname()[1]), tasks, on_line=lines.append)
        await tasks.join()
    assert len(lines) == 1


async def test_a_child_that_does_not_listen_in_time_is_killed() -> None:
    tasks = TaskOwner(print)
    with pytest.raises(SandboxFailed, match=r"did not listen within 0\.001 s"):
        await SandboxProcess.start(SandboxPolicy(), tasks, timeout_s=0.001)
    await tasks.join()


async def test_a_cancelled_start_leaves_no_child() -> None:
    tasks = TaskOwner(print)
    start = asyncio.create_task(SandboxProcess.start(SandboxPolicy(), tasks))
    await wait_until(lambda: len(tasks))
    start.cancel()
    with pytest.raises(asyncio.CancelledError):
        await start
    await tasks.join()


async def test_a_child_that_does_not_react_is_killed_in_the_end() -> None:
    async with child() as (process, _):
        os.kill(process.handshake.pid, signal.SIGSTOP)
        assert await process.stop(grace_s=0.2) == -signal.SIGKILL


PARENT = """
import asyncio
from node.runtime.tasks import TaskOwner
from node.sandbox.policy import SandboxPolicy
from node.sandbox.process import SandboxProcess

async def main():
    child = await SandboxProcess.start(SandboxPolicy(), TaskOwner(print))
    print(child.handshake.pid, child.handshake.url, flush=True)
    await asyncio.sleep(60)

asyncio.run(main())
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_child_is_gone_when_its_parent_is(number: int, tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(
        [sys.executable, "-c", PARENT], stdout=subprocess.PIPE, text=True, cwd=tmp_path, env=environment
    ) as parent:
        assert parent.stdout is not None
        pid, url = parent.stdout.readline().split()
        assert is_listening(url)
        parent.send_signal(number)
        parent.wait(10)
    wait_until_sync(lambda: not is_running(int(pid)), what="the orphan ends")
    assert not is_listening(url)


def start(*arguments: str, cwd: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "node.sandbox", *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_with_a_file_it_stands_on_its_own_until_a_signal(number: int, tmp_path: Path) -> None:
    (tmp_path / "sandbox.json").write_bytes(dump_policy(SandboxPolicy()))
    with start("--config", "sandbox.json", cwd=tmp_path) as process:
        assert process.stdin is not None
        process.stdin.close()
        assert process.stdout is not None
        assert '"url"' in process.stdout.readline()
        assert process.poll() is None
        process.send_signal(number)
        assert process.wait(10) == 0


@pytest.mark.parametrize(
    ("arguments", "given", "code", "said"),
    [
        ([], "", 0, ""),
        ([], "{nonsense\n", 2, "sandbox configuration"),
        (["--config", "missing.json"], "", 2, "missing.json: No such file"),
        (["--unknown"], "", 2, "usage"),
    ],
)
def test_a_start_that_cannot_be_ends_with_a_clear_word(
    arguments: list[str], given: str, code: int, said: str, tmp_path: Path
) -> None:
    with start(*arguments, cwd=tmp_path) as process:
        output, errors = process.communicate(given, timeout=20)
        assert (process.returncode, output) == (code, "")
        assert said in errors
        assert "Traceback" not in errors
