"""HTML and SVG whose text is escaped unless it is markup already.

Names of models, errors and ids come from a gateway that may be hostile: what is no `Markup` is text, wherever it stands.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterable
from typing import Final, TypeAlias

_NO_TEXT: Final = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff"
    # They would have the text after them read backwards.
    "\u202a-\u202e\u2066-\u2069]"
)
_VOID: Final = frozenset({"meta", "br", "hr", "col"})


class Markup(str):
    """A text that is HTML or SVG as it stands."""

    __slots__ = ()


Child: TypeAlias = "Markup | str | int | Iterable[Child] | None"
"""What may stand in an element; None stands for nothing."""

Attribute: TypeAlias = str | int | float | bool | None
"""True is an attribute without a value, False and None are none at all."""


def plain(text: str) -> str:
    """The text without characters that HTML or XML may not hold, or that turn the text around, each as U+FFFD."""
    return _NO_TEXT.sub("\ufffd", text)


def escaped(text: str) -> Markup:
    """The text as markup, fit for elements and for attributes in quotation marks."""
    return Markup(html.escape(plain(text), quote=True))


def joined(*children: Child) -> Markup:
    """One after the other."""
    return Markup("".join(_pieces(children)))


def tag(name: str, /, *children: Child, **attributes: Attribute) -> Markup:
    """An element; of an attribute's name ``_`` is written ``-``, and one at its end is left out (``class_``)."""
    given = "".join(_attribute(key, value) for key, value in attributes.items())
    if name in _VOID:
        return Markup(f"<{name}{given}>")
    return Markup(f"<{name}{given}>{joined(*children)}</{name}>")


def _pieces(children: Child) -> Iterable[str]:
    if children is None:
        return
    if isinstance(children, Markup):
        yield children
    elif isinstance(children, str):
        yield escaped(children)
    elif isinstance(children, int):
        yield str(children)
    else:
        for child in children:
            yield from _pieces(child)


def _attribute(key: str, value: Attribute) -> str:
    if value is None or value is False:
        return ""
    name = key.rstrip("_").replace("_", "-")
    if value is True:
        return f" {name}"
    text = f"{value:.6g}" if isinstance(value, float) else str(value)
    return f' {name}="{escaped(text)}"'
