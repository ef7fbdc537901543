"""What is said to an engine, and what it says, as people may read it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from node.domain.errors import EngineRefused
from node.domain.jobs import ChatPayload, Payload
from node.domain.quotation import WINDOW, quotes
from node.domain.secret import MASK, Secret, shortened

_MAX_CHARS: Final = 200
_MAX_COUNT: Final = 2**53
_MAX_ASKED_CHARS: Final = 200_000
"""They are looked through on the event loop, some 200 times."""


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


def count_in(told: object) -> int | None:
    """A number of tokens as an engine tells it; None where that is none."""
    if isinstance(told, int) and not isinstance(told, bool) and 0 <= told <= _MAX_COUNT:
        return told
    return None


def one_line(said: object) -> str:
    """What the other side said, on one line and short."""
    return shortened(" ".join(str(said).split()), _MAX_CHARS)


def presentable(said: object, asked: Iterable[str], secret: Secret | None = None) -> str:
    """`one_line` of what an engine said, without ``secret``, and nothing of it where it quotes what was ``asked``.

    Engines that refuse a request tend to repeat it, and what they say goes into events and logs. Texts of less than
    4 characters are not looked for, and where there are too many to be looked through, nothing is shown either.
    """
    asked = tuple(asked)
    if sum(map(len, asked)) > _MAX_ASKED_CHARS:
        return "an error about a request that is too long for what it says to be shown"
    text = str(said)
    if secret:
        text = text.replace(secret.reveal(), MASK)
    text = " ".join(text.split())
    if any(quotes(text[: _MAX_CHARS + WINDOW], original) for original in asked):
        return "an error that quotes the request and is not shown"
    return one_line(text) or "without a reason"
