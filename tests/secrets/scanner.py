"""Looks for secrets in bytes, however they are written there.

Nothing here is shared with what masks: it undoes encodings where the program applies them, so that what one of the
two forgot the other need not have forgotten.
"""

from __future__ import annotations

import base64
import binascii
import html
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Final, NamedTuple
from urllib.parse import unquote_to_bytes

PIECE: Final = 10
"""Characters of a secret that are known for a part of it: any 19 in a row hold such a piece."""

_DEPTH: Final = 2
"""Encodings that may lie around each other."""

_BASE64: Final = re.compile(rb"[A-Za-z0-9+/_-]{8,}")
_HEX: Final = re.compile(rb"(?:[0-9a-fA-F]{2}){6,}")
_ESCAPES: Final = re.compile(rb"""\\(?:u([0-9a-fA-F]{4})|x([0-9a-fA-F]{2})|(["'\\/]))""")


class Finding(NamedTuple):
    """A secret where it must not be: its name, never its text."""

    place: str
    secret: str


class Scanner:
    """Knows secrets by name, and finds them."""

    def __init__(self, secrets: Mapping[str, str]) -> None:
        self._needles = {needle: name for name, text in secrets.items() for needle in _needles(text)}

    def secrets_in(self, data: bytes) -> set[str]:
        """The names of the secrets that stand in the data, whole or in pieces."""
        return {name for view in views(data) for needle, name in self._needles.items() if needle in view}

    def scan(self, outputs: Iterable[tuple[str, bytes]]) -> list[Finding]:
        """What stands in outputs of these names, and in the names."""
        return [
            Finding(place, name)
            for place, data in outputs
            for name in sorted(self.secrets_in(data) | self.secrets_in(place.encode()))
        ]


def files_below(folder: Path, without: Iterable[str] = ()) -> Iterator[tuple[str, bytes]]:
    """Every file below a folder by its path from there, but for those named."""
    skipped = set(without)
    for path in sorted(folder.rglob("*")):
        place = str(path.relative_to(folder))
        if place not in skipped:
            yield place, path.read_bytes() if path.is_file() else b""


def views(data: bytes, depth: int = _DEPTH) -> Iterator[bytes]:
    """The data as it is, and with the encodings in it undone."""
    yield data
    if not depth:
        return
    for decoded in _decoded(data):
        if decoded != data:
            yield from views(decoded, depth - 1)


def _decoded(data: bytes) -> Iterator[bytes]:
    yield _ESCAPES.sub(_unescaped, data)
    if b"%" in data or b"+" in data:
        yield unquote_to_bytes(data.replace(b"+", b" "))
        yield unquote_to_bytes(data)
    if b"&" in data:
        yield html.unescape(data.decode("utf-8", "surrogateescape")).encode("utf-8", "surrogateescape")
    yield b"\n".join(bytes.fromhex(run.decode()) for run in _HEX.findall(data))
    yield b"\n".join(_from_base64(run) for run in _BASE64.findall(data))


def _unescaped(match: re.Match[bytes]) -> bytes:
    wide, narrow, plain = match.groups()
    if plain:
        return plain
    if narrow:
        return bytes.fromhex(narrow.decode())
    return chr(int(wide, 16)).encode("utf-8", "surrogatepass")


def _from_base64(run: bytes) -> bytes:
    """What a run of base64 says, from whichever of its first characters it begins."""
    run = run.replace(b"-", b"+").replace(b"_", b"/")
    said = []
    for start in range(4):
        whole = run[start : start + (len(run) - start) // 4 * 4]
        try:
            said.append(base64.b64decode(whole))
        except binascii.Error:
            continue
    return b"\n".join(said)


def _needles(text: str) -> Iterator[bytes]:
    """A secret, and pieces of a long one; of a JWT those of its signature, the rest being no secret."""
    yield text.encode()
    core = text.rpartition(".")[2] if text.startswith("eyJ") else text
    if len(core) >= 2 * PIECE:
        for start in range(0, len(core) - PIECE + 1, PIECE):
            yield core[start : start + PIECE].encode()
