"""The port of the live page: who may read, who may steer, and what is told."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest

from node.domain.errors import InvalidInput
from node.loadtest.driver.run import Phase
from node.loadtest.driver.verdict import Verdict
from node.loadtest.live.feed import MAX_READERS
from node.loadtest.live.page import live_page
from tests.support.waiting import wait_until
from tests.unit.loadtest.live.known_run import KnownRun, under_load

ORDERS = ("start", "pause", "resume", "stop")


@asynccontextmanager
async def opened(run: KnownRun) -> AsyncIterator[httpx.AsyncClient]:
    async with live_page(run, 0) as url, httpx.AsyncClient(base_url=url, trust_env=False) as client:
        yield client


async def token_of(client: httpx.AsyncClient) -> str:
    found = re.search(r'<meta name="token" content="([^"]+)">', (await client.get("/")).text)
    assert found is not None
    return found[1]


async def events(client: httpx.AsyncClient, until: str) -> list[tuple[str, Any]]:
    """What is told from the beginning to the first event of that name."""
    told: list[tuple[str, Any]] = []
    async with client.stream("GET", "/events") as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        name = ""
        async for line in answer.aiter_lines():
            if line.startswith("event: "):
                name = line.removeprefix("event: ")
            elif line.startswith("data: "):
                told.append((name, json.loads(line.removeprefix("data: "))))
                if name == until:
                    return told
    raise AssertionError(f"it ended without {until}: {told}")


@pytest.mark.parametrize("order", ORDERS)
async def test_an_order_with_the_token_of_the_page_is_given(order: str) -> None:
    run = KnownRun()
    async with opened(run) as client:
        answer = await client.post(f"/{order}", headers={"x-run-token": await token_of(client)})
    assert answer.status_code == 200
    assert answer.json()["phase"] == run.standing.phase.value
    assert run.orders == [order]


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 403),
        ({"x-run-token": ""}, 403),
        ({"x-run-token": "wrong"}, 403),
        ({"x-run-token": "TOKEN", "origin": "http://evil.example"}, 403),
        ({"x-run-token": "TOKEN", "origin": "null"}, 403),
        ({"x-run-token": "TOKEN", "origin": "http://127.0.0.1:1"}, 403),
        ({"x-run-token": "TOKEN", "sec-fetch-site": "cross-site"}, 403),
        ({"x-run-token": "TOKEN", "sec-fetch-site": "same-site"}, 403),
        ({"x-run-token": "TOKEN", "host": "evil.example"}, 421),
    ],
)
async def test_an_order_from_elsewhere_is_refused(order: str, headers: dict[str, str], status: int) -> None:
    run = KnownRun()
    async with opened(run) as client:
        token = await token_of(client)
        given = {name: value.replace("TOKEN", token) for name, value in headers.items()}
        answer = await client.post(f"/{order}", headers=given)
    assert answer.status_code == status
    assert run.orders == []


@pytest.mark.parametrize("order", ORDERS)
async def test_orders_are_not_given_by_reading(order: str) -> None:
    run = KnownRun()
    async with opened(run) as client:
        token = await token_of(client)
        for method in ("GET", "HEAD", "PUT", "OPTIONS"):
            assert (await client.request(method, f"/{order}", headers={"x-run-token": token})).status_code == 405
    assert run.orders == []


@pytest.mark.parametrize("path", ["/", "/state", "/events", "/metrics"])
@pytest.mark.parametrize(
    "host",
    ["evil.example", "127.0.0.1.evil.example", "localhost.evil.example:80", "user@127.0.0.1", "", "[::1", "0.0.0.0"],
)
async def test_what_is_asked_by_another_name_is_not_answered(path: str, host: str) -> None:
    async with opened(KnownRun()) as client:
        answer = await client.get(path, headers={"host": host})
    assert answer.status_code == 421
    assert "known run" not in answer.text


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "LOCALHOST:9000", "[::1]:8089"])
async def test_names_of_this_machine_are_answered(host: str) -> None:
    """Through a tunnel the port is another."""
    async with opened(KnownRun()) as client:
        token = await token_of(client)
        assert (await client.get("/state", headers={"host": host})).status_code == 200
        headers = {"host": host, "origin": f"http://{host}", "x-run-token": token, "sec-fetch-site": "same-origin"}
        assert (await client.post("/start", headers=headers)).status_code == 200


@pytest.mark.parametrize("path", ["/state", "/events", "/metrics"])
async def test_other_sites_do_not_read(path: str) -> None:
    async with opened(KnownRun()) as client:
        for headers in ({"origin": "http://evil.example"}, {"sec-fetch-site": "cross-site"}):
            assert (await client.get(path, headers=headers)).status_code == 403


async def test_every_page_has_a_token_of_its_own_and_is_not_kept() -> None:
    tokens = []
    for _ in range(2):
        async with opened(KnownRun()) as client:
            tokens.append(await token_of(client))
            page = await client.get("/")
            assert page.headers["cache-control"] == "no-store"
            policy = page.headers["content-security-policy"]
            assert "default-src 'none'" in policy
            assert "unsafe" not in policy
            assert "http" not in policy
    assert tokens[0] != tokens[1]
    assert min(map(len, tokens)) >= 32


async def test_state_tells_how_it_stands() -> None:
    run = KnownRun()
    async with opened(run) as client:
        before = (await client.get("/state")).json()
        assert (before["phase"], before["begun_at"], before["p99_s"]["job"]) == ("waiting", None, None)
        under_load(run)
        state = (await client.get("/state")).json()
    assert (state["offered"], state["accepted"], state["nodes"], state["errors"]) == (600, 570, 20, 12)
    assert state["states"] == {"idle": 10, "processing": 7, "checking": 1, "backing off": 2}
    assert 0 < state["p99_s"]["poll"] < 0.1
    assert state["verdict"] is None


async def test_metrics_are_those_of_the_run() -> None:
    run = under_load(KnownRun())
    async with opened(run) as client:
        answer = await client.get("/metrics")
        assert answer.headers["content-type"].startswith("text/plain")
        assert "600" in answer.text
        run.figures.counts.clear()
        # Made once a second at most.
        assert (await client.get("/metrics")).text == answer.text


async def test_events_tell_the_whole_history_first_and_end_with_the_verdict() -> None:
    run = KnownRun()
    async with opened(run) as client:
        under_load(run)
        told = await events(client, "state")
        assert [name for name, _ in told] == ["plan", "cells", "cells", "marks", "errors", "state"]
        assert told[0][1]["name"] == "known run"
        assert told[1][1]["rows"]["accepted"] == [19] * 30
        run.verdict = Verdict.PASSED
        run.become(phase=Phase.OVER)
        told = await events(client, "end")
        assert told[-2][0] == "state"
        assert told[-2][1]["verdict"] == "passed"


async def test_each_tick_is_told_as_it_is() -> None:
    run = KnownRun()
    async with opened(run) as client:
        for offered in (20, 40):
            run.second(1, {})
            for _ in range(2):
                assert (await events(client, "cells"))[-1][1]["rows"]["offered"] == [offered]


async def test_a_verdict_is_told_even_without_a_tick() -> None:
    run = under_load(KnownRun())
    run.become(phase=Phase.OVER)
    async with opened(run) as client:
        reading = asyncio.create_task(events(client, "end"))
        await wait_until(lambda: run.watchers)
        run.verdict = Verdict.VOID
        assert dict(await reading)["state"]["verdict"] == "void"


@pytest.mark.parametrize("phase", [Phase.LOAD, Phase.OVER])
async def test_what_stands_after_the_end_is_not_drawn(phase: Phase) -> None:
    run = KnownRun()
    async with opened(run) as client:
        run.second(1, {})
        run.verdict = Verdict.PASSED
        run.become(phase=phase, queued=50)
        told = await events(client, "end")
    drawn = [block["rows"]["queued"] for name, block in told if name == "cells" and block["track"] == "standing"]
    assert drawn == [[3]]
    assert dict(told)["state"]["is_over"]


async def test_readers_are_bounded_and_make_room_when_they_leave() -> None:
    run = under_load(KnownRun())
    async with opened(run) as client:
        streams = []
        for _ in range(MAX_READERS):
            stream = client.stream("GET", "/events")
            assert (await stream.__aenter__()).status_code == 200
            streams.append(stream)
        one_more = await client.get("/events")
        assert (one_more.status_code, one_more.headers["retry-after"]) == (503, "5")
        for stream in streams:
            await stream.__aexit__(None, None, None)

        assert await opened_in_time(client)


async def opened_in_time(client: httpx.AsyncClient) -> bool:
    """Whether a reader finds room, within some seconds."""
    for _ in range(200):
        async with client.stream("GET", "/events") as answer:
            if answer.status_code == 200:
                return True
        await asyncio.sleep(0.02)
    return False


async def test_a_reader_that_does_not_read_holds_nobody_up() -> None:
    run = under_load(KnownRun())
    async with opened(run) as client:
        port = client.base_url.port
        assert port is not None
        _, idle = await asyncio.open_connection("127.0.0.1", port, limit=1024)
        idle.write(f"GET /events HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n".encode())
        for second in range(31, 400):
            run.second(second, {})
            await asyncio.sleep(0)
        assert dict(await events(client, "state"))["state"]["elapsed_s"] == 399
        idle.close()


async def test_a_port_that_is_taken_is_told() -> None:
    async with opened(KnownRun()) as client:
        port = client.base_url.port
        assert port is not None
        with pytest.raises(InvalidInput, match="live page"):
            async with live_page(KnownRun(), port):
                raise AssertionError("there are two on one port")


async def test_nothing_is_left_behind() -> None:
    run = KnownRun()
    async with opened(run) as client:
        stream = client.stream("GET", "/events")
        await stream.__aenter__()
        assert run.watchers == 1
    assert run.watchers == 0
    tasks = [task.get_name() for task in asyncio.all_tasks() if "live page" in task.get_name()]
    assert tasks == []
