"""HTTP connections that cost little, whoever opens them and however slow they are."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import ClassVar, cast

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol


@dataclass(frozen=True, slots=True)
class Bounds:
    """What connections may cost at most."""

    connections: int = 64
    """At once; a new one ends the oldest, so that a probe gets through whatever hangs there."""
    request_s: float = 10.0
    """For a request to come in whole and its answer to be taken, and for the first one to begin."""
    head_bytes: int = 16 * 1024
    """Of a request's first line and headers, and what comes with them in one read."""


class BoundedProtocol(HttpToolsProtocol):
    """A connection that is cut when it is over its `Bounds`; uvicorn bounds idle connections alone."""

    bounds: ClassVar[Bounds] = Bounds()

    made_at = 0.0
    """When it came, in the loop's time."""
    _timer: asyncio.TimerHandle | None = None
    _in_head = True
    _head_bytes = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See `asyncio.Protocol`."""
        while len(self.connections) >= self.bounds.connections:
            oldest = min(self.connections, key=_age)
            self.connections.discard(oldest)
            if oldest.transport is not None:
                oldest.transport.abort()
        self.made_at = self.loop.time()
        super().connection_made(cast("asyncio.Transport", transport))
        self._arm()

    def connection_lost(self, exc: Exception | None) -> None:
        """See `asyncio.Protocol`."""
        self._disarm()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """See `asyncio.Protocol`."""
        self._arm()
        self._head_bytes += len(data)
        super().data_received(data)
        if self._in_head and self._head_bytes > self.bounds.head_bytes:
            self.transport.abort()

    def on_message_begin(self) -> None:
        """See `httptools.HttpRequestParser`."""
        super().on_message_begin()
        self._in_head, self._head_bytes = True, 0
        self._disarm()
        self._arm()

    def on_headers_complete(self) -> None:
        """See `httptools.HttpRequestParser`."""
        self._in_head = False
        super().on_headers_complete()

    def on_response_complete(self) -> None:
        """A response was written; the time goes on while the client does not take it, or another request waits."""
        super().on_response_complete()
        self._disarm()
        if self.transport.is_closing() or self.transport.get_write_buffer_size() or not self.cycle.response_complete:
            self._arm()

    def _arm(self) -> None:
        if self._timer is None:
            self._timer = self.loop.call_later(self.bounds.request_s, self.transport.abort)

    def _disarm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


def _age(connection: object) -> float:
    return connection.made_at if isinstance(connection, BoundedProtocol) else 0.0
