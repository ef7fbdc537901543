"""What an OpenAI-compatible server answers, read leniently: servers differ in what they leave out."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Annotated, TypeVar

from pydantic import BaseModel, BeforeValidator, Field, FiniteFloat, JsonValue, ValidationError

from node.domain.errors import EngineFailed
from node.executors.engine_words import count_in

M = TypeVar("M", bound=BaseModel)


_Count = Annotated[int | None, BeforeValidator(count_in)]


class Usage(BaseModel):
    """Counts of tokens."""

    prompt_tokens: _Count = None
    completion_tokens: _Count = None


def _usage_in(told: object) -> object:
    """What is of another shape is not told: no answer is thrown away for it."""
    return told if isinstance(told, dict) else None


_ToldUsage = Annotated[Usage | None, BeforeValidator(_usage_in)]


class ChatText(BaseModel):
    """A piece of an answer, or all of it; ``reasoning`` and ``reasoning_content`` are two names for one thing."""

    content: str | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None


class Choice(BaseModel):
    """One of the answers, of which one is asked for: a ``delta`` of a stream, or a whole ``message``."""

    delta: ChatText | None = None
    message: ChatText | None = None
    finish_reason: str | None = None


class ChatChunk(BaseModel):
    """A part of a streamed answer, or all of one that is not."""

    model: str | None = None
    choices: list[Choice] | None = None
    usage: _ToldUsage = None
    error: JsonValue = None
    kind: str | None = Field(default=None, alias="object")
    message: JsonValue = None

    @property
    def failure(self) -> str | None:
        """What the server says of its failing in the middle of a stream; None in a part that is no error."""
        if self.error is not None:
            return message_in(self.error)
        return message_in({"message": self.message}) if self.kind == "error" else None


class _Vector(BaseModel):
    index: int | None = None
    embedding: list[FiniteFloat]


class VectorList(BaseModel):
    """The answer to a request for embeddings."""

    data: list[_Vector]
    model: str | None = None
    usage: _ToldUsage = None

    def in_order(self) -> Sequence[Sequence[float]]:
        """The vectors in the order of the inputs, by their indices where all have one."""
        indices = [vector.index for vector in self.data]
        vectors = [vector.embedding for vector in self.data]
        if sorted(index for index in indices if index is not None) != list(range(len(indices))):
            return vectors
        return [vector for _, vector in sorted(zip(indices, vectors, strict=True), key=lambda pair: pair[0] or 0)]


class _Model(BaseModel):
    id: str


class ModelList(BaseModel):
    """The answer to a request for the models."""

    data: list[_Model]


def read(kind: type[M], body: bytes, engine: str) -> M:
    """The answer that ``body`` is.

    Raises:
        EngineFailed: it is not of that shape.
    """
    try:
        return kind.model_validate_json(body)
    except ValidationError:
        # Not chained: the message quotes what was said.
        raise EngineFailed(f"what answers for {engine} does not speak as OpenAI's API does") from None


def error_in(body: bytes) -> str:
    """The message in an error's body: ``{"error": {"message"}}``, ``{"error"}``, ``{"detail"}``, or plain text.

    Of FastAPI's list of faults, the places and the messages: it quotes the request, too.
    """
    text = body.decode(errors="replace")
    try:
        said = json.loads(text)
    except (ValueError, RecursionError):
        return text
    return message_in(said)


def message_in(said: object) -> str:
    """The message in an error that was JSON."""
    match said:
        case str():
            return said
        case {"error": (str() | dict()) as error}:
            return message_in(error)
        case {"message": str(message), "code": str(code)} if code not in message:
            return f"{message} ({code})"
        case {"message": str(message)}:
            return message
        case {"detail": str(detail)}:
            return detail
        case {"detail": [*faults]}:
            return "; ".join(_fault(fault) for fault in faults)
        case _:
            return ""


def _fault(fault: object) -> str:
    match fault:
        case {"loc": [*place], "msg": str(message)}:
            return f"{'.'.join(map(str, place))}: {message}"
        case _:
            return ""
