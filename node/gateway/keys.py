"""Reading tokens where that may take a request: with no key, with a configured one, or with a published key set."""

from __future__ import annotations

import asyncio
from typing import Final, Protocol

from node.domain.errors import TokenUnreadable
from node.ports.clock import Clock
from node.ports.transport import Request, Transport
from node.protocol.tokens import KeySetReader, TokenReader, TokenTimes, UnverifiedReader

FETCH_EVERY_S: Final = 60.0
"""A key set is fetched anew at most this often: tokens that name keys unknown to all must not flood its server.

While there is none yet, each reading tries to fetch it; how often is up to the retries of the step that reads.
"""


class TokenTimesReader(Protocol):
    """Reads the times of a token that a gateway has just granted."""

    async def read(self, token: str) -> TokenTimes:
        """The token's times.

        Raises:
            TokenUnreadable: it is not signed as it must be, or the keys that were fetched are not usable.
            TransportError: the keys could not be fetched.
        """
        ...


class UnverifiedTokens:
    """Takes any token and never raises: one that is no JWT has no times, and is as good to send as any other."""

    async def read(self, token: str) -> TokenTimes:
        """See `TokenTimesReader.read`."""
        try:
            return UnverifiedReader().read(token)
        except TokenUnreadable:
            return TokenTimes()


class VerifiedTokens:
    """Takes tokens that a reader with a key of its own accepts."""

    def __init__(self, reader: TokenReader) -> None:
        self._reader = reader

    async def read(self, token: str) -> TokenTimes:
        """See `TokenTimesReader.read`."""
        return self._reader.read(token)


class PublishedKeys:
    """Takes tokens that are signed with a key of a JWKS document (RFC 7517), which is fetched when it is needed.

    Share one among all nodes of a process; the transport stays its owner's to close. The document is fetched again
    when a token names a key that it does not hold, since gateways change their keys; see `FETCH_EVERY_S`. One fetch
    takes ``timeout_s`` at most, and readers that need it wait for it together.
    """

    def __init__(self, url: str, transport: Transport, clock: Clock, timeout_s: float = 10.0) -> None:
        self._request = Request("GET", url)
        self._transport = transport
        self._clock = clock
        self._timeout_s = timeout_s
        self._reader: KeySetReader | None = None
        self._fetched_at = 0.0
        self._fetching = asyncio.Lock()

    async def read(self, token: str) -> TokenTimes:
        """See `TokenTimesReader.read`."""
        reader = self._reader
        if reader is not None:
            try:
                return reader.read(token)
            except TokenUnreadable as error:
                if not isinstance(error.__cause__, KeyError):
                    raise
        return (await self._newer_than(reader)).read(token)

    async def _newer_than(self, known: KeySetReader | None) -> KeySetReader:
        async with self._fetching:
            if self._reader is None or (self._reader is known and self._may_fetch()):
                self._fetched_at = self._clock.monotonic()
                self._reader = await self._fetch()
            return self._reader

    def _may_fetch(self) -> bool:
        return self._clock.monotonic() - self._fetched_at >= FETCH_EVERY_S

    async def _fetch(self) -> KeySetReader:
        reply = await self._transport.exchange(self._request, self._timeout_s)
        if reply.status != 200:
            raise TokenUnreadable(f"the key set is not to be had: HTTP {reply.status}")
        return KeySetReader(reply.body.decode("utf-8", "replace"))
