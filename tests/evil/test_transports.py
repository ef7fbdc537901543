"""What every transport makes of an evil reply: bounded in time, classified, and good for the next exchange."""

from __future__ import annotations

import asyncio
import ssl
import time
from contextlib import aclosing

import pytest

from node.domain.errors import TransportError
from node.ports.transport import Reply, Request, TransportFactory
from tests.contract.transport.conftest import TRANSPORTS, MakeFactory
from tests.evil.cases import CASES, Case, redirects
from tests.evil.parts import MIB, head, reply
from tests.evil.server import Asked, EvilServer, Script, bait, serving

GOOD = b'{"good": true}'
AFTER = b'{"after": true}'
LIMIT = 6 * MIB
STALL_S, PLENTY_S, SLACK_S = 0.25, 15.0, 5.0


@pytest.fixture(params=list(TRANSPORTS))
def transports(request: pytest.FixtureRequest, tls: ssl.SSLContext) -> TransportFactory:
    return TRANSPORTS[request.param](tls, LIMIT)


def answering(case: Case) -> EvilServer:
    def answer(asked: Asked) -> Script:
        return case.reply(GOOD) if asked.path == "/evil" else (reply(AFTER),)

    return EvilServer(answer)


async def check(case: Case, transports: TransportFactory, method: str) -> None:
    """Meet the case, and then an honest answer."""
    async with serving(answering(case)) as server, aclosing(transports.open(None)) as transport:
        timeout_s = STALL_S if case.stalls else PLENTY_S
        started = time.monotonic()
        got: TransportError | Reply
        try:
            got = await transport.exchange(Request(method, f"{server.url}/evil"), timeout_s)
        except TransportError as error:
            got = error
        assert (got.status if isinstance(got, Reply) else type(got)) in case.wire, got
        assert time.monotonic() - started < timeout_s + SLACK_S
        assert len(server.asked) == 1, "nothing is asked again, nor elsewhere"
        after = await transport.exchange(Request("POST", f"{server.url}/after"), PLENTY_S)
        assert after.body == AFTER


@pytest.mark.parametrize("case", CASES, ids=str)
async def test_an_evil_reply_is_bounded_and_classified(case: Case, transports: TransportFactory) -> None:
    await check(case, transports, "GET" if case.stalls else "POST")


async def test_no_redirect_is_followed(transports: TransportFactory) -> None:
    async with bait() as elsewhere:
        for case in redirects(elsewhere.url):
            await check(case, transports, "GET")
            await check(case, transports, "POST")


FULL_BUFFER = 65536 - len(reply(b"", length=65490))
"""Bytes of a body whose reply fills 64 KiB, which is what HTTP clients read at once."""

LEFT_BEHIND = {
    "a whole reply": reply(b"SMUGGLED"),
    "a reply to a third request": reply(b"SMUGGLED") * 3,
    "an informational reply": head(status="103 Hints"),
    "half a reply": reply(b"SMUGGLED", length=100),
    "a reply after blank lines": b"\r\n\r\n" + reply(b"SMUGGLED"),
    "garbage": b"\0\xff garbage",
}


async def smuggle(
    make_factory: MakeFactory,
    left: str,
    ours: ssl.SSLContext,
    *,
    theirs: ssl.SSLContext | None = None,
    apart: bool = False,
    size: int = 2,
) -> None:
    """Leave something behind a reply, in a piece of its own or not, and ask for another on that connection."""
    first, more = reply(b"x" * size), LEFT_BEHIND[left]
    evil: Script = (first, more) if apart else (first + more,)

    def answer(asked: Asked) -> Script:
        return (reply(AFTER),) if asked.path == "/after" else evil

    async with (
        serving(EvilServer(answer, scheme="https" if theirs else "http", tls=lambda _: theirs)) as server,
        aclosing(make_factory(ours, LIMIT).open(None)) as transport,
    ):
        for _ in range(3):
            got = await transport.exchange(Request("GET", f"{server.url}/evil"), PLENTY_S)
            assert got.body == b"x" * size
            after = await transport.exchange(Request("POST", f"{server.url}/after"), PLENTY_S)
            assert after.body == AFTER, f"{left} was taken for a reply"


@pytest.mark.parametrize("apart", [False, True], ids=["at-once", "in-a-piece-of-its-own"])
@pytest.mark.parametrize("secure", [False, True], ids=["plain", "tls"])
@pytest.mark.parametrize("left", LEFT_BEHIND, ids=lambda name: str(name).replace(" ", "-"))
@pytest.mark.parametrize("make_factory", TRANSPORTS.values(), ids=TRANSPORTS)
async def test_what_follows_a_reply_is_never_the_next(
    make_factory: MakeFactory, left: str, apart: bool, secure: bool, evil_tls: tuple[ssl.SSLContext, ssl.SSLContext]
) -> None:
    """Nobody else's words are taken for an answer, in whatever buffer they waited for the next request."""
    ours, theirs = evil_tls
    for size in (2, FULL_BUFFER):
        await smuggle(make_factory, left, ours, theirs=theirs if secure else None, apart=apart, size=size)


async def test_a_reply_before_the_request_answers_at_most_that_request(transports: TransportFactory) -> None:
    async with serving(EvilServer(lambda _: (reply(AFTER),), greeting=lambda _: (reply(GOOD),))) as server:
        transport = transports.open(None)
        bodies = []
        for _ in range(3):
            try:
                bodies.append((await transport.exchange(Request("POST", f"{server.url}/x"), PLENTY_S)).body)
            except TransportError:
                continue
            await asyncio.sleep(0.02)
        assert bodies in ([GOOD] * 3, [AFTER] * len(bodies)), bodies
        await transport.aclose()
