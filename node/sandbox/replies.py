"""Requests read and answers written: JSON everywhere, refusals in the family's style, ``{"detail": …}``."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final, TypeVar

from pydantic import BaseModel, ValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response

from node.domain.errors import NodeError, StorageError
from node.protocol.messages import WireMessage
from node.sandbox.refusals import (
    AlreadyAnswered,
    ControlDenied,
    KeyDenied,
    NoResultYet,
    NotRegistered,
    NotYours,
    QueueFull,
    ResultMismatch,
    SecretDenied,
    TokenDenied,
    UnknownJob,
)

M = TypeVar("M", bound=BaseModel)

_STATUS: Final[Mapping[type[NodeError], int]] = {
    SecretDenied: 401,
    TokenDenied: 401,
    KeyDenied: 401,
    ControlDenied: 401,
    NotYours: 403,
    NotRegistered: 400,
    UnknownJob: 404,
    NoResultYet: 404,
    AlreadyAnswered: 409,
    ResultMismatch: 422,
    QueueFull: 429,
}
_LATER: Final = {"Retry-After": "1"}
_BEARER: Final = b"bearer "


def json_reply(content: Any, status: int = 200) -> Response:
    """An answer with this content as JSON."""
    return JSONResponse(content, status)


def message_reply(message: WireMessage) -> Response:
    """An answer that is a message of the protocol."""
    return Response(message.to_wire(), media_type="application/json")


def refusal_reply(error: NodeError) -> Response:
    """How a refusal looks on the wire, and a disk that fails: 503. That and 429 have a ``Retry-After`` of 1 s."""
    if isinstance(error, StorageError):
        return JSONResponse({"detail": "the gateway cannot keep this now"}, 503, headers=_LATER)
    status = _STATUS[type(error)]
    headers = {401: {"WWW-Authenticate": "Bearer"}, 429: _LATER}.get(status)
    return JSONResponse({"detail": str(error)}, status, headers=headers)


def invalid_reply(error: ValidationError) -> Response:
    """What is wrong with a body, without the body's values: it may hold secrets and prompts."""
    faults = error.errors(include_url=False, include_context=False, include_input=False)
    detail = [{"loc": ["body", *fault["loc"]], "msg": fault["msg"], "type": fault["type"]} for fault in faults]
    return JSONResponse({"detail": detail}, 422)


def missing_query(name: str) -> Response:
    """A query parameter is missing or not usable."""
    return JSONResponse({"detail": [{"loc": ["query", name], "msg": "Field required", "type": "missing"}]}, 422)


async def read_body(request: Request, kind: type[M], max_bytes: int) -> M:
    """The request's body as a message.

    Raises:
        HTTPException: 413, it has more bytes than allowed; no more than that is kept. 400, it broke off, and nobody is
            left to hear that.
        pydantic.ValidationError: it is not JSON, or not such a message.
    """
    body = bytearray()
    try:
        async for chunk in request.stream():
            body += chunk
            if len(body) > max_bytes:
                raise HTTPException(413, f"the body has more than {max_bytes} bytes")
    except ClientDisconnect as error:
        raise HTTPException(400, "the body broke off") from error
    return kind.model_validate_json(bytes(body))


def bearer_token(headers: Iterable[tuple[bytes, bytes]]) -> str:
    """The token in an ``Authorization: Bearer`` header.

    Raises:
        TokenDenied: there is none.
    """
    for name, value in headers:
        if name == b"authorization" and value[:7].lower() == _BEARER:
            return value[7:].decode("latin-1")
    raise TokenDenied("a bearer token is needed")
