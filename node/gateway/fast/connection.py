"""One connection: a request goes out on it, and the reply is read as its bytes come in."""

from __future__ import annotations

import asyncio
import math
from typing import Final, Protocol, cast

import httptools

from node.domain.errors import BrokenReply, TransportError
from node.gateway.bodies import BoundedBody
from node.gateway.fast.headers import LazyHeaders, read_headers
from node.gateway.fast.known import KnownHead, KnownHeads
from node.ports.transport import Reply

_MAX_BARE_BYTES: Final = 64 * 1024
"""Of heads, trailers and what stands around chunks, without a byte of a body between."""

_BODILESS: Final = frozenset({204, 304})


class KeptClosed(BrokenReply):
    """A kept connection turned out to be closed: no byte of a reply came."""


class NeverSent(KeptClosed):
    """The connection had its end before a byte of the request was sent."""


class Keeper(Protocol):
    """Who has a connection's use when it is at rest."""

    @property
    def max_reply_bytes(self) -> int:
        """The most bytes of a reply's body, decompressed ones included."""
        ...

    @property
    def heads(self) -> KnownHeads:
        """The heads of replies that came lately from the same place."""
        ...

    def flush_soon(self, connection: Connection) -> None:
        """Call `Connection.flush` before long."""
        ...

    def rest(self, connection: Connection) -> None:
        """Take it: its reply was read, and it can carry another request."""
        ...

    def forget(self, connection: Connection) -> None:
        """Let go of it: it is closed."""
        ...


class Connection(asyncio.Protocol):
    """A connection to one host, which carries one exchange at a time.

    What comes when nothing was asked, or after a reply's end, ends it: it could be taken for the next reply.
    """

    __slots__ = (
        *("_body", "_codings", "_complete", "_eof", "_fault", "_has_head", "_bare_bytes", "_headers", "_is_encoded"),
        *(
            "_keeper",
            "_keeps_alive",
            "_loop",
            "_parser",
            "_plain",
            "_status",
            "_tainted",
            "_transport",
            "_unsent",
            "_waiter",
            "_where",
        ),
        *("deadline", "fd", "owner", "rests_since", "was_used"),
    )

    def __init__(self, loop: asyncio.AbstractEventLoop, keeper: Keeper, where: str) -> None:
        """Begin without a transport; ``where`` is the host, for messages."""
        self._loop = loop
        self._keeper = keeper
        self._where = where
        self._transport: asyncio.Transport | None = None
        self._parser = httptools.HttpResponseParser(self)
        self._waiter: asyncio.Future[Reply] | None = None
        self._unsent = b""
        self._eof = False
        self._headers: list[tuple[bytes, bytes]] = []
        self._codings: list[bytes] = []
        self._is_encoded = False
        self._plain: bytes | None = None
        self._body: BoundedBody | None = None
        self._fault: TransportError | None = None
        self._status = 0
        self._bare_bytes = 0
        self._has_head = False
        self._complete = False
        self._tainted = False
        self._keeps_alive = False
        self.owner: object = None
        """Who waits for a reply."""
        self.deadline = math.inf
        """When its reply is overdue, in the loop's time: looked at by its keeper."""
        self.rests_since = 0.0
        """Since when it has carried nothing, in the loop's time."""
        self.was_used = False
        """Whether it has carried an exchange to its end."""
        self.fd = -1
        """The number of its socket, once it stands: uvloop's sockets can be asked for nothing else."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Called by the loop when the connection stands, TLS included."""
        self._transport = cast(asyncio.Transport, transport)
        self.fd = transport.get_extra_info("socket").fileno()

    @property
    def is_open(self) -> bool:
        """Whether it can carry a request, for all that is known."""
        return self._transport is not None and not self._transport.is_closing()

    @property
    def is_lost(self) -> bool:
        """Whether it is closed for good, or never stood."""
        return self._transport is None

    @property
    def remaining_s(self) -> float:
        """What is left of the time for the last exchange, in seconds."""
        return max(0.0, self.deadline - self._loop.time())

    def send(self, wire: bytes, timeout_s: float, owner: object) -> asyncio.Future[Reply]:
        """Send a request; the future brings its reply, or the `TransportError` that says why none came.

        It goes out with what others send in the same turn of the loop: a peer on this machine is woken once for all of
        them, which costs more than the rest of sending.
        """
        self.deadline = self._loop.time() + timeout_s
        self.owner = owner
        waiter = self._waiter = self._loop.create_future()
        if self._transport is None:
            self._fail(BrokenReply(f"{self._where}: the connection is closed"))
        else:
            self._unsent = wire
            self._keeper.flush_soon(self)
        return waiter

    def flush(self) -> None:
        """Let the request go that waits to be sent, if there is one still."""
        wire, self._unsent = self._unsent, b""
        if wire and self._transport is not None:
            self._transport.write(wire)

    def fail_unsent(self) -> None:
        """Let the request go nowhere: something can be read before it is sent, which is the connection's end or unasked for."""
        self._fail(NeverSent(f"{self._where}: the connection was closed, or something came that nobody had asked for"))

    def fail(self, error: TransportError) -> None:
        """End the exchange under way with this error, and the connection."""
        self._fail(error)

    def abort(self) -> None:
        """Close at once, without a word to whoever waits."""
        self._waiter, self._unsent = None, b""
        if self._transport is not None:
            self._transport.abort()

    def abandon(self, exchange: asyncio.Future[Reply]) -> None:
        """Close, if it still carries this exchange: its reply may have come, and others have the connection by now."""
        if self._waiter is exchange:
            self.abort()

    def data_received(self, data: bytes) -> None:
        """Called by the loop with what came."""
        if self._waiter is None or self._unsent:
            self.fail_unsent()
            return
        is_first = not self._has_head and not self._bare_bytes
        if is_first:
            end = data.find(b"\r\n\r\n") + 4
            head = self._keeper.heads.get(data[:end])
            if head is not None and head.length == len(data) - end:
                self._finish_known(head, data[end:])
                return
        self._bare_bytes += len(data)
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            self._tainted = True
        if self._complete:
            if is_first:
                self._learn(data)
            self._finish()
        elif self._fault is not None:
            self._fail(self._fault)
        elif self._tainted or self._bare_bytes > _MAX_BARE_BYTES:
            self._fail(self._malformed())
        elif self._has_head and self._body is None:
            self._expect_more()

    def eof_received(self) -> bool:
        """Called by the loop when the other side has closed; says that this side closes as well."""
        self._eof = True
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """Called by the loop, last of all."""
        if self._waiter is not None:
            if self._unsent:
                self._fail(NeverSent(f"{self._where}: the connection was closed before the request was sent"))
            elif self._ends_with_the_connection(exc):
                self._complete, self._tainted = True, True
                self._finish()
            elif self.was_used and not self._has_head and not self._bare_bytes:
                self._fail(KeptClosed(f"{self._where}: the connection was closed before the reply was whole"))
            else:
                self._fail(BrokenReply(f"{self._where}: the connection was closed before the reply was whole"))
        self._transport = None
        self._keeper.forget(self)

    def on_message_begin(self) -> None:
        """Called by the parser at a reply's first byte."""
        if self._complete:
            self._tainted = True
            raise _Stop

    def on_header(self, name: bytes, value: bytes) -> None:
        """Called by the parser with each header, and with each trailer."""
        if self._has_head:
            return
        self._headers.append((name, value))
        # Told by their lengths first, since hardly any is one of these two.
        length = len(name)
        if length == 17 and name.lower() == b"transfer-encoding":
            self._codings.append(value.strip().lower())
        elif length == 16 and name.lower() == b"content-encoding":
            self._is_encoded = True

    def on_headers_complete(self) -> None:
        """Called by the parser at the end of a head."""
        self._has_head = True
        self._status = self._parser.get_status_code()
        if not self._is_usable():
            self._fault = self._malformed()
            raise _Stop

    def on_body(self, piece: bytes) -> None:
        """Called by the parser with each piece of the body."""
        self._bare_bytes = 0
        if self._plain is None and self._body is None and self._is_short(piece):
            self._plain = piece
            return
        try:
            self._longer_body().feed(piece)
        except TransportError as error:
            self._fault = error
            raise _Stop from None

    def on_message_complete(self) -> None:
        """Called by the parser at a reply's last byte."""
        if self._fault is not None:
            return
        if self._status < 200:
            bare_bytes = self._bare_bytes
            self._begin()
            self._bare_bytes = bare_bytes
            return
        self._complete = True
        self._keeps_alive = self._parser.should_keep_alive()

    def _begin(self) -> None:
        self._headers = []
        if self._codings:
            self._codings = []
        self._plain = None
        self._body = None
        self._fault = None
        self._status = 0
        self._bare_bytes = 0
        self._is_encoded = self._has_head = self._complete = self._tainted = self._keeps_alive = False

    def _is_usable(self) -> bool:
        """Whether the head is one that a reply to a plain request may have, and whose body can be told from the rest."""
        if self._status < 100 or self._status == 101:
            return False
        if self._codings and self._codings != [b"chunked"]:
            return False
        return self._bare_bytes <= _MAX_BARE_BYTES or sum(len(n) + len(v) for n, v in self._headers) <= _MAX_BARE_BYTES

    def _is_short(self, piece: bytes) -> bool:
        """Whether this first piece may be the whole body, with nothing to decode and nothing to count."""
        return not self._is_encoded and len(piece) <= self._keeper.max_reply_bytes

    def _longer_body(self) -> BoundedBody:
        if self._body is None:
            self._body = BoundedBody(read_headers(self._headers), self._keeper.max_reply_bytes)
            if self._plain is not None:
                self._body.feed(self._plain)
                self._plain = None
        return self._body

    def _expect_more(self) -> None:
        """Look at what the head announces, since the reply did not come in one piece."""
        try:
            self._longer_body()
        except TransportError as error:
            self._fail(error)

    def _finish(self) -> None:
        try:
            body = self._whole_body()
        except TransportError as error:
            self._fail(error)
            return
        waiter, self._waiter = self._waiter, None
        reply = Reply(self._status, LazyHeaders(self._headers), body)
        reusable = self._keeps_alive and not self._tainted and not self._eof
        self._begin()
        self.was_used = True
        if reusable:
            self._keeper.rest(self)
        elif self._transport is not None:
            self._transport.close()
        if waiter is not None and not waiter.done():
            waiter.set_result(reply)

    def _finish_known(self, head: KnownHead, body: bytes) -> None:
        """Hand on a whole reply that came at once, with a head that was parsed before: the parser does not see it."""
        waiter, self._waiter = self._waiter, None
        self.was_used = True
        self._keeper.rest(self)
        if waiter is not None and not waiter.done():
            waiter.set_result(Reply(head.status, head.headers, body))

    def _learn(self, data: bytes) -> None:
        """Keep the head of a reply that came whole and at once, where the next one with it may be read like this one.

        Its body must be as long as its head says, or must be empty by its status; it must not be encoded, and the
        connection must go on after it.
        """
        if self._tainted or self._eof or not self._keeps_alive or self._body is not None or self._codings:
            return
        length = 0 if self._plain is None else len(self._plain)
        self._keeper.heads.learn(data, length, self._status, self._headers)

    def _whole_body(self) -> bytes:
        if self._body is not None:
            return self._body.finish()
        return b"" if self._plain is None else self._plain

    def _fail(self, error: TransportError) -> None:
        waiter, self._waiter, self._unsent = self._waiter, None, b""
        if self._body is not None:
            self._body.release()
        if waiter is not None and not waiter.done():
            waiter.set_exception(error)
        if self._transport is not None:
            self._transport.abort()

    def _malformed(self) -> BrokenReply:
        return BrokenReply(f"{self._where}: the reply is malformed or cut off")

    def _ends_with_the_connection(self, error: Exception | None) -> bool:
        """Whether the body's end is the connection's (RFC 9112, section 6.3), and it was closed in good order."""
        if error is not None or not self._has_head or self._status in _BODILESS:
            return False
        read = read_headers(self._headers)
        return "content-length" not in read and "transfer-encoding" not in read


class _Stop(Exception):
    """Ends the parser's work on what came."""
