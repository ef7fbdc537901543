"""From a text to a threshold: a parser by descent, which calls nothing that it reads.

::

    threshold  = sum ("<" | "<=" | ">" | ">=" | "==" | "!=") sum
    sum        = product (("+" | "-") product)*
    product    = factor (("*" | "/") factor)*
    factor     = NUMBER [UNIT] | NAME | "-" factor | "(" sum ")"
"""

from __future__ import annotations

from typing import Final, cast

from node.loadtest.thresholds.dimensions import BARE, RATE, SHARE, TIME, Dimension
from node.loadtest.thresholds.expression import (
    Combined,
    Expression,
    Named,
    Negated,
    Operator,
    Quantity,
    dimension,
)
from node.loadtest.thresholds.threshold import Comparison, Threshold
from node.loadtest.thresholds.tokens import Token, misread, tokens
from node.loadtest.thresholds.vocabulary import canonical, suggestion

MAX_CHARS: Final = 500
_MAX_DEPTH: Final = 40
_EXAMPLE: Final = "write it as p99.poll < 50ms"


def parse_threshold(text: str) -> Threshold:
    """The threshold that a text of `MAX_CHARS` at most says.

    Raises:
        InvalidInput: it says none; the fault shows where, and what was perhaps meant.
    """
    if len(text) > MAX_CHARS:
        cut = f"{text[:40]}…"
        raise misread(cut, Token("end", "", 40), f"{len(text)} characters are too many", f"write {MAX_CHARS} at most")
    return _Parser(text).threshold()


class _Parser:
    def __init__(self, text: str) -> None:
        self._text = text
        self._tokens = list(tokens(text))
        self._at = 0
        self._depth = 0

    def threshold(self) -> Threshold:
        left = self._sum()
        comparison = self._next()
        if comparison.kind != "comparison":
            raise misread(self._text, comparison, "a comparison is missing", _EXAMPLE)
        right = self._sum()
        end = self._next()
        if end.kind != "end":
            if end.kind == "comparison":
                raise misread(self._text, end, "a second comparison", "write each as a threshold of its own")
            raise misread(self._text, end, f"{end.text} is too much", "put a sign before it, or remove it")
        _check_comparable(self._text, comparison, dimension(left), dimension(right))
        return Threshold(left, cast("Comparison", comparison.text), right)

    def _sum(self) -> Expression:
        left = self._product()
        while self._peek().text in {"+", "-"}:
            sign = self._next()
            left = Combined(cast("Operator", sign.text), left, self._product())
            if dimension(left) is None:
                first, second = dimension(left.left), dimension(left.right)
                word = "added to" if sign.text == "+" else "taken from"
                first, second = (first, second) if sign.text == "+" else (second, first)
                raise misread(self._text, sign, f"{first} cannot be {word} {second}", "bring both to one kind")
        return left

    def _product(self) -> Expression:
        left = self._factor()
        while self._peek().text in {"*", "/"}:
            left = Combined(cast("Operator", self._next().text), left, self._factor())
        return left

    def _factor(self) -> Expression:
        token = self._next()
        self._depth += 1
        if self._depth > _MAX_DEPTH:
            raise misread(self._text, token, "too many parentheses or signs within each other", "write it simpler")
        try:
            return self._operand(token)
        finally:
            self._depth -= 1

    def _operand(self, token: Token) -> Expression:
        if token.kind == "number":
            return Quantity(token.text, token.unit)
        if token.kind == "name":
            return self._named(token)
        if token.text == "-":
            return Negated(self._factor())
        if token.text == "(":
            inner = self._sum()
            close = self._next()
            if close.text != ")":
                raise misread(self._text, close, "a ) is missing", "close what is open")
            return inner
        problem = "something is missing" if token.kind == "end" else f"{token.text} has no place here"
        raise misread(self._text, token, problem, f"{_EXAMPLE}; here a name or number stands")

    def _named(self, token: Token) -> Named:
        name = canonical(token.text)
        if name is None:
            meant = suggestion(token.text)
            remedy = f"did you mean {meant}?" if meant else "the documentation of load tests lists all names"
            raise misread(self._text, token, f"{token.text} is no name", remedy)
        return Named(name)

    def _peek(self) -> Token:
        return self._tokens[self._at]

    def _next(self) -> Token:
        token = self._tokens[self._at]
        self._at = min(self._at + 1, len(self._tokens) - 1)
        return token


def _check_comparable(text: str, comparison: Token, left: Dimension | None, right: Dimension | None) -> None:
    if left is not None and right is not None and left.common(right) is not None:
        return
    kinds = {left, right}
    if BARE in kinds and TIME in kinds:
        remedy = "give the number a unit, such as 50ms or 2s"
    elif BARE in kinds and RATE in kinds:
        remedy = "give the number a unit, such as 400/s"
    elif SHARE in kinds:
        remedy = "make a share of the other, such as jobs.lost / jobs.submitted"
    else:
        remedy = "compare two of one kind"
    raise misread(text, comparison, f"{left} is compared with {right}", remedy)
