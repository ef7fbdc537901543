"""Which kinds of job an executor takes."""

from __future__ import annotations

from node.domain.errors import Declined
from node.domain.jobs import ChatPayload, Payload


def only_chat(payload: Payload, executor: str) -> ChatPayload:
    """The payload of a chat.

    Raises:
        Declined: it is of another kind, which this executor does not take.
    """
    if isinstance(payload, ChatPayload):
        return payload
    raise Declined(f"{executor} answers chats alone")
