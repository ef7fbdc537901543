"""What is said to an engine, and what it says, as people may read it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from node.domain.errors import EngineRefused
from node.domain.jobs import ChatPayload, Payload
from node.domain.secret import MASK, Secret

_MAX_CHARS: Final = 200
_WINDOW: Final = 16
"""So many characters in a row that stand in what was asked too are a quotation of it."""
_SHORTEST: Final = 4


def texts_of(payload: Payload) -> tuple[str, ...]:
    """What a job asks, without the model's name.

    Raises:
        EngineRefused: a text is none that can be sent: it holds half of a surrogate pair.
    """
    if isinstance(payload, ChatPayload):
        texts = tuple(message.content for message in payload.messages)
        names = [payload.model, *(message.role for message in payload.messages)]
    else:
        texts, names = payload.inputs, [payload.model]
    try:
        for text in (*names, *texts):
            text.encode()
    except UnicodeEncodeError:
        # Not chained: it quotes the text.
        raise EngineRefused("the job holds half of a surrogate pair and cannot be sent to an engine") from None
    return texts


def one_line(said: object) -> str:
    """What the other side said, on one line and short."""
    text = " ".join(str(said).split())
    return text if len(text) <= _MAX_CHARS else text[: _MAX_CHARS - 1] + "…"


def presentable(said: object, asked: Iterable[str], secret: Secret | None = None) -> str:
    """`one_line` of what an engine said, without ``secret``, and nothing of it where it quotes what was ``asked``.

    Engines that refuse a request tend to repeat it, and what they say goes into events and logs. Texts of less than
    4 characters are not looked for.
    """
    if secret:
        said = str(said).replace(secret.reveal(), MASK)
    text = one_line(said)
    if any(_quotes(text, one_line_of) for one_line_of in (" ".join(original.split()) for original in asked)):
        return "an error that quotes the request and is not shown"
    return text or "without a reason"


def _quotes(said: str, asked: str) -> bool:
    if len(asked) < _SHORTEST:
        return False
    if len(asked) <= _WINDOW:
        return asked in said
    return any(said[start : start + _WINDOW] in asked for start in range(len(said) - _WINDOW + 1))
