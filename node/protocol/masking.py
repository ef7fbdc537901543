"""Taking secrets out of what the other side says before anyone reads it: servers repeat what they were sent."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from pydantic_core import to_json

from node.domain.quotation import quotes
from node.domain.secret import MASK, Secret
from node.protocol.json_reading import read_aside

_TEXT_CHARS: Final = 400
_BODY_CHARS: Final = 20_000
"""So much of each text, and of all in a body, is kept where quotations are looked for: people are shown less."""

_WITHHELD: Final = "(a text that quotes the result)"


def masked(body: bytes, secrets: Iterable[Secret], private: str = "") -> bytes:
    """A JSON body with every secret in its texts replaced by a mask; any other body as it is, unfit to be shown.

    Texts that quote ``private`` are left out whole. Numbers and structure stay, so that a short secret cannot change
    what an answer means. Never raises.
    """
    try:
        content = read_aside(body)
    except ValueError:
        return body
    mask = _Mask([secret.reveal() for secret in secrets if secret], private)
    return to_json(mask.of(content))


class _Mask:
    def __init__(self, texts: list[str], private: str) -> None:
        self._texts = texts
        self._private = private
        self._left = _BODY_CHARS

    def of(self, content: Any) -> Any:
        match content:
            case str():
                return self._of_text(content)
            case list():
                return [self.of(part) for part in content]
            case dict():
                return {self.of(name): self.of(part) for name, part in content.items()}
            case _:
                return content

    def _of_text(self, text: str) -> str:
        for secret in self._texts:
            text = text.replace(secret, MASK)
        if not self._private:
            return text
        text = text[: min(self._left, _TEXT_CHARS)]
        self._left -= len(text)
        return _WITHHELD if quotes(text, self._private) else text
