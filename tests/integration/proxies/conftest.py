"""Real proxies, each leaving by an address of its own, and what they are asked for."""

from __future__ import annotations

import asyncio
import gc
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from node.domain.proxies import ProxyAddress
from node.domain.secret import Secret
from node.gateway.fast.transport import FastTransportFactory
from node.gateway.httpx_transport import HttpxTransportFactory
from node.gateway.tls import client_context
from node.ports.transport import TransportFactory
from tests.contract.transport.certificates import make_authority, make_server, server_context, write_certificate
from tests.contract.transport.raw_server import RawServer, running

USER = "fleet-user"
PASSWORD = "hunter2-p_a.ss"  # tinyproxy takes letters, digits and these
ODD_USER = "fleet@home:1"
ODD_PASSWORD = "hunter2 p:ss/w@rd%"

TINYPROXY_LEAVES_BY = "127.0.0.41"
MICROSOCKS_LEAVES_BY = "127.0.0.42"


@dataclass
class RunningProxy:
    """A proxy's process and address; `address` says who asks."""

    scheme: str
    port: int
    process: asyncio.subprocess.Process
    user: str = USER
    password: str = PASSWORD

    def address(self, user: str | None = None, password: str | None = None) -> ProxyAddress:
        user = self.user if user is None else user
        password = self.password if password is None else password
        return ProxyAddress(self.scheme, "127.0.0.1", self.port, user, Secret(password))

    async def kill(self) -> None:
        if self.process.returncode is None:
            self.process.kill()
        await self.process.wait()


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port: int = taken.getsockname()[1]
        return port


@asynccontextmanager
async def started(scheme: str, port: int, *command: str) -> AsyncIterator[RunningProxy]:
    """The process, from when it takes connections until it is killed."""
    quiet = asyncio.subprocess.DEVNULL
    process = await asyncio.create_subprocess_exec(*command, stdin=quiet, stdout=quiet, stderr=quiet)
    proxy = RunningProxy(scheme, port, process)
    try:
        await _accepting(proxy)
        yield proxy
    finally:
        await proxy.kill()


async def _accepting(proxy: RunningProxy) -> None:
    async with asyncio.timeout(10):
        while True:
            assert proxy.process.returncode is None, "the proxy did not start"
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
            except ConnectionRefusedError:
                await asyncio.sleep(0.02)
            else:
                writer.close()
                await writer.wait_closed()
                return


@pytest.fixture
async def tinyproxy(tmp_path: Path) -> AsyncIterator[RunningProxy]:
    port = free_port()
    settings = [
        f"Port {port}",
        "Listen 127.0.0.1",
        f"Bind {TINYPROXY_LEAVES_BY}",
        "Timeout 600",
        "MaxClients 50",
        "LogLevel Error",
        f'LogFile "{tmp_path / "tinyproxy.log"}"',
        f"BasicAuth {USER} {PASSWORD}",
    ]
    config = tmp_path / "tinyproxy.conf"
    config.write_text("\n".join(settings) + "\n")
    async with started("http", port, "tinyproxy", "-d", "-c", str(config)) as proxy:
        yield proxy


@pytest.fixture
async def microsocks() -> AsyncIterator[RunningProxy]:
    port = free_port()
    options = ["-i", "127.0.0.1", "-p", str(port), "-b", MICROSOCKS_LEAVES_BY, "-u", ODD_USER, "-P", ODD_PASSWORD]
    async with started("socks5", port, "microsocks", *options) as proxy:
        proxy.user, proxy.password = ODD_USER, ODD_PASSWORD
        yield proxy


@dataclass
class Internet:
    """What lies beyond the proxies: a server that speaks plain HTTP and one that speaks TLS."""

    plain: RawServer
    secure: RawServer

    def of(self, scheme: str) -> RawServer:
        return self.plain if scheme == "http" else self.secure


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with an authority's certificate, and a server's that it vouches for, with its key."""
    folder = tmp_path_factory.mktemp("certificates")
    authority = make_authority()
    write_certificate(authority, folder / "ca.pem")
    server_context(make_server(authority), folder)
    return folder


@pytest.fixture(scope="session")
def trusted(certificates: Path) -> ssl.SSLContext:
    """A server's context that clients of `factory` trust."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificates / "server.pem", certificates / "server.key")
    return context


@pytest.fixture(params=["httpx", "fast"])
def factory(request: pytest.FixtureRequest, certificates: Path) -> TransportFactory:
    """Transports that trust the secure server, of both kinds."""
    tls = client_context(certificates / "ca.pem")
    stock = HttpxTransportFactory(tls)
    return stock if request.param == "httpx" else FastTransportFactory(tls, stock, max_reply_bytes=1 << 25)


@pytest.fixture
async def internet(trusted: ssl.SSLContext) -> AsyncIterator[Internet]:
    async with running() as plain, running(trusted) as secure:
        yield Internet(plain, secure)
    gc.collect(1)  # A socket left open warns now, in the test that left it.
