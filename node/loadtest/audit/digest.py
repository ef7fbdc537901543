"""Results as numbers, so that what was sent and what is stored can be compared without keeping either."""

from __future__ import annotations

from hashlib import blake2b

from node.domain.results import FinishedJob
from node.protocol import translate
from node.protocol.messages import ResultBody


def digest(status: str, body: ResultBody) -> int:
    """64 bits of what a reader of a result sees: status, content and, of an error, the reason; never 0.

    As ``/get_result`` gives it, or as a node sends it: role, usage and fields of others are left out, since gateways
    add and drop them.
    """
    reason = (body.error or "") if status == "error" else ""
    text = f"{status}\0{body.message.content}\0{reason}".encode("utf-8", "replace")
    return int.from_bytes(blake2b(text, digest_size=8).digest(), "big") or 1


def digest_of(finished: FinishedJob) -> tuple[int, str]:
    """The digest of what a node sends for a finished chat, and its model.

    Raises:
        TypeError: the gateway takes no results of this kind.
    """
    update = translate.result_update(finished)
    return digest(update.status, update.result), update.model_name
