"""Masks secrets in text: the one point that everything written for people passes."""

from __future__ import annotations

import base64
import json
import re
from collections import Counter, OrderedDict
from collections.abc import Iterator
from typing import Final, TypeAlias
from urllib.parse import quote, quote_plus

from node.domain.secret import MASK, Secret

MIN_CHARS: Final = 6
"""Shorter secrets are not looked for by value, since they would mask half of every log; patterns still do."""

_Form: TypeAlias = tuple[int, str]
"""A text to mask, and where in it the characters begin by which it is looked up."""


class _Sieve:
    """Finds any of many texts in another, in time that depends on the length of the latter alone.

    Of each text ``width + step - 1`` characters are taken and all windows of ``width`` characters in them kept
    in a dict. Wherever the text occurs, one of those windows begins at a multiple of ``step``, so it is enough
    to look those up, which `re.findall` and `isdisjoint` do without a turn of Python. ``step`` divides ``width``.
    """

    def __init__(self, width: int, step: int) -> None:
        self.least = width + step - 1
        self._width = width
        self._step = step
        self._chunks: Final = re.compile(f"(?s).{{{width}}}").findall
        self._index: dict[str, tuple[_Form, ...]] = {}

    def add(self, text: str) -> None:
        # Texts of one make (tokens, numbered passwords) share a beginning or an end: take the rarest of three places.
        places = (len(text) - self.least, 0, (len(text) - self.least) // 2)
        place = min(places, key=lambda place: sum(len(self._index.get(key, ())) for key in self._keys(text, place)))
        forms = ((place, text),)
        for key in self._keys(text, place):
            others = self._index.get(key)
            self._index[key] = forms if others is None else (*others, *forms)

    def remove(self, text: str) -> None:
        for place in {len(text) - self.least, 0, (len(text) - self.least) // 2}:
            for key in self._keys(text, place):
                left = tuple(form for form in self._index.get(key, ()) if form != (place, text))
                if left:
                    self._index[key] = left
                else:
                    self._index.pop(key, None)

    def found(self, text: str) -> Iterator[tuple[int, int]]:
        if not self._index:
            return
        known = self._index.keys()
        for start in range(0, self._width, self._step):
            chunks = self._chunks(text, start)
            if known.isdisjoint(chunks):
                continue
            for number, chunk in enumerate(chunks):
                if chunk in known:
                    yield from self._matches(text, start + number * self._width, chunk)

    def _matches(self, text: str, at: int, chunk: str) -> Iterator[tuple[int, int]]:
        for place, form in self._index.get(chunk, ()):
            for begin in range(at - place, at - place - self._step, -1):
                if begin >= 0 and text.startswith(form, begin):
                    yield begin, begin + len(form)

    def _keys(self, text: str, place: int) -> list[str]:
        return [text[at : at + self._width] for at in range(place, place + self._step)]


class Redactor:
    """Masks what it was told, by value, and what looks like a credential, by pattern.

    A secret is found in its own characters and as JSON, URL or base64 write it, whatever stands around it.
    `register` is for what lives as long as the program; `remember` for what comes and goes (tokens, developers'
    keys), of which the last ``remembered`` are kept. Secrets under `MIN_CHARS` characters are left to the patterns.

    `redact` may be called from any thread, the others from one thread only.
    """

    def __init__(self, remembered: int = 4096) -> None:
        self._capacity = remembered
        self._sieves = (_Sieve(width=6, step=3), _Sieve(width=4, step=2))
        self._kept: set[str] = set()
        self._passing: OrderedDict[str, None] = OrderedDict()
        self._uses: Counter[str] = Counter()

    def register(self, secret: Secret) -> None:
        """Mask this secret from now on."""
        text = secret.reveal()
        if len(text) < MIN_CHARS or text in self._kept:
            return
        self._kept.add(text)
        self._add(text)

    def remember(self, secret: Secret) -> None:
        """Mask this secret until many others have been remembered after it."""
        text = secret.reveal()
        if text in self._passing:
            self._passing.move_to_end(text)
            return
        if len(text) < MIN_CHARS or self._capacity < 1:
            return
        self._passing[text] = None
        self._add(text)
        if len(self._passing) > self._capacity:
            oldest, _ = self._passing.popitem(last=False)
            self._remove(oldest)

    def redact(self, text: str) -> str:
        """The text with every secret in it masked."""
        spans = [span for sieve in self._sieves for span in sieve.found(text)]
        if spans:
            text = _mask(text, spans)
        return _mask_patterns(text)

    def _add(self, text: str) -> None:
        for form in _forms(text):
            self._uses[form] += 1
            if self._uses[form] == 1:
                self._sieve(form).add(form)

    def _remove(self, text: str) -> None:
        for form in _forms(text):
            self._uses[form] -= 1
            if not self._uses[form]:
                del self._uses[form]
                self._sieve(form).remove(form)

    def _sieve(self, form: str) -> _Sieve:
        return next(sieve for sieve in self._sieves if len(form) >= sieve.least)


def _forms(text: str) -> list[str]:
    """A secret as it may stand in other text, without repeats and in a fixed order."""
    as_json = [json.dumps(text, ensure_ascii=ascii_only)[1:-1] for ascii_only in (True, False)]
    nested = [json.dumps(form)[1:-1] for form in as_json]
    in_url = [quote(text, safe=""), quote_plus(text)]
    forms = dict.fromkeys([text, *as_json, *nested, *in_url, *_in_base64(text)])
    return [form for form in forms if len(form) >= MIN_CHARS]


def _in_base64(text: str) -> Iterator[str]:
    """What is the same in the base64 of whatever contains the text, at each of the three alignments."""
    data = text.encode("utf-8", "surrogatepass")
    for before in range(3):
        whole = base64.b64encode(b"\0" * before + data)
        first = (before * 8 + 5) // 6
        last = (before + len(data)) * 8 // 6
        core = whole[first:last].decode("ascii")
        yield core
        yield core.replace("+", "-").replace("/", "_")


def _mask(text: str, spans: list[tuple[int, int]]) -> str:
    spans.sort()
    pieces: list[str] = []
    done = 0
    for begin, end in spans:
        if begin >= done:
            pieces += text[done:begin], MASK
        done = max(done, end)
    pieces.append(text[done:])
    return "".join(pieces)


_VALUE: Final = r"""(?!\*)[^\s"'\\,;&)}\]]+"""
_ASSIGNED: Final = r"""(?:\\*["'])?(?:\s*=\s*|(?<=["'])\s*:\s*)\\*["']?"""
_NAMED: Final = r"""\\*["']?\s*[=:]\s*\\*["']?"""

_PATTERNS: Final = (
    ("eyj", re.compile(r"eyJ[\w-]{5,}(?:\.[\w-]+){1,4}\.?"), MASK),
    ("://", re.compile(r"(://)[^\s/@\"']*:[^\s/@\"']*@"), rf"\1{MASK}@"),
    ("bearer", re.compile(rf"(?i)\b(bearer\s+)[\w.~+/=-]{{{MIN_CHARS},}}"), rf"\1{MASK}"),
    ("basic", re.compile(rf"\b([Bb]asic\s+)(?=[\w+/=-]*[A-Z\d+/=])[\w+/=-]{{{MIN_CHARS},}}"), rf"\1{MASK}"),
    ("key", re.compile(rf"(?i)\b((?:api|private)[_-]?key{_NAMED}){_VALUE}"), rf"\1{MASK}"),
    ("pass", re.compile(rf"(?i)\b(pass(?:word|wd){_ASSIGNED}){_VALUE}"), rf"\1{MASK}"),
    ("secret", re.compile(rf"(?i)\b(secret{_ASSIGNED}){_VALUE}"), rf"\1{MASK}"),
    ("token", re.compile(rf"(?i)\b((?:\w+_)?token{_ASSIGNED}){_VALUE}"), rf"\1{MASK}"),
)
"""A word in lower case without which the pattern cannot match, the pattern, and what takes its place."""


def _mask_patterns(text: str) -> str:
    lower = text.lower()
    for hint, pattern, mask in _PATTERNS:
        if hint in lower:
            text = pattern.sub(mask, text)
    return text
