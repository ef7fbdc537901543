"""What every transport makes of evil connections, and of proxies that answer CONNECT evilly."""

from __future__ import annotations

import ssl
import time
from pathlib import Path

import pytest

from node.domain.errors import BrokenReply, ConnectFailed, ProxyFailed, TimedOut, TlsFailed, TransportError
from node.domain.proxies import ProxyAddress
from node.ports.transport import Request
from tests.contract.transport.certificates import Identity
from tests.contract.transport.conftest import TRANSPORTS, MakeFactory
from tests.evil.cases import CHUNKS, HEADS, INFORMATIONAL, LENGTHS, Case, redirects
from tests.evil.connections import CONNECTIONS, EvilConnection, contexts
from tests.evil.parts import MIB, reply
from tests.evil.server import EvilServer, bait, serving

pytestmark = pytest.mark.timeout(120)

STALL_S, PLENTY_S, SLACK_S = 0.3, 15.0, 5.0

IN_TUNNEL = (TlsFailed, ProxyFailed, BrokenReply, ConnectFailed, TimedOut)
"""How a tunnel may fail that the proxy said it had made."""


@pytest.fixture(params=list(TRANSPORTS))
def make_factory(request: pytest.FixtureRequest) -> MakeFactory:
    return TRANSPORTS[request.param]


@pytest.mark.parametrize("connection", CONNECTIONS, ids=str)
async def test_an_evil_connection_is_bounded_and_classified(
    connection: EvilConnection,
    make_factory: MakeFactory,
    authority: Identity,
    evil_tls: tuple[ssl.SSLContext, object],
    tmp_path: Path,
) -> None:
    server = EvilServer(
        lambda _: (reply(b"{}"),), lambda _: connection.greeting, contexts(connection, authority, tmp_path)
    )
    async with serving(server):
        transport = make_factory(evil_tls[0], MIB).open(None)
        timeout_s = STALL_S if connection.stalls else PLENTY_S
        started = time.monotonic()
        with pytest.raises(connection.errors):
            await transport.exchange(Request("POST", f"{connection.scheme}://127.0.0.1:{server.port}/"), timeout_s)
        assert time.monotonic() - started < timeout_s + SLACK_S
        assert not server.asked, "nothing was said to who is not to be trusted"
        await transport.aclose()


def goes_on(case: Case) -> bool:
    """Whether the proxy may be believed to have made the tunnel."""
    first = next((part for part in case.reply(b"{}") if isinstance(part, bytes)), b"")
    return b" 20" in first[:40] or bool({200, 204} & set(case.wire))


async def answered(case: Case, make_factory: MakeFactory, tls: ssl.SSLContext, target: str) -> TransportError:
    """What comes of a proxy that answers CONNECT with this case."""
    async with serving(EvilServer(lambda _: case.reply(b"{}"))) as proxy:
        transport = make_factory(tls, MIB).open(ProxyAddress.parse(f"user:hunter2@127.0.0.1:{proxy.port}"))
        timeout_s = STALL_S if case.stalls or goes_on(case) else PLENTY_S
        started = time.monotonic()
        with pytest.raises(TransportError) as caught:
            await transport.exchange(Request("POST", target, (("authorization", "Bearer t"),), b"secret"), timeout_s)
        assert time.monotonic() - started < timeout_s + SLACK_S
        assert {asked.method for asked in proxy.asked} <= {"CONNECT"}
        assert not any("authorization" in asked.headers or asked.body for asked in proxy.asked)
        await transport.aclose()
    assert "hunter2" not in str(caught.value)
    return caught.value


@pytest.mark.parametrize("kind", ["HEADS", "INFORMATIONAL", "LENGTHS", "CHUNKS", "redirects"])
async def test_a_proxy_that_answers_evilly_is_told_as_such(
    kind: str, make_factory: MakeFactory, tls: ssl.SSLContext
) -> None:
    """The request itself goes neither to the proxy nor directly to its target."""
    async with bait() as target:
        tables = {"HEADS": HEADS, "INFORMATIONAL": INFORMATIONAL, "LENGTHS": LENGTHS, "CHUNKS": CHUNKS}
        cases = tables.get(kind) or tuple(redirects(target.url))
        for case in cases:
            error = await answered(case, make_factory, tls, f"https://127.0.0.1:{target.port}/")
            expected = IN_TUNNEL if goes_on(case) else (ProxyFailed, TimedOut)
            assert isinstance(error, expected), f"{case.name}: {error!r}"
