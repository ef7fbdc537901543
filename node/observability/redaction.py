"""Masks secrets in text: the one point that everything written for people passes."""

from __future__ import annotations

import re
import weakref
from collections import Counter, OrderedDict, deque
from collections.abc import Iterator
from typing import Final, TypeAlias

from node.domain.secret import MASK, Secret
from node.observability.secret_forms import MIN_CHARS, forms

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

    A secret is found in its own characters and as JSON, Python, HTML, URLs, base64 or hexadecimal digits write it,
    whatever stands around it. `register` is for what lives as long as the program, `remember` for what comes and
    goes: tokens, developers' keys. Secrets under `MIN_CHARS` characters are left to the patterns.

    `redact` may be called from any thread, the others from one thread only.
    """

    def __init__(self, recent: int = 512) -> None:
        """Start with nothing; ``recent`` is how many secrets that are gone are masked still."""
        self._sieves = (_Sieve(width=6, step=3), _Sieve(width=4, step=2))
        self._uses: Counter[str] = Counter()
        self._kept: set[str] = set()
        self._leases: dict[int, weakref.ref[Secret]] = {}
        self._held: Counter[str] = Counter()
        self._ended: deque[tuple[int, str, weakref.ref[Secret]]] = deque()
        self._recent: OrderedDict[str, None] = OrderedDict()
        self._most_recent = recent

    def register(self, secret: Secret) -> None:
        """Mask this secret from now on."""
        text = secret.reveal()
        if len(text) >= MIN_CHARS and text not in self._kept:
            self._kept.add(text)
            self._add(text)

    def remember(self, secret: Secret) -> None:
        """Mask this secret for as long as the object lives, and until ``recent`` others have gone after it.

        To hold a secret is to be able to tell it: what is bounded in the program is bounded here.
        """
        self._settle()
        text, number = secret.reveal(), id(secret)
        lease = self._leases.get(number)
        if len(text) < MIN_CHARS or (lease is not None and lease() is secret):
            return
        ended = self._ended
        self._leases[number] = weakref.ref(secret, lambda gone: ended.append((number, text, gone)))
        self._held[text] += 1
        if self._held[text] == 1 and text in self._recent:
            del self._recent[text]
        elif self._held[text] == 1:
            self._add(text)

    def redact(self, text: str) -> str:
        """The text with every secret in it masked."""
        spans = [span for sieve in self._sieves for span in sieve.found(text)]
        if spans:
            text = _mask(text, spans)
        return _mask_patterns(text)

    def _settle(self) -> None:
        """Let go of what has gone: not when it goes, since that may be on any thread and at any point of this code."""
        while self._ended:
            number, text, lease = self._ended.popleft()
            if self._leases.get(number) is lease:
                del self._leases[number]
            self._held[text] -= 1
            if not self._held[text]:
                del self._held[text]
                self._recent[text] = None
        while len(self._recent) > self._most_recent:
            self._remove(self._recent.popitem(last=False)[0])

    def _add(self, text: str) -> None:
        for form in forms(text):
            self._uses[form] += 1
            if self._uses[form] == 1:
                self._sieve(form).add(form)

    def _remove(self, text: str) -> None:
        for form in forms(text):
            self._uses[form] -= 1
            if not self._uses[form]:
                del self._uses[form]
                self._sieve(form).remove(form)

    def _sieve(self, form: str) -> _Sieve:
        return next(sieve for sieve in self._sieves if len(form) >= sieve.least)


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
    # A JWT that was granted to another process, in base64 at each of its three alignments, and in hexadecimal digits.
    ("zxlk", re.compile(r"ZXlK[\w+/-]{40,}={0,2}", re.ASCII), MASK),
    ("leu", re.compile(r"leU[op][\w+/-]{40,}={0,2}", re.ASCII), MASK),
    ("v5s", re.compile(r"V5S[\w+/-]{40,}={0,2}", re.ASCII), MASK),
    ("65794a", re.compile(r"65794[aA][\da-fA-F]{60,}"), MASK),
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
