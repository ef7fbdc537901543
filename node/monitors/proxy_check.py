"""Finds out whether a proxy works: seen from outside, the address through it must be another than without it.

This is step 1 of the protocol.
"""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Final, TypeAlias

from node.domain.errors import TransportError
from node.domain.policies import ProxyPolicy
from node.domain.proxies import ProxyAddress
from node.ports.clock import Clock
from node.ports.transport import Reply, Request, TransportFactory

MAX_ECHO_BYTES: Final = 1024
"""What an echo service answers is an address, plain or as ``{"ip": …}``; a longer body is something else."""

_Address: TypeAlias = IPv4Address | IPv6Address


@dataclass(frozen=True, slots=True)
class Checked:
    """How a check went: the exchange through the proxy took ``took_s``; ``fault`` is empty when the proxy is good.

    Where even the direct exchange failed nothing is known of the proxy: then ``is_conclusive`` is false, ``fault``
    says why, and ``took_s`` is 0.
    """

    took_s: float
    fault: str = ""
    is_conclusive: bool = True


class _NoEcho(Exception):
    """The echo service gave no address."""


class ProxyChecker:
    """Asks the echo service directly, and through ``concurrency`` proxies at a time.

    The direct address is remembered for ``policy.recheck_s``, a failure to learn it for ``policy.retry_s``.
    """

    def __init__(
        self, transports: TransportFactory, policy: ProxyPolicy, clock: Clock, *, concurrency: int = 16
    ) -> None:
        self._transports = transports
        self._policy = policy
        self._clock = clock
        self._slots = asyncio.Semaphore(concurrency)
        self._asking_directly = asyncio.Lock()
        self._direct: _Address | str = ""
        self._direct_until = float("-inf")

    async def check(self, proxy: ProxyAddress) -> Checked:
        """Check a proxy once; takes ``2 × policy.check_s`` at most, besides the wait for a slot.

        What the echo service and the proxy do wrong is in the answer, never raised.
        """
        direct = await self._direct_address()
        if isinstance(direct, str):
            return Checked(0.0, f"the echo service does not answer directly: {direct}", is_conclusive=False)
        async with self._slots:
            started = self._clock.monotonic()
            try:
                seen = await self._ask(proxy)
            except _NoEcho as error:
                return Checked(self._clock.monotonic() - started, str(error))
            took_s = self._clock.monotonic() - started
        if seen == direct:
            return Checked(took_s, "it shows the direct address")
        return Checked(took_s)

    async def _direct_address(self) -> _Address | str:
        async with self._asking_directly:
            if self._clock.monotonic() >= self._direct_until:
                try:
                    self._direct, valid_s = await self._ask(None), self._policy.recheck_s
                except _NoEcho as error:
                    self._direct, valid_s = str(error), self._policy.retry_s
                self._direct_until = self._clock.monotonic() + valid_s
            return self._direct

    async def _ask(self, proxy: ProxyAddress | None) -> _Address:
        transport = self._transports.open(proxy)
        try:
            reply = await transport.exchange(Request("GET", self._policy.echo_url), self._policy.check_s)
        except TransportError as error:
            raise _NoEcho(str(error)) from error
        finally:
            await transport.aclose()
        return _read(reply)


def _read(reply: Reply) -> _Address:
    if reply.status != 200:
        raise _NoEcho(f"the echo service answered HTTP {reply.status}")
    if len(reply.body) > MAX_ECHO_BYTES:
        raise _NoEcho("the echo service answered with something long")
    text = reply.body.decode("utf-8-sig", "replace").strip()
    try:
        if text.startswith("{"):
            text = str(json.loads(text)["ip"]).strip()
        address = ip_address(text)
    except (ValueError, KeyError, RecursionError) as error:
        raise _NoEcho("the echo service answered without an address") from error
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address
