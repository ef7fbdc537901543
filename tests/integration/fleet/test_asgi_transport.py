"""The transport into an application in the same process: what it makes of replies, time-outs and faults."""

from __future__ import annotations

import asyncio
import json
import zlib

import pytest
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from node.domain.errors import BrokenReply, ConnectFailed, ReplyTooLarge, TimedOut
from node.domain.events import Crash
from node.domain.proxies import ProxyAddress
from node.gateway.asgi_transport import AsgiTransport, AsgiTransportFactory
from node.ports.transport import Request, Transport, TransportFactory
from tests.support.virtual_time import in_virtual_time

URL = "http://app.test:8080/some%20path?a=b%20c"
GET = Request("GET", URL)


def replying(body: bytes = b"ok", status: int = 200, headers: list[tuple[bytes, bytes]] | None = None) -> ASGIApp:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": status, "headers": headers or []})
        await send({"type": "http.response.body", "body": body})

    return app


def raising(error: BaseException, *, after: str = "") -> ASGIApp:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if after:
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": b"half", "more_body": True})
        raise error

    return app


class Recorder:
    """An application that takes its time and remembers what it was told."""

    def __init__(self, seconds: float = 0) -> None:
        self.seconds = seconds
        self.scopes: list[Scope] = []
        self.messages: list[Message] = []
        self.ended = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.scopes.append(scope)
        self.messages.append(await receive())
        try:
            if self.seconds:
                await asyncio.sleep(self.seconds)
            await replying()(scope, receive, send)
            self.messages.append(await receive())
        finally:
            self.ended += 1


def factory(app: ASGIApp, crashes: list[Crash] | None = None, max_reply_bytes: int = 1000) -> AsgiTransportFactory:
    told = crashes if crashes is not None else []
    return AsgiTransportFactory(app, told.append, peer="127.0.0.7", max_reply_bytes=max_reply_bytes)


async def waits_for_departure(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def test_it_is_a_transport() -> None:
    made: TransportFactory = factory(replying())
    transport: Transport = made.open(None)
    assert isinstance(transport, AsgiTransport)


@in_virtual_time
async def test_a_request_and_its_reply() -> None:
    app = Recorder()
    made = factory(app)
    request = Request("POST", URL, (("authorization", "Bearer t"), ("content-type", "application/json")), b'{"x":1}')
    reply = await made.open(None).exchange(request, 5)
    assert (reply.status, reply.body) == (200, b"ok")
    await made.join()
    scope = app.scopes[0]
    assert (scope["method"], scope["path"], scope["query_string"]) == ("POST", "/some path", b"a=b%20c")
    assert (scope["client"], scope["server"]) == (("127.0.0.7", 0), ("app.test", 8080))
    headers = dict(scope["headers"])
    assert (headers[b"host"], headers[b"authorization"]) == (b"app.test:8080", b"Bearer t")
    assert (headers[b"content-length"], headers[b"accept-encoding"]) == (b"7", b"identity")
    assert app.messages == [
        {"type": "http.request", "body": b'{"x":1}', "more_body": False},
        {"type": "http.disconnect"},
    ]


@in_virtual_time
async def test_headers_are_joined_and_named_in_lower_case() -> None:
    headers = [(b"X-Part", b"one"), (b"x-part", b"two"), (b"Retry-After", b"7")]
    reply = await factory(replying(b"", 503, headers)).open(None).exchange(GET, 5)
    assert (reply.status, dict(reply.headers)) == (503, {"x-part": "one, two", "retry-after": "7"})


@in_virtual_time
async def test_a_proxy_is_seen_in_the_place_of_the_peer() -> None:
    async def echo(scope: Scope, receive: Receive, send: Send) -> None:
        await replying(json.dumps({"ip": scope["client"][0]}).encode())(scope, receive, send)

    made = factory(echo)
    for proxy, seen in [(None, "127.0.0.7"), (ProxyAddress.parse("user:pass@10.0.0.1:3128"), "10.0.0.1")]:
        assert json.loads((await made.open(proxy).exchange(GET, 5)).body) == {"ip": seen}


@pytest.mark.parametrize(
    ("body", "headers"),
    [
        (b"x" * 1001, []),
        (b"", [(b"content-length", b"1001")]),
        (zlib.compress(b"x" * 1_000_000), [(b"content-encoding", b"deflate")]),
    ],
    ids=["sent", "announced", "compressed"],
)
def test_a_reply_is_bounded(body: bytes, headers: list[tuple[bytes, bytes]]) -> None:
    @in_virtual_time
    async def scenario() -> None:
        made = factory(replying(body, headers=headers))
        with pytest.raises(ReplyTooLarge):
            await made.open(None).exchange(GET, 5)
        await made.join()

    scenario()


@in_virtual_time
async def test_a_compressed_body_is_read() -> None:
    made = factory(replying(zlib.compress(b"plain"), headers=[(b"content-encoding", b"deflate")]))
    assert (await made.open(None).exchange(GET, 5)).body == b"plain"


@in_virtual_time
async def test_a_time_out_does_not_end_the_handler() -> None:
    app = Recorder(seconds=20)
    made = factory(app)
    loop = asyncio.get_running_loop()
    started = loop.time()
    with pytest.raises(TimedOut, match="5 s"):
        await made.open(None).exchange(GET, 5)
    assert loop.time() - started == 5
    assert app.ended == 0
    await made.join()
    assert loop.time() - started == 20
    assert app.messages[-1] == {"type": "http.disconnect"}


@in_virtual_time
async def test_a_cancellation_does_not_end_the_handler() -> None:
    app = Recorder(seconds=20)
    made = factory(app)
    task = asyncio.create_task(made.open(None).exchange(GET, 50))
    await asyncio.sleep(5)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await made.join()
    assert app.ended == 1


@pytest.mark.parametrize("how", ["time-out", "cancellation", "close"])
def test_a_handler_learns_that_its_client_left(how: str) -> None:
    @in_virtual_time
    async def scenario() -> None:
        loop = asyncio.get_running_loop()
        left_at: list[float] = []

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            await waits_for_departure(receive)
            left_at.append(loop.time())

        made = factory(app)
        transport = made.open(None)
        started = loop.time()
        task = asyncio.create_task(transport.exchange(GET, 5 if how == "time-out" else 50))
        await asyncio.sleep(5)
        if how == "cancellation":
            task.cancel()
        elif how == "close":
            await transport.aclose()
        await asyncio.wait([task])
        if how == "close":
            assert isinstance(task.exception(), BrokenReply)
            with pytest.raises(ConnectFailed):
                await transport.exchange(GET, 5)
            await transport.aclose()
        await made.join()
        assert left_at == [started + 5]

    scenario()


@in_virtual_time
async def test_handlers_are_ended_with_the_factory() -> None:
    made = factory(Recorder(seconds=1000))
    task = asyncio.create_task(made.open(None).exchange(GET, 50))
    await asyncio.sleep(1)
    await made.aclose()
    with pytest.raises(BrokenReply):
        await task


@pytest.mark.parametrize(
    ("app", "kind", "crashes"),
    [
        (raising(ConnectionRefusedError("nobody")), ConnectFailed, 0),
        (raising(ConnectionRefusedError(), after="half"), BrokenReply, 0),
        (raising(ConnectionResetError()), BrokenReply, 0),
        (raising(ConnectionResetError("cut"), after="half"), BrokenReply, 0),
        (raising(ZeroDivisionError("a defect")), BrokenReply, 1),
    ],
)
def test_an_application_that_fails(app: ASGIApp, kind: type[Exception], crashes: int) -> None:
    @in_virtual_time
    async def scenario() -> None:
        told: list[Crash] = []
        made = factory(app, told)
        with pytest.raises(kind):
            await made.open(None).exchange(GET, 5)
        await made.join()
        assert len(told) == crashes

    scenario()


@pytest.mark.parametrize("messages", [0, 1, 2])
def test_an_application_that_ends_without_a_whole_reply(messages: int) -> None:
    half: list[Message] = [
        {"type": "http.response.start", "status": 200, "headers": []},
        {"type": "http.response.body", "body": b"half", "more_body": True},
    ]

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        for message in half[:messages]:
            await send(message)

    @in_virtual_time
    async def scenario() -> None:
        with pytest.raises(BrokenReply):
            await factory(app).open(None).exchange(GET, 5)

    scenario()


@in_virtual_time
async def test_messages_out_of_turn_are_a_defect_of_the_application() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.body", "body": b"first"})

    told: list[Crash] = []
    made = factory(app, told)
    with pytest.raises(BrokenReply):
        await made.open(None).exchange(GET, 5)
    await made.join()
    assert told[0].error == "RuntimeError"
    assert "out of turn" in told[0].trace


@in_virtual_time
async def test_exchanges_overlap_and_nothing_is_left_of_them() -> None:
    order: list[str] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await asyncio.sleep(float(scope["path"][1:]))
        order.append(scope["path"])
        await replying()(scope, receive, send)

    made = factory(app)
    transport = made.open(None)
    requests = [Request("GET", f"http://app.test/{seconds}") for seconds in (3, 1, 2)]
    tasks = [asyncio.create_task(transport.exchange(request, 5)) for request in requests]
    for task in tasks:
        assert (await task).status == 200
    assert order == ["/1", "/2", "/3"]
    assert transport._under_way == {}


@in_virtual_time
async def test_a_cancellation_in_the_turn_of_an_error_leaves_no_complaint() -> None:
    complaints: list[dict[str, object]] = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _loop, context: complaints.append(context))
    made = factory(Recorder(seconds=20))
    task = asyncio.create_task(made.open(None).exchange(GET, 5))
    await asyncio.sleep(0)
    loop.call_at(loop.time() + 5, task.cancel)
    await asyncio.wait([task])
    await made.join()
    del task
    assert complaints == []
