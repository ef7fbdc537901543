"""Taking secrets out of what the other side says before anyone reads it: servers repeat what they were sent."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from pydantic_core import to_json

from node.domain.secret import MASK, Secret
from node.protocol.json_reading import read_aside


def masked(body: bytes, secrets: Iterable[Secret]) -> bytes:
    """A JSON body with every secret in its texts replaced by a mask; any other body as it is, unfit to be shown.

    Numbers and structure stay, so that a short secret cannot change what an answer means. Never raises.
    """
    texts = [secret.reveal() for secret in secrets if secret]
    try:
        content = read_aside(body)
    except ValueError:
        return body
    return to_json(_masked(content, texts))


def _masked(content: Any, texts: list[str]) -> Any:
    match content:
        case str():
            for text in texts:
                content = content.replace(text, MASK)
            return content
        case list():
            return [_masked(part, texts) for part in content]
        case dict():
            return {_masked(name, texts): _masked(part, texts) for name, part in content.items()}
        case _:
            return content
