"""The suites can fail: bugs planted in transports, verdicts and steps are all found out."""

from __future__ import annotations

import asyncio
import itertools
import ssl
from collections.abc import Mapping
from contextlib import suppress

import httpx
import pytest

from node.domain.errors import TimedOut
from node.domain.proxies import ProxyAddress
from node.gateway import client, httpx_transport
from node.gateway.httpx_transport import HttpxTransportFactory
from node.ports.transport import Reply, Request, Transport
from node.protocol.routes import Step
from node.protocol.verdict import Judged, judge
from tests.contract.transport.conftest import TRANSPORTS
from tests.evil import fuzz as fuzzing
from tests.evil.cases import CASES, redirects
from tests.evil.fuzz import WIRE_EVERY, fuzz
from tests.evil.parts import MIB
from tests.evil.server import bait
from tests.evil.steps import STEPS
from tests.evil.table import play
from tests.evil.test_transports import check, smuggle
from tests.evil.trials import Outcome

pytestmark = pytest.mark.timeout(120)

CASE = {case.name: case for case in CASES}


class Careless:
    """A transport that is httpx alone: redirects are followed, and no step of a request may take too long."""

    def open(self, proxy: ProxyAddress | None) -> Transport:
        return self

    async def exchange(self, request: Request, timeout_s: float) -> Reply:
        async with httpx.AsyncClient(follow_redirects=True, timeout=timeout_s) as careless:
            try:
                got = await careless.request(request.method, request.url, content=request.body)
            except httpx.HTTPError as error:
                raise TimedOut(str(error)) from error
        return Reply(got.status_code, dict(got.headers), got.content)

    async def aclose(self) -> None:
        pass


async def test_a_transport_without_a_limit_of_decompressed_bytes(tls: ssl.SSLContext) -> None:
    with pytest.raises(AssertionError):
        await check(CASE["a gzip bomb"], HttpxTransportFactory(tls, max_reply_bytes=10**12), "POST")


async def lured() -> None:
    async with bait() as elsewhere:
        (case,) = (case for case in redirects(elsewhere.url) if case.name == "302 to another host")
        with suppress(AssertionError):
            await check(case, Careless(), "GET")


async def test_a_transport_that_follows_redirects() -> None:
    with pytest.raises(AssertionError, match="where no one should go"):
        await lured()


async def test_a_transport_without_a_deadline_of_all() -> None:
    with pytest.raises(AssertionError):
        await check(CASE["a head byte by byte"], Careless(), "GET")


async def test_a_transport_that_leaves_bytes_on_kept_connections(
    monkeypatch: pytest.MonkeyPatch, tls: ssl.SSLContext
) -> None:
    monkeypatch.setattr(httpx_transport, "has_leftovers", lambda _response: False)
    with pytest.raises(AssertionError, match="was taken for a reply"):
        await smuggle(TRANSPORTS["httpx"], "a whole reply", tls)
    numbers = range(0, 300 * WIRE_EVERY, WIRE_EVERY)
    assert (await fuzz(1, numbers, TRANSPORTS["httpx"])).wrong


async def test_a_verdict_that_raises(monkeypatch: pytest.MonkeyPatch, tls: ssl.SSLContext) -> None:
    def raising(step: Step, status: int, headers: Mapping[str, str], body: bytes, *, renewed: bool = False) -> Judged:
        if status >= 500:
            raise KeyError("nobody thought of it")
        return judge(step, status, headers, body, renewed=renewed)

    monkeypatch.setattr(client, "judge", raising)
    assert (await fuzz(1, range(1, 2000, WIRE_EVERY // 2), TRANSPORTS["httpx"])).unhandled
    violations = await play([(STEPS[0], CASE["Retry-After 'soon'"])], TRANSPORTS["httpx"](tls, MIB))
    assert "KeyError" in str(violations)


async def test_steps_that_hang(monkeypatch: pytest.MonkeyPatch) -> None:
    async def waits(seed: int, number: int) -> Outcome:
        async with asyncio.timeout(0.01):
            await asyncio.Event().wait()
        raise AssertionError

    async def spins(seed: int, number: int) -> Outcome:
        for _ in itertools.count():
            pass
        raise AssertionError

    monkeypatch.setattr(fuzzing, "HUNG_AFTER_S", 0.2)
    for trial in (waits, spins):
        assert (await fuzz(1, range(1, 3), TRANSPORTS["httpx"], step_trial=trial)).hangs == 2
