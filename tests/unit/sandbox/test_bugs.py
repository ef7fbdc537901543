"""What each bug does over HTTP, and what the ledger then shows."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import pytest

from node.sandbox.bugs import parse_bugs
from node.sandbox.job_rows import JobRow, decode, result_digest
from node.sandbox.policy import SandboxPolicy
from tests.support.virtual_time import in_virtual_time
from tests.unit.sandbox.building import JOB, Client, a_sandbox, enter, wire_result

LEASE_S = 10.0


@dataclass
class World:
    """A gateway with two nodes, a and b, and what its ledger says."""

    client: Client
    a: Client
    b: Client

    async def submit(self, model: str = "m") -> str:
        told: str = (await self.client.with_key().post("/submit_job", {**JOB, "model": model})).json["job_id"]
        return told

    async def poll(self, node: Client) -> dict[str, Any] | None:
        answered = await node.get("/worker/get_job")
        assert answered.status == 200
        job: dict[str, Any] | None = answered.json["job_data"]
        return job

    async def claim(self, node: Client) -> dict[str, Any]:
        job = await self.poll(node)
        assert job is not None
        return job

    async def send(self, node: Client, job: dict[str, Any], text: str = "an answer") -> int:
        return (await node.post("/worker/update_result", wire_result(job, text))).status

    async def stored(self, job_id: str) -> tuple[int, str]:
        answered = await self.client.with_key().get(f"/get_result/{job_id}")
        return answered.status, answered.json["result"]["message"]["content"] if answered.status == 200 else ""

    async def done(self, node: Client, name: str) -> int:
        count: int = (await self.client.get(f"/node_job_count?node_name={name}")).json["node_job_count"]
        points = (await node.get(f"/get_points?node_name={name}")).json["points"]
        assert points == count
        return count

    async def rows(self) -> list[JobRow]:
        page = (await self.client.with_control().get("/sandbox/jobs")).json
        assert page["next_after"] is None
        return [decode(row) for row in page["rows"]]

    async def row(self, job_id: str) -> JobRow:
        return next(row for row in await self.rows() if row.job_id == job_id)

    async def totals(self) -> dict[str, Any]:
        totals: dict[str, Any] = (await self.client.with_control().get("/sandbox/ledger")).json
        return totals


@contextlib.asynccontextmanager
async def a_world(*bugs: str, seed: int = 1, models_of_b: tuple[str, ...] = ("m",)) -> AsyncIterator[World]:
    policy = SandboxPolicy(
        bugs=parse_bugs(bugs), lease_s=LEASE_S, prefer_other_s=1, points_per_minute=0, token_lifetime_s=1000
    )
    async with a_sandbox(policy, seed) as (_, client):
        yield World(client, await enter(client, "a"), await enter(client, "b", *models_of_b))


Scenario = Callable[[World], Awaitable[None]]
WITH: dict[str, Scenario] = {}
WITHOUT: dict[str, Scenario] = {}


def shows(bug: str, *, planted: bool = True) -> Callable[[Scenario], Scenario]:
    def keep(scenario: Scenario) -> Scenario:
        (WITH if planted else WITHOUT)[bug] = scenario
        return scenario

    return keep


@shows("lose-result")
async def _(world: World) -> None:
    job = await world.submit()
    assert await world.send(world.a, await world.claim(world.a)) == 200
    row = await world.row(job)
    assert (row.state, row.credits) == ("lost", ())
    assert [(answer.node, answer.receipt) for answer in row.answers] == [("a", "dropped")]
    assert [(claim.node, claim.ended) for claim in row.claims] == [("a", "answered")]
    await asyncio.sleep(2 * LEASE_S)
    assert await world.poll(world.b) is None
    assert (await world.stored(job), await world.done(world.a, "a")) == ((404, ""), 0)
    totals = await world.totals()
    assert (totals["lost"], totals["accepted"], totals["pending"], totals["leased"]) == (1, 0, 0, 0)


@shows("false-conflict")
async def _(world: World) -> None:
    job = await world.submit()
    assert await world.send(world.a, await world.claim(world.a)) == 409
    row = await world.row(job)
    assert (row.state, row.credits, [answer.receipt for answer in row.answers]) == ("lost", (), ["dropped"])
    assert (await world.stored(job))[0] == 404


@shows("double-accept")
async def _(world: World) -> None:
    job = await world.submit()
    data = await world.claim(world.a)
    await asyncio.sleep(LEASE_S)
    assert await world.claim(world.b) == data
    assert [await world.send(node, data, text) for node, text in ((world.b, "one"), (world.a, "two"))] == [200, 200]
    assert await world.stored(job) == (200, "two")
    row = await world.row(job)
    assert [(answer.node, answer.receipt) for answer in row.answers] == [("b", "accepted"), ("a", "accepted")]
    assert row.credits == ("b", "a")
    assert (await world.done(world.a, "a"), await world.done(world.b, "b")) == (1, 1)
    assert await world.send(world.a, data) == 200
    assert (await world.totals())["accepted"] == 3


@shows("accept-unclaimed")
async def _(world: World) -> None:
    job = await world.submit()
    data = await world.claim(world.a)
    assert await world.send(world.b, data) == 200
    row = await world.row(job)
    assert ([claim.node for claim in row.claims], [answer.node for answer in row.answers]) == (["a"], ["b"])
    assert row.claims[0].ended == "answered"
    assert await world.send(world.a, data) == 409


@shows("double-credit")
async def _(world: World) -> None:
    job = await world.submit()
    assert await world.send(world.a, await world.claim(world.a)) == 200
    assert (await world.row(job)).credits == ("a", "a")
    assert await world.done(world.a, "a") == 2
    assert len((await world.row(job)).answers) == 1


@shows("no-credit")
async def _(world: World) -> None:
    job = await world.submit()
    assert await world.send(world.a, await world.claim(world.a)) == 200
    assert ((await world.row(job)).credits, (await world.row(job)).state) == ((), "answered")
    assert await world.done(world.a, "a") == 0


@shows("credit-other")
async def _(world: World) -> None:
    job = await world.submit()
    assert await world.send(world.a, await world.claim(world.a)) == 200
    assert (await world.row(job)).credits == ("b",)
    assert (await world.done(world.a, "a"), await world.done(world.b, "b")) == (0, 1)


@shows("double-deliver")
async def _(world: World) -> None:
    job = await world.submit()
    data = await world.claim(world.a)
    assert await world.poll(world.a) is None
    await asyncio.sleep(1)
    assert await world.claim(world.b) == data
    assert await world.poll(world.a) is None
    row = await world.row(job)
    first, second = row.claims
    assert (first.node, first.ended, second.node, second.ended) == ("a", None, "b", None)
    assert first.until is not None
    assert first.at < second.at < first.until
    assert [await world.send(node, data) for node in (world.b, world.a)] == [200, 409]
    assert (await world.row(job)).claims[1].ended == "answered"


@shows("no-redelivery")
async def _(world: World) -> None:
    lapses = await world.submit()
    await world.claim(world.a)
    await asyncio.sleep(LEASE_S)
    left = await world.submit()
    await world.claim(world.a)
    await world.a.post("/worker/deregister_node", {"node_url": "a"})
    await asyncio.sleep(5 * LEASE_S)
    assert await world.poll(world.b) is None
    rows = {row.job_id: row for row in await world.rows()}
    assert [(rows[job].state, rows[job].claims[0].ended) for job in (lapses, left)] == [
        ("lost", "lapsed"),
        ("lost", "left"),
    ]
    totals = await world.totals()
    assert (totals["lost"], totals["returned"], totals["leased"], totals["pending"]) == (2, 0, 0, 0)


@shows("leak-lease")
async def _(world: World) -> None:
    job = await world.submit()
    data = await world.claim(world.a)
    assert await world.send(world.a, data, "right") == 200
    row = await world.row(job)
    assert (row.state, row.claims[0].ended, (await world.totals())["leased"]) == ("answered", None, 1)
    assert await world.poll(world.b) is None
    await asyncio.sleep(LEASE_S)
    assert await world.claim(world.b) == data
    assert await world.send(world.b, data, "wrong") == 409
    await asyncio.sleep(5 * LEASE_S)
    assert [await world.poll(node) for node in (world.a, world.b)] == [None, None]
    row = await world.row(job)
    assert [(claim.node, claim.ended) for claim in row.claims] == [("a", "lapsed"), ("b", "answered")]
    assert row.claims[1].at > row.answers[0].at
    assert await world.stored(job) == (200, "right")
    assert (await world.done(world.a, "a"), await world.done(world.b, "b"), row.credits) == (1, 0, ("a",))


@shows("short-lease")
async def _(world: World) -> None:
    job = await world.submit()
    data = await world.claim(world.a)
    await asyncio.sleep(LEASE_S / 2)
    assert await world.claim(world.b) == data
    claim = (await world.row(job)).claims[0]
    assert claim.until is not None
    assert claim.ended_at is not None
    assert (claim.ended, claim.until - claim.at) == ("lapsed", pytest.approx(LEASE_S))
    assert claim.ended_at < claim.until


@shows("endless-lease")
async def _(world: World) -> None:
    job, other = await world.submit(), await world.submit()
    data = await world.claim(world.a)
    await world.claim(world.a)
    await world.a.post("/worker/deregister_node", {"node_url": "a"})
    await asyncio.sleep(100 * LEASE_S - 1)
    rows = await world.rows()
    assert [(row.state, row.claims[0].ended) for row in rows] == [("leased", None), ("leased", None)]
    assert await world.poll(world.b) is None
    assert await world.send(world.a, data) == 200
    assert ((await world.row(job)).claims[0].ended, (await world.row(other)).state) == ("answered", "leased")


@shows("wrong-model")
async def _(world: World) -> None:
    job = await world.submit("big")
    data = await world.claim(world.a)
    assert (data["job_id"], data["model"]) == (job, "big")
    row = await world.row(job)
    assert (row.model, row.claims[0].node) == ("big", "a")


@shows("starve")
async def _(world: World) -> None:
    job = await world.submit()
    await asyncio.sleep(5 * LEASE_S)
    assert [await world.poll(node) for node in (world.a, world.b)] == [None, None]
    row = await world.row(job)
    assert (row.state, row.claims) == ("queued", ())


@shows("lose-job")
async def _(world: World) -> None:
    job = await world.submit()
    assert await world.poll(world.a) is None
    row = await world.row(job)
    assert (row.state, row.claims, (await world.stored(job))[0]) == ("lost", (), 404)
    totals = await world.totals()
    assert (totals["submitted"], totals["pending"]) == (1, 0)


@shows("phantom-job")
async def _(world: World) -> None:
    job = await world.submit()
    data = await world.claim(world.a)
    phantom = await world.claim(world.b)
    assert data["job_id"] == job != phantom["job_id"]
    assert phantom == {**data, "job_id": phantom["job_id"]}
    assert await world.poll(world.a) is None
    assert await world.send(world.b, phantom) == 200
    rows = await world.rows()
    assert [row.submitted_at is None for row in rows] == [False, True]
    assert (rows[1].state, rows[1].credits) == ("answered", ("b",))
    ledger = (await world.client.with_control().get("/sandbox/ledger?detail=1")).json
    assert [row["submitted_at"] is None for row in ledger["jobs"]] == [False, True]
    assert (ledger["submitted"], ledger["accepted"]) == (1, 1)


@shows("swap-result")
async def _(world: World) -> None:
    jobs = [await world.submit(), await world.submit()]
    for text in ("one", "two"):
        assert await world.send(world.a, await world.claim(world.a), text) == 200
    assert [await world.stored(job) for job in jobs] == [(200, "two"), (200, "one")]
    digests = [(await world.row(job)).answers[0].digest for job in jobs]
    assert digests == [result_digest("success", text, None) for text in ("two", "one")]


@shows("corrupt-result")
async def _(world: World) -> None:
    job = await world.submit()
    assert await world.send(world.a, await world.claim(world.a), "0123456789") == 200
    assert await world.stored(job) == (200, "01234\ufffd")
    assert (await world.row(job)).answers[0].digest == result_digest("success", "01234\ufffd", None)


@shows("stale-token")
async def _(world: World) -> None:
    await asyncio.sleep(2000)
    assert await world.poll(world.a) is None
    assert (await world.client.with_control().post("/sandbox/expire_tokens", {})).status == 200
    assert await world.poll(world.b) is None
    assert (await world.client.with_token("forged").get("/worker/get_job")).status == 401


@shows("forget-node")
async def _(world: World) -> None:
    granted = await world.client.post("/worker/register_node", {"node_url": "c"})
    node = world.client.with_token(granted.json["access_token"])
    assert (granted.status, (await node.get("/worker/get_job")).status) == (200, 400)
    assert (await node.post("/worker/update_models", {"node_url": "c", "models": ["m"]})).status == 400


@pytest.mark.parametrize("bug", WITH)
def test_a_bug_does_what_it_says(bug: str) -> None:
    @in_virtual_time
    async def run() -> None:
        # Registrations fail without end where each one is forgotten: the two nodes come in before that is so.
        async with a_world(*([bug] if bug != "forget-node" else [])) as world:
            if bug != "forget-node":
                await WITH[bug](world)
                return
        policy = SandboxPolicy(bugs=parse_bugs([bug]))
        async with a_sandbox(policy) as (_, client):
            await WITH[bug](World(client, client, client))

    run()


@pytest.mark.parametrize("bug", WITH)
def test_a_gateway_without_the_bug_does_not(bug: str) -> None:
    @in_virtual_time
    async def run() -> None:
        async with a_world() as world:
            with pytest.raises(AssertionError):
                await WITH[bug](world)

    run()


async def a_history(*bugs: str) -> list[Any]:
    """Everything that a run of some rough work shows from outside."""
    seen: list[Any] = []
    async with a_world(*bugs) as world:
        for turn in range(30):
            await world.submit("m" if turn % 3 else "n")
            for node in (world.a, world.b):
                job = await world.poll(node)
                seen.append(job)
                if job is not None and turn % 4:
                    seen.append(await world.send(node, job, f"answer {turn}"))
                    if turn % 5 == 0:
                        seen.append(await world.send(node, job, "again"))
            await asyncio.sleep(2)
        seen.append(await world.totals())
        seen.extend(await world.rows())
        seen.append((await world.client.with_control().get("/sandbox/nodes")).json)
    return seen


def test_bugs_that_never_strike_change_nothing() -> None:
    histories: list[list[Any]] = []

    async def run(*bugs: str) -> None:
        histories.append(await a_history(*bugs))

    in_virtual_time(run)()
    in_virtual_time(run)(*(f"{bug}=1e-300" for bug in WITH if bug != "starve"))
    assert histories[0] == histories[1]


SHARES = {
    "lose-result": lambda row: row.state == "lost",
    "double-credit": lambda row: len(row.credits) == 2,
    "no-credit": lambda row: not row.credits,
    "credit-other": lambda row: row.credits == ("b",),
    "false-conflict": lambda row: row.state == "lost",
    "leak-lease": lambda row: row.claims[0].ended is None,
    "double-deliver": lambda row: row.state == "answered" and len(row.claims) == 2,
    "lose-job": lambda row: not row.claims,
    "corrupt-result": lambda row: row.answers[0].digest != result_digest("success", "text", None),
}


@pytest.mark.parametrize("bug", SHARES)
def test_a_share_is_met(bug: str) -> None:
    struck: list[int] = []

    async def run(seed: int) -> None:
        async with a_world(f"{bug}=0.3", seed=seed) as world:
            for _ in range(300):
                await world.submit()
                jobs = [await world.poll(node) for node in (world.a, world.b)]
                for node, job in zip((world.a, world.b), jobs, strict=True):
                    if job is not None:
                        await world.send(node, job, "text")
            count = sum(map(SHARES[bug], await world.rows()))
            report = (await world.client.with_control().get("/sandbox/bugs")).json
            assert report == {"bugs": [{"kind": bug, "share": 0.3, "occasions": 300, "struck": count}]}
            struck.append(count)

    for seed in (1, 1, 2):
        in_virtual_time(run)(seed)
    assert struck[0] == struck[1]
    assert all(abs(count - 90) < 4 * (300 * 0.3 * 0.7) ** 0.5 for count in struck)


@in_virtual_time
async def test_a_failed_job_is_counted_and_earns_nothing_however_often() -> None:
    async with a_world("double-credit") as world:
        job = await world.submit()
        data = await world.claim(world.a)
        failed = {**wire_result(data, ""), "status": "error"}
        assert (await world.a.post("/worker/update_result", failed)).status == 200
        assert (await world.row(job)).credits == ()
        rows = (await world.client.with_control().get("/sandbox/nodes")).json["nodes"]
        assert (rows[0]["failed"], rows[0]["points"]) == (2, 0)


@in_virtual_time
async def test_a_leaked_lease_of_a_forgotten_job_does_no_harm() -> None:
    policy = SandboxPolicy(bugs=parse_bugs(["leak-lease"]), lease_s=50, keep_results_s=20, checkpoint_s=5, keep_rows=10)
    async with a_sandbox(policy) as (_, client):
        world = World(client, await enter(client, "a"), await enter(client, "b"))
        job = await world.submit()
        assert await world.send(world.a, await world.claim(world.a)) == 200
        await asyncio.sleep(200)
        assert await world.poll(world.b) is None
        assert (await world.row(job)).claims[0].ended is None
