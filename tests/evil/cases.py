"""The table of evil replies: what is sent, what a transport makes of it, and what a step makes of that.

Where HTTP leaves a choice to the reader all its choices stand in the table.
"""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import Enum, auto

from node.domain.errors import BrokenReply, ReplyTooLarge, TimedOut, TransportError
from tests.evil.parts import (
    BROTLI_BOMB,
    KIB,
    MIB,
    chunked,
    chunks,
    deflate_bomb,
    gzip_bomb,
    head,
    many_values,
    nested,
    nested_gzip_bomb,
    reply,
    zstd_bomb,
)
from tests.evil.server import End, Forever, Script, Slowly

Wire = tuple[type[TransportError] | int, ...]
"""The errors that a transport may raise, and the statuses of the replies that it may return."""

BROKEN: Wire = (BrokenReply,)
LATE: Wire = (TimedOut,)
LARGE: Wire = (ReplyTooLarge,)
OK: Wire = (200,)


class Means(Enum):
    """What a step makes of a reply that its transport returned; an error of the transport is tried again."""

    GOOD = auto()
    RETRY = auto()
    FAULT = auto()
    REFUSED = auto()
    UNFIT = auto()
    """Good where the step needs no fields, and tried again where it does."""
    NOTHING = auto()
    """The same, but for a poll, to which it says that there is no job."""


Reply = Callable[[bytes], Script]
"""Makes the script from the body that would be good."""


@dataclass(frozen=True)
class Case:
    """One evil reply."""

    name: str
    reply: Reply
    wire: Wire
    means: Means = Means.GOOD

    def __str__(self) -> str:
        return self.name.replace(" ", "-")

    @property
    def stalls(self) -> bool:
        """Whether it may take the whole of the time that a step has."""
        return TimedOut in self.wire


def said(*script: bytes | Slowly | Forever | End) -> Reply:
    """The same whatever would be good."""
    return lambda _good: script


def good_with(*lines: str) -> Reply:
    """What is good, with these headers."""
    return lambda good: (reply(good, *lines),)


def body(data: bytes) -> Reply:
    """A well-formed 200 with this body."""
    return said(reply(data))


HEADS = (
    Case("a TLS record", said(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 what\r\n\r\n", End.CLOSE), BROKEN),
    Case("HTTP/0.9", lambda good: (good, End.CLOSE), BROKEN),
    Case("an HTTP/2 preface", said(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", End.CLOSE), BROKEN),
    Case("HTTP/2 frames", said(b"\0\0\x12\x04\0\0\0\0\0\0\x03\0\0\0\x80\r\n\r\n", End.CLOSE), BROKEN),
    Case("HTTP/3.0 in text", lambda good: (reply(good).replace(b"HTTP/1.1", b"HTTP/3.0"), End.CLOSE), (*BROKEN, 200)),
    Case("no status", said(b"HTTP/1.1\r\n\r\n", End.CLOSE), BROKEN),
    Case("status in words", said(b"HTTP/1.1 OK\r\n\r\n", End.CLOSE), BROKEN),
    Case("status 000", said(reply(b"{}", status="000 None")), BROKEN),
    Case("status 20", said(reply(b"{}", status="20 OK")), BROKEN),
    Case("status 1000", said(reply(b"{}", status="1000 OK")), BROKEN),
    Case("status -200", said(reply(b"{}", status="-200 OK")), BROKEN),
    Case("status 999", said(reply(b"{}", status="999 Denied")), (*BROKEN, 999), Means.RETRY),
    Case("no reason phrase", lambda good: (reply(good, status="200"),), OK),
    Case("a reason phrase in 8 bits", lambda good: (reply(good, status="200 \xf6\xe4"),), (*BROKEN, 200)),
    Case("a reason phrase of 90 KB", lambda good: (reply(good, status="200 " + "x" * 90_000),), (*BROKEN, 200)),
    Case("blank lines first", lambda good: (b"\r\n\r\n" + reply(good), End.CLOSE), (*BROKEN, 200)),
    Case("a header without a colon", said(b"HTTP/1.1 200 OK\r\nwhat is this\r\n\r\n", End.CLOSE), BROKEN),
    Case("a header without a name", said(head(": x"), End.CLOSE), BROKEN),
    Case("a space before the colon", lambda good: (head(f"content-length : {len(good)}") + good, End.CLOSE), BROKEN),
    Case("a space in a name", said(head("two words: x"), End.CLOSE), BROKEN),
    Case("a fold in the first header", said(b"HTTP/1.1 200 OK\r\n folded\r\n\r\n", End.CLOSE), BROKEN),
    Case("a folded header", lambda good: (reply(good, "x-long: a\r\n b"),), (*BROKEN, 200)),
    Case("NUL in a header", said(reply(b"{}", "x-nul: a\0b"), End.CLOSE), BROKEN),
    Case("CR in a header", said(reply(b"{}", "x-cr: a\rb"), End.CLOSE), BROKEN),
    Case("8 bits in a header", lambda good: (reply(good, "x-high: \xff\xfe"),), (*BROKEN, 200)),
    Case("line feeds alone", lambda good: (reply(good).replace(b"\r\n", b"\n", 99),), (*BROKEN, 200)),
    Case("a header of 1 MiB", said(head("x-long: " + "x" * MIB), End.SILENCE), (BrokenReply, ReplyTooLarge)),
    Case("50,000 headers", said(head(*["x: y"] * 50_000), End.SILENCE), (BrokenReply, ReplyTooLarge)),
    Case("an endless head", said(b"HTTP/1.1 200 OK\r\n", Forever(b"x: y\r\n" * 1000)), (BrokenReply, ReplyTooLarge)),
    Case("an endless header", said(b"HTTP/1.1 200 OK\r\nx: ", Forever(b"y" * 4096)), (BrokenReply, ReplyTooLarge)),
    Case("an endless status line", said(b"HTTP/1.1 200 ", Forever(b"y" * 4096)), (BrokenReply, ReplyTooLarge)),
    Case("a head byte by byte", lambda good: (Slowly(reply(good)),), LATE),
    Case("a header every moment", said(b"HTTP/1.1 200 OK\r\n", Forever(b"x: y\r\n", 0.02)), LATE),
    Case("half a head and silence", said(b"HTTP/1.1 200 OK\r\ncontent-", End.SILENCE), LATE),
    Case("half a head and a close", said(b"HTTP/1.1 200 OK\r\ncontent-", End.CLOSE), BROKEN),
    Case("half a head and a reset", said(b"HTTP/1.1 200 OK\r\ncontent-", End.RESET), BROKEN),
    Case("silence", said(End.SILENCE), LATE),
    Case("a close", said(End.CLOSE), BROKEN),
    Case("a reset", said(End.RESET), BROKEN),
)

INFORMATIONAL = (
    Case("a few hints first", lambda good: (head("link: </x>", status="103 Hints") * 20 + reply(good),), OK),
    Case("hints for ever", said(Forever(head(status="103 Hints"), 0.01)), (TimedOut, BrokenReply, ReplyTooLarge)),
    Case("100 and silence", said(head(status="100 Continue"), End.SILENCE), LATE),
    Case("101 unasked", said(head("upgrade: h2c", "connection: upgrade", status="101 Switching"), End.CLOSE), BROKEN),
    Case("204 with a body", said(reply(b"{} too", status="204 No Content")), (204, *BROKEN), Means.NOTHING),
    Case("304 with a body", said(reply(b"{} too", status="304 Not Modified")), (304, *BROKEN), Means.FAULT),
)

LENGTHS = (
    Case("a length too long and a close", lambda good: (reply(good, length=len(good) + 9), End.CLOSE), BROKEN),
    Case("a length too long and a reset", lambda good: (reply(good, length=len(good) + 9), End.RESET), BROKEN),
    Case("a length too long and silence", lambda good: (reply(good, length=len(good) + 9), End.SILENCE), LATE),
    Case("a length too short", lambda good: (reply(good + b"and more", length=len(good)),), OK),
    Case("a length below zero", said(reply(b"{}", length=-2), End.CLOSE), BROKEN),
    Case("a length with a sign", said(reply(b"{}", length="+2"), End.CLOSE), BROKEN),
    Case("a length in hex", said(reply(b"{}", length="0x2"), End.CLOSE), BROKEN),
    Case("a length with a point", said(reply(b"{}", length="2.0"), End.CLOSE), BROKEN),
    Case("a length in words", said(reply(b"{}", length="two"), End.CLOSE), BROKEN),
    Case("an empty length", said(reply(b"{}", length=""), End.CLOSE), BROKEN),
    Case("a length in other digits", said(reply(b"{}", length="\xb2"), End.CLOSE), BROKEN),
    Case("two lengths", said(reply(b"{} ", "content-length: 2", length=3), End.CLOSE), BROKEN),
    Case("two lengths in one header", said(reply(b"{} ", length="2, 3"), End.CLOSE), BROKEN),
    Case("one length twice", lambda good: (reply(good, f"content-length: {len(good)}"),), (*BROKEN, 200)),
    Case("a length of 1 TB", said(reply(b"{}", length=10**12), End.SILENCE), LARGE),
    Case("a length of 30 digits", said(reply(b"{}", length=10**30), End.SILENCE), (BrokenReply, ReplyTooLarge)),
    Case("a length of 5,000 digits", said(reply(b"{}", length="9" * 5000), End.CLOSE), (BrokenReply, ReplyTooLarge)),
    Case("a length and chunks", lambda good: (chunked(good, "content-length: 2"), End.CLOSE), (*BROKEN, 200)),
    Case("no length and silence", lambda good: (head() + good, End.SILENCE), LATE),
    Case("no length and a close", lambda good: (head("connection: close") + good, End.CLOSE), OK),
    Case("HTTP/1.0", lambda good: (b"HTTP/1.0 200 OK\r\n\r\n" + good, End.CLOSE), OK),
)

CHUNKS = (
    Case(
        "a chunk of no number", said(head("transfer-encoding: chunked") + b"zz\r\n{}\r\n0\r\n\r\n", End.CLOSE), BROKEN
    ),
    Case("a chunk below zero", said(head("transfer-encoding: chunked") + b"-2\r\n{}\r\n0\r\n\r\n", End.CLOSE), BROKEN),
    Case("a chunk without a size", said(head("transfer-encoding: chunked") + b"\r\n\r\n{}", End.CLOSE), BROKEN),
    Case("a chunk of 20 digits", said(head("transfer-encoding: chunked") + b"f" * 20 + b"\r\n{}", End.CLOSE), BROKEN),
    Case("a chunk of 300 digits", said(head("transfer-encoding: chunked") + b"f" * 300 + b"\r\n{}", End.CLOSE), BROKEN),
    Case("a chunk longer than its size", said(head("transfer-encoding: chunked") + b"1\r\n{}\r\n", End.CLOSE), BROKEN),
    Case("an endless chunk extension", said(head("transfer-encoding: chunked") + b"2;", Forever(b"x" * 4096)), BROKEN),
    Case(
        "an extension of 4 KB",
        lambda good: (chunked(good).replace(b"\r\n0\r\n", b"\r\n0;" + b"x" * KIB * 4 + b"\r\n"),),
        (*BROKEN, 200),
    ),
    Case(
        "endless trailers",
        lambda good: (chunked(good, end=b"0\r\n"), Forever(b"x: y\r\n" * 1000)),
        (BrokenReply, ReplyTooLarge),
    ),
    Case("trailers", lambda good: (chunked(good, end=b"0\r\nx-after: y\r\n\r\n"),), OK),
    Case("a trailer that is none", lambda good: (chunked(good, end=b"0\r\nwhat\r\n\r\n"), End.CLOSE), (*BROKEN, 200)),
    Case("no last chunk and a close", lambda good: (chunked(good, end=b""), End.CLOSE), BROKEN),
    Case("no last chunk and silence", lambda good: (chunked(good, end=b""), End.SILENCE), LATE),
    Case("an unknown transfer coding", said(head("transfer-encoding: gzip"), gzip.compress(b"{}"), End.CLOSE), BROKEN),
    Case("gzip as transfer coding", said(head("transfer-encoding: gzip, chunked") + chunks(b"{}"), End.CLOSE), BROKEN),
    Case("chunked twice", said(head("transfer-encoding: chunked, chunked") + chunks(b"{}"), End.CLOSE), BROKEN),
    Case(
        "chunks in HTTP/1.0",
        lambda good: (chunked(good).replace(b"1.1", b"1.0", 1), End.CLOSE),
        (*BROKEN, 200),
        Means.GOOD,
    ),
    Case(
        "a body in tiny chunks",
        lambda good: (
            head("transfer-encoding: chunked") + b"".join(b"1\r\n%c\r\n" % byte for byte in good) + b"0\r\n\r\n",
        ),
        OK,
    ),
    Case("tiny chunks for ever", said(head("transfer-encoding: chunked"), Forever(b"1\r\n \r\n", 0.005)), LATE),
)

SIZES = (
    Case("a body byte by byte", said(head("content-length: 100000"), Forever(b" ", 0.01)), LATE),
    Case("an endless body", said(head("connection: close"), Forever(b" " * 65536)), LARGE),
    Case("endless chunks", said(head("transfer-encoding: chunked"), Forever(chunks(b" " * 65536, end=b""))), LARGE),
    Case("100 MB of JSON", said(head("content-length: 100000000"), Forever(b"[[]]," * 20_000)), LARGE),
    Case(
        "100 MB of JSON in chunks",
        said(head("transfer-encoding: chunked"), Forever(chunks(b"[[]]," * 20_000, end=b""))),
        LARGE,
    ),
)

ENCODINGS = (
    Case("gzip unasked", lambda good: (reply(gzip.compress(good), "content-encoding: gzip"),), OK),
    Case("deflate unasked", lambda good: (reply(zlib.compress(good), "content-encoding: deflate"),), OK),
    Case("a gzip bomb", lambda _: (reply(gzip_bomb(), "content-encoding: gzip"),), LARGE),
    Case("a gzip bomb in chunks", lambda _: (chunked(gzip_bomb(), "content-encoding: gzip"),), LARGE),
    Case("a deflate bomb", lambda _: (reply(deflate_bomb(), "content-encoding: deflate"),), LARGE),
    Case("a zstd bomb", lambda _: (reply(zstd_bomb(), "content-encoding: zstd"),), BROKEN),
    Case("a brotli bomb", said(reply(BROTLI_BOMB, "content-encoding: br")), BROKEN),
    Case("a nested bomb", lambda _: (reply(nested_gzip_bomb(), "content-encoding: gzip, gzip"),), BROKEN),
    Case(
        "a nested bomb in two headers",
        lambda _: (reply(nested_gzip_bomb(), "content-encoding: gzip", "content-encoding: gzip"),),
        BROKEN,
    ),
    Case("half of a nested bomb", lambda _: (reply(nested_gzip_bomb(), "content-encoding: gzip"),), OK, Means.RETRY),
    Case("an unknown encoding", said(reply(b"{}", "content-encoding: rot13")), BROKEN),
    Case("an encoding of 60 KB", said(reply(b"{}", "content-encoding: " + "x" * 60_000)), BROKEN),
    Case("gzip that is none", said(reply(b"{}", "content-encoding: gzip")), BROKEN),
    Case("gzip cut off", lambda good: (reply(gzip.compress(good)[:-9], "content-encoding: gzip"),), BROKEN),
    Case("gzip and more", lambda good: (reply(gzip.compress(good) + b"more", "content-encoding: gzip"),), BROKEN),
    Case(
        "gzip for ever", said(head("content-encoding: gzip", "connection: close"), Forever(gzip.compress(b""))), BROKEN
    ),
)

CONTENTS = (
    Case("HTML", body(b"<html><body>Bad gateway</body></html>"), OK, Means.RETRY),
    Case("nothing", body(b""), OK, Means.NOTHING),
    Case("blanks", body(b" \r\n\t"), OK, Means.UNFIT),
    Case("5 MiB of blanks", lambda _: (reply(b" " * 5 * MIB),), OK, Means.UNFIT),
    Case("NUL", body(b"\0\0\0\0"), OK, Means.RETRY),
    Case("a BOM", lambda good: (reply(b"\xef\xbb\xbf" + good),), OK),
    Case("UTF-16", lambda good: (reply(good.decode().encode("utf-16")),), OK, Means.RETRY),
    Case("invalid UTF-8", body(b"\xff\xfe\xfd"), OK, Means.RETRY),
    Case("invalid UTF-8 in a string", body(b'{"x":"\xff\xc3\x28\xed\xa0\x80"}'), OK, Means.NOTHING),
    Case("half a document", lambda good: (reply(good[:-1]),), OK, Means.RETRY),
    Case("two documents", lambda good: (reply(good * 2),), OK, Means.RETRY),
    Case("an empty list", body(b"[]"), OK, Means.UNFIT),
    Case("a number", body(b"1"), OK, Means.UNFIT),
    Case("a string", body(b'"job_data"'), OK, Means.UNFIT),
    Case("null", body(b"null"), OK, Means.UNFIT),
    Case("100,000 lists in lists", lambda _: (reply(nested(100_000)),), OK, Means.RETRY),
    Case("an open list of lists", lambda _: (reply(b"[" * MIB),), OK, Means.RETRY),
    Case("NaN alone", body(b"NaN"), OK, Means.RETRY),
    Case("a number of 10,000 digits", body(b"9" * 10_000), OK, Means.RETRY),
    Case("5 MiB of structure", lambda _: (reply(many_values(5 * MIB)),), OK, Means.UNFIT),
    Case("5 MiB of objects", lambda _: (reply(many_values(5 * MIB, b'{"":0}')),), OK, Means.UNFIT),
    Case("1 MB of structure", lambda _: (reply(many_values(1_000_000)),), OK, Means.RETRY),
    Case(
        "5 MiB of structure in an error",
        lambda _: (reply(many_values(5 * MIB), status="500 Oops"),),
        (500,),
        Means.RETRY,
    ),
    Case(
        "5 MiB of structure in a refusal",
        lambda _: (reply(many_values(5 * MIB), status="402 Pay"),),
        (402,),
        Means.REFUSED,
    ),
    Case(
        "5 MiB of HTML in a refusal", lambda _: (reply(b"<p>" * (5 * MIB // 3), status="402 Pay"),), (402,), Means.RETRY
    ),
    Case(
        "5 MiB of text in a refusal",
        lambda _: (reply(b'{"detail":"%s"}' % (b"x" * 5 * MIB), status="402 Pay"),),
        (402,),
        Means.REFUSED,
    ),
)

HEADERS = (
    tuple(
        Case(
            f"Retry-After {text[:20]!r}",
            said(reply(b"{}", f"retry-after: {text}", *more, status="503 Busy")),
            (*BROKEN, 503),
            Means.RETRY,
        )
        for text, *more in (
            ("1e12",),
            ("-5",),
            ("NaN",),
            ("soon",),
            ("9" * 5000,),
            ("1", "retry-after: 2"),
            ("",),
            ("\xb2",),
            ("0x10",),
            ("Fri, 31 Dec 9999 23:59:59 GMT", "date: Mon, 01 Jan 0001 00:00:00 GMT"),
            ("x" * 60_000,),
            ("Fri, 31 Dec 1999 23:59:59 +9999", "date: Fri, 31 Dec 1999 23:59:59 -9999"),
            ("(" * 60_000, "date: " + "(" * 9),
        )
    )
    + tuple(
        Case(f"Date {text[:20]!r}", good_with(f"date: {text}", "date: 1"), (*BROKEN, 200))
        for text in (
            "soon",
            "",
            "-1",
            "1e999",
            "Mon, 01 Jan 0001 00:00:00 GMT",
            "Fri, 31 Dec 9999 23:59:59 -2359",
            "Fri, 31 Dec 99999999 23:59:59 GMT",
            "1 Jan 1 1:1:1 +999999999999",
            "(" * 60_000,
            "," * 60_000,
        )
    )
    + (
        Case("60 KB of cookies", good_with("set-cookie: " + "a=b;expires=" * 5_000), OK),
        Case("a cookie of blanks", good_with("set-cookie: a" + " " * 60_000 + "=b"), OK),
        Case(
            "a charset that is none", lambda good: (reply(good, "content-type: application/json; charset=rot13"),), OK
        ),
        Case("a close announced and not kept", lambda good: (reply(good, "connection: close"), End.SILENCE), OK),
        Case("a keep-alive that is not kept", lambda good: (reply(good, "connection: keep-alive"), End.CLOSE), OK),
        Case("407 without a proxy", said(reply(b"{}", status="407 Who")), (407,), Means.REFUSED),
    )
)


def redirects(elsewhere: str) -> Iterator[Case]:
    """Redirects to a URL where nobody must ever come, and to where nobody can."""
    authority = elsewhere.partition("://")[2]
    targets = {
        "another host": f"{elsewhere}/bait", "a host without scheme": f"//{authority}/bait", "a file": "file:///etc/passwd",
        "a name with a secret": f"http://user:pass@{authority}/bait", "nowhere": "http://[:bad", "a script": "javascript:0",
        "gopher": f"gopher://{authority}/1bait", "itself": "", "another path": "/bait", "60 KB": f"{elsewhere}/" + "x" * 60_000,
        "8 bits": f"{elsewhere}/\xff\xfe", "a port beyond all": "http://127.0.0.1:99999/",
    }  # fmt: skip
    for status in (300, 301, 302, 303, 307, 308, 399):
        where = f"location: {targets['another host']}"
        yield Case(
            f"{status} to another host", said(reply(b"{}", where, status=f"{status} Go")), (status,), Means.FAULT
        )
    for name, target in targets.items():
        where = f"location: {target}"
        yield Case(f"a redirect to {name}", said(reply(b"{}", where, status="302 Go")), (302,), Means.FAULT)
    more = (f"location: {elsewhere}/bait", f"refresh: 0; url={elsewhere}/bait", f"content-location: {elsewhere}/bait")
    yield Case("200 with a place to go", good_with(*more), OK)
    yield Case("a redirect without a target", said(reply(b"", status="302 Go")), (302,), Means.FAULT)


CASES = (*HEADS, *INFORMATIONAL, *LENGTHS, *CHUNKS, *SIZES, *ENCODINGS, *CONTENTS, *HEADERS)
