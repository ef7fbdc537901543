"""Replies drawn from a seed: good ones with something wrong, odd ones, and noise; as values and as bytes."""

from __future__ import annotations

import base64
import copy
import gzip
import json
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any, Final, TypeVar

from tests.evil.server import End, Script
from tests.evil.steps import EvilStep

T = TypeVar("T")

STATUSES: Final = (
    100, 101, 103, 200, 201, 202, 204, 206, 226, 299, 300, 301, 302, 303, 304, 307, 308, 399, 400, 401, 402, 403, 404,
    405, 407, 408, 409, 410, 411, 413, 418, 421, 422, 425, 429, 431, 451, 499, 500, 501, 502, 503, 504, 511, 520, 599,
    600, 799, 999,
)  # fmt: skip

RAW: Final = {
    "@NaN": "NaN", "@Inf": "Infinity", "@-Inf": "-Infinity", "@1e999": "1e999", "@-1e999": "-1e999", "@huge": "9" * 400,
    "@huger": "-" + "9" * 5000, "@tiny": "1e-999", "@-0": "-0", "@00": "007", "@high": '"\\ud83d"', "@low": '"\\ude00 x"',
    "@nul": '"a\\u0000b"', "@deep": "[" * 150 + "]" * 150, "@deeper": "[" * 1200 + "]" * 1200, "@wide": "[[]" + ",[]" * 300 + "]",
    "@open": "[", "@bytes": '"\udcff\udcc3("', "@twice": '{"a":1,"a":2}', "@comment": "/* */1", "@single": "'x'",
}  # fmt: skip
"""What no writer of JSON writes, by what stands for it until the rest is written."""

ODD: Final[tuple[Any, ...]] = (
    None, True, False, 0, 1, -1, 2**31, 2**53, 2**63, 2**64, -(2**63), 0.5, 1e308, -1e-300, "", " ", "0", "true", "null",
    "a\nb\r\n", "\x7f\x1b[2J", "\u202e\u2028\ufeff", "\U0001f600", "x" * 2000, [], {}, [[]], [None], {"": None},
    {"detail": "x"}, {"content": 1}, [{"role": "user"}], {"message": {"content": "x"}}, *RAW,
)  # fmt: skip

DATES: Final = (
    "Mon, 01 Jan 2024 00:00:00 GMT", "Mon, 01 Jan 0001 00:00:00 +2359", "Fri, 31 Dec 9999 23:59:59 -2359", "soon", "", "-1",
    "1 Jan 1 1:1:1 +999999999999", "0", "Sat, 30 Feb 2024 25:61:61 GMT", "Thu, 01-Jan-70 00:00:00 GMT", "1.1.1", "a b c d e f",
    "Mon, 01 Jan 2024 00:00 -0000", "2024-01-01T00:00:00Z", ": : :", "Mon,,,,", "1 2 3 4", "\u0661 \u0662", "(comment) 1 Jan 2024",
)  # fmt: skip
NUMBERS: Final = ("0", "1", "-1", "1e12", "NaN", "9" * 40, "1.5", "+3", " 7 ", "\xb2", "0x10", "1, 2", "1_000")
HEADERS: Final = {
    "retry-after": (*NUMBERS, *DATES), "date": DATES, "content-type": ("text/html", "application/json; charset=rot13", ""),
    "content-length": NUMBERS, "content-encoding": ("gzip", "deflate", "br", "gzip, gzip", "identity", "zstd", "x" * 90),
    "location": ("file:///etc/passwd", "http://[:bad", "//other.example/", ""), "set-cookie": ("a=b", "=", "a; expires=x"),
    "www-authenticate": ("Basic", "Bearer realm=x"), "transfer-encoding": ("chunked", "gzip", "x"), "connection": ("close",),
}  # fmt: skip

CLAIMS: Final[tuple[dict[str, Any], ...]] = (
    {}, {"exp": 1}, {"exp": "soon"}, {"exp": 1e999}, {"exp": -5}, {"exp": 10**30}, {"exp": True}, {"exp": None}, {"exp": []},
    {"exp": 4_000_000_000, "iat": "x", "nbf": {}}, {"sub": 5, "aud": 7, "iss": [], "jti": {}}, {"exp": 4e9, "iat": 4.1e9},
)  # fmt: skip


@dataclass(frozen=True)
class Drawn:
    """A reply as a transport would return it."""

    status: int
    headers: dict[str, str]
    body: bytes


def draw_reply(chance: Random, step: EvilStep) -> Drawn:
    """A reply to this step."""
    status = 200 if chance.random() < 0.5 else chance.choice(STATUSES)
    return Drawn(status, draw_headers(chance), draw_body(chance, step.good))


def draw_headers(chance: Random) -> dict[str, str]:
    """Some headers with odd values."""
    names = chance.sample(tuple(HEADERS), chance.choice((0, 0, 1, 2, 4)))
    return {name: chance.choice(HEADERS[name]) for name in names}


def draw_body(chance: Random, good: Any) -> bytes:
    """A body on the way from good to noise."""
    kind = chance.random()
    if kind < 0.05:
        return chance.randbytes(chance.randrange(40))
    if kind < 0.15:
        content: Any = draw_odd(chance)
    else:
        content = copy.deepcopy(good)
        for _ in range(chance.choice((0, 1, 1, 1, 2, 3))):
            content = _changed(chance, content)
    text = json.dumps(content, ensure_ascii=chance.random() < 0.8)
    for mark, raw in RAW.items():
        if mark in text:
            text = text.replace(f'"{mark}"', raw)
    body = text.encode("utf-8", "surrogateescape")
    return mutated(chance, body) if chance.random() < 0.3 else body


def draw_odd(chance: Random) -> Any:
    """A value where another is expected: a token now and then."""
    return draw_token(chance) if chance.random() < 0.1 else copy.deepcopy(chance.choice(ODD))


def draw_token(chance: Random) -> str:
    """Something like a JWT."""
    header: dict[str, Any] = {"alg": chance.choice(("HS256", "none", "EdDSA", "RS256", "", None, [], 1)), "typ": "JWT"}
    header.update(chance.choice(({}, {"kid": "one"}, {"kid": 5}, {"b64": False}, {"crit": ["exp"]}, {"zip": "DEF"})))
    parts = [_packed(chance, header), _packed(chance, chance.choice(CLAIMS)), chance.choice(("", "AAAA", "!", "e30"))]
    token = chance.choice((".", ".", ".", "", "..", ".\r\n")).join(parts[: chance.choice((3, 3, 3, 2, 1))])
    return mutated(chance, token.encode()).decode("latin-1") if chance.random() < 0.2 else token


def _packed(chance: Random, content: Any) -> str:
    text = chance.choice(("[" * 9000, "null", "[]", "")) if chance.random() < 0.05 else json.dumps(content)
    return base64.urlsafe_b64encode(text.encode()).rstrip(b"=").decode()


def _changed(chance: Random, content: Any) -> Any:
    """The content with one thing in it replaced, gone, or added."""
    if not content or not isinstance(content, dict | list) or chance.random() < 0.15:
        return draw_odd(chance)
    place = chance.choice(list(content)) if isinstance(content, dict) else chance.randrange(len(content))
    change = chance.random()
    if change < 0.6:
        content[place] = _changed(chance, content[place])
    elif change < 0.8:
        del content[place]
    elif isinstance(content, dict):
        content[chance.choice(("job_data", "detail", "error", "", "result", "extra"))] = draw_odd(chance)
    else:
        content.append(draw_odd(chance))
    return content


def mutated(chance: Random, data: bytes) -> bytes:
    """Bytes with some of them changed, gone, doubled or put in."""
    mine = bytearray(data)
    for _ in range(chance.choice((1, 1, 1, 2, 4))):
        at = chance.randrange(len(mine) + 1)
        match chance.randrange(6):
            case 0 if at < len(mine):
                mine[at] ^= 1 << chance.randrange(8)
            case 1:
                mine[at:at] = chance.randbytes(chance.choice((1, 2, 8)))
            case 2:
                del mine[at : at + chance.choice((1, 2, 16))]
            case 3:
                del mine[at:]
            case 4:
                mine[at:at] = mine[at : at + chance.choice((1, 8, 64))]
            case _:
                mine[at:at] = chance.choice(
                    (b"\r\n", b"\n", b"\0", b":", b'"', b"\\u", b"\xed\xa0\x80", b"\xff", b"-", b"9" * 30)
                )
    return bytes(mine)


def draw_encoded(chance: Random, body: bytes) -> tuple[str, list[bytes]]:
    """The body compressed in some way, perhaps wrongly, and in pieces: the encoding's name, and them."""
    name, pack = chance.choice(_PACKERS)
    data = pack(body)
    if chance.random() < 0.6:
        data = mutated(chance, data)
    return chance.choice((name, name, name.upper(), f" {name}", "gzip", "deflate")), in_pieces(chance, data)


_PACKERS: Final[Sequence[tuple[str, Callable[[bytes], bytes]]]] = (
    ("gzip", gzip.compress),
    ("deflate", zlib.compress),
    ("identity", lambda body: body),
    ("gzip", lambda body: gzip.compress(body * 200)),
)


def in_pieces(chance: Random, data: bytes) -> list[bytes]:
    """The data cut at some places."""
    cuts = sorted(chance.randrange(len(data) + 1) for _ in range(chance.choice((0, 0, 1, 3))))
    return [data[begin:end] for begin, end in zip([0, *cuts], [*cuts, len(data)], strict=True)]


SMUGGLED: Final = b"HTTP/1.1 200 OK\r\ncontent-length: 8\r\n\r\nSMUGGLED"


def draw_script(chance: Random, step: EvilStep) -> Script:
    """A reply as bytes: framed in some way, changed in some places or followed by another, and ended somehow."""
    drawn = draw_reply(chance, step)
    lines = [f"HTTP/1.1 {drawn.status} {chance.choice(('OK', '', 'X' * 50))}"]
    lines += [
        f"{name}: {value}" for name, value in drawn.headers.items() if name not in _FRAMING or chance.random() < 0.2
    ]
    framing, framed = chance.choice(_FRAMINGS)(drawn.body)
    head = "\r\n".join([*lines, *framing, "", ""]).encode("utf-8")
    data = head + framed
    if chance.random() < 0.1:
        return (*in_pieces(chance, data + SMUGGLED),)
    if chance.random() < 0.75:
        data = mutated(chance, data)
    ends: tuple[tuple[End, ...], ...] = ((End.CLOSE,), (End.CLOSE,), (End.CLOSE,), (), (End.RESET,), (End.SILENCE,))
    return (*in_pieces(chance, data), *chance.choice(ends))


_FRAMING: Final = frozenset({"content-length", "transfer-encoding", "content-encoding"})


def _with_length(body: bytes) -> tuple[list[str], bytes]:
    return [f"content-length: {len(body)}"], body


def _in_chunks(body: bytes) -> tuple[list[str], bytes]:
    return ["transfer-encoding: chunked"], b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body)


def _zipped(body: bytes) -> tuple[list[str], bytes]:
    data = gzip.compress(body)
    return ["content-encoding: gzip", f"content-length: {len(data)}"], data


def _until_close(body: bytes) -> tuple[list[str], bytes]:
    return ["connection: close"], body


_FRAMINGS: Final[Sequence[Callable[[bytes], tuple[list[str], bytes]]]] = (
    _with_length,
    _with_length,
    _in_chunks,
    _zipped,
    _until_close,
)
