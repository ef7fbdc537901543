"""An echo service and proxies in front of it, without a network."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from dataclasses import dataclass

from node.domain.errors import ConnectFailed, ProxyFailed, TimedOut
from node.domain.proxies import ProxyAddress
from node.ports.transport import Reply, Request

DIRECT = "192.0.2.1"


def proxy(number: int) -> ProxyAddress:
    return ProxyAddress.parse(f"user:password-{number}@10.0.0.{number}:1080")


@dataclass
class Way:
    """How a proxy, or the direct way, behaves."""

    address: str = DIRECT
    takes_s: float = 0.1
    error: str = ""
    status: int = 200
    body: bytes | None = None
    bug: bool = False


class EchoWorld:
    """A `TransportFactory` whose exchanges take virtual time; proxies are good unless `ways` says otherwise."""

    def __init__(self) -> None:
        self.ways: dict[ProxyAddress | None, Way] = {None: Way()}
        self.asked: Counter[ProxyAddress | None] = Counter()
        self.open_transports = 0
        self.under_way = 0
        self.most_under_way = 0

    def way(self, address: ProxyAddress | None) -> Way:
        if address not in self.ways:
            assert address is not None
            self.ways[address] = Way(address=address.host)
        return self.ways[address]

    def open(self, proxy: ProxyAddress | None) -> EchoTransport:
        self.open_transports += 1
        return EchoTransport(self, proxy)


class EchoTransport:
    def __init__(self, world: EchoWorld, proxy: ProxyAddress | None) -> None:
        self._world = world
        self._proxy = proxy

    async def exchange(self, request: Request, timeout_s: float) -> Reply:
        world, way = self._world, self._world.way(self._proxy)
        world.asked[self._proxy] += 1
        world.under_way += 1
        world.most_under_way = max(world.most_under_way, world.under_way)
        try:
            await asyncio.sleep(min(way.takes_s, timeout_s))
        finally:
            world.under_way -= 1
        if way.takes_s >= timeout_s:
            raise TimedOut("no whole reply")
        if way.bug:
            raise ZeroDivisionError
        if way.error:
            raise (ConnectFailed if self._proxy is None else ProxyFailed)(way.error)
        body = json.dumps({"ip": way.address}).encode() if way.body is None else way.body
        return Reply(way.status, {}, body)

    async def aclose(self) -> None:
        self._world.open_transports -= 1
