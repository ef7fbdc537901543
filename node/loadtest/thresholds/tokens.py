"""The words and signs of a threshold, each with its place, so that a fault can point at it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from difflib import get_close_matches
from typing import Final, Literal, NamedTuple

from node.domain.errors import InputFault, InvalidInput
from node.loadtest.plan.quantities import NUMBER
from node.loadtest.thresholds.expression import UNITS

PLACE: Final = "threshold"
"""Where faults are said to be, since an expression by itself stands in no file."""

_TIMES: Final = "|".join(sorted((unit for unit in UNITS if unit.isalpha()), key=len, reverse=True))
_RATES: Final = "|".join(unit for unit in UNITS if unit.startswith("/"))
_TOKEN: Final = re.compile(
    rf"(?P<number>{NUMBER})(?:\s*(?P<unit>{_TIMES})(?![\w.])|\s*(?P<percent>%)|(?P<rate>{_RATES})(?![\w.]))?"
    r"|(?P<name>[A-Za-z_][\w.]*)"
    r"|(?P<comparison><=|>=|==|!=|<|>)"
    r"|(?P<sign>[-+*/()])"
    r"|(?P<other>\S)"
)
_NEAR: Final = {"=": "==", "=<": "<=", "=>": ">=", "≤": "<=", "≥": ">=", "≠": "!="}
_SIGNS: Final = "there are names, numbers that begin with a digit, + - * / ( ) and < <= > >= == !="


class Token(NamedTuple):
    """A piece of the text; ``unit`` belongs to a number, and ``end`` is the last kind of all."""

    kind: Literal["number", "name", "comparison", "sign", "end"]
    text: str
    start: int
    unit: str = ""
    length: int = 1


def misread(text: str, token: Token, problem: str, remedy: str) -> InvalidInput:
    """An error that shows the text with carets below the token."""
    shown = "".join(" " if char.isspace() else char for char in text)
    carets = " " * token.start + "^" * max(1, token.length)
    return InvalidInput([InputFault(PLACE, f"{problem}:\n    {shown}\n    {carets}", remedy)])


def tokens(text: str) -> Iterator[Token]:
    """The tokens of a text, an ``end`` after the last.

    Raises:
        InvalidInput: a sign is none of ours, or a number is followed by what is no unit.
    """
    after_number = False
    for match in _TOKEN.finditer(text):
        token = _token(text, match)
        if token.kind == "name" and after_number:
            raise misread(text, token, f"{token.text} is no unit", _unit_remedy(token.text))
        after_number = token.kind == "number"
        yield token
    yield Token("end", "", len(text))


def _token(text: str, match: re.Match[str]) -> Token:
    start, length = match.start(), match.end() - match.start()
    if match["number"] is not None:
        unit = match["unit"] or match["percent"] or match["rate"] or ""
        return Token("number", match["number"], start, unit, length)
    if match["name"] is not None:
        return Token("name", match["name"], start, length=length)
    if match["comparison"] is not None:
        return Token("comparison", match["comparison"], start, length=length)
    if match["sign"] is not None:
        return Token("sign", match["sign"], start)
    meant = _NEAR.get(text[start : start + 2]) or _NEAR.get(match[0])
    remedy = f"did you mean {meant}?" if meant else _SIGNS
    raise misread(text, Token("sign", match[0], start), f"{match[0]} has no meaning here", remedy)


def _unit_remedy(written: str) -> str:
    near = get_close_matches(written, [unit for unit in UNITS if unit], n=1, cutoff=0.5)
    return f"did you mean {near[0]}?" if near else f"units are {', '.join(unit for unit in UNITS if unit)}"
