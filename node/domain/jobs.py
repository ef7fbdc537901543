"""Jobs as nodes see them, whatever source they came from.

What is made for every job is a named tuple, here and in `node.domain.results`: immutable at a third of what a frozen
dataclass takes to make. `repr` omits what people asked and were told.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, Literal, NamedTuple, TypeAlias

from node.domain.ids import JobId
from node.domain.secret import Secret
from node.domain.trace import TraceContext

JobKind = Literal["chat", "embedding"]
"""What is asked for. More kinds, each with a payload of its own, come with the sources that know them."""


class Message(NamedTuple):
    """One turn of a conversation; ``role`` is "system", "user", "assistant" or what else the asker wrote."""

    role: str
    content: str

    def __repr__(self) -> str:
        return f"Message(role={self.role!r})"


class ChatPayload(NamedTuple):
    """A conversation to answer: one message at least, oldest first.

    ``max_output`` is a number of tokens, 1 or more, None where the asker set no limit; ``temperature`` is None
    where the engine's own default is to be used, and else as asked: engines keep it in their bounds. ``trace`` is where
    the engine's work stands in a trace, None where the job is not traced.
    """

    model: str
    messages: tuple[Message, ...]
    max_output: int | None = None
    temperature: float | None = None
    trace: TraceContext | None = None

    @property
    def prompt(self) -> str:
        """The last message's text: what stored answers are looked up by."""
        return self.messages[-1].content


class EmbeddingPayload(NamedTuple):
    """Texts to turn into vectors, one at least; their order is that of the vectors. ``trace`` is as a chat's."""

    model: str
    inputs: tuple[str, ...]
    trace: TraceContext | None = None

    def __repr__(self) -> str:
        return f"EmbeddingPayload(model={self.model!r}, inputs: {len(self.inputs)}, trace={self.trace!r})"


Payload: TypeAlias = ChatPayload | EmbeddingPayload
"""What an executor can be asked for."""


@dataclass(frozen=True, slots=True)
class MalformedPayload:
    """A job that cannot be run: answered with ``reason`` as its error, never dropped. ``model`` may be empty."""

    model: str
    reason: str


NO_RECEIPT: Final[Mapping[str, Secret]] = MappingProxyType({})
"""Of a job whose source wants nothing back."""


class Job(NamedTuple):
    """Work handed to a node.

    ``receipt`` is what the source wants back with the result (on the gateway the developer's api_key):
    opaque to everything but the source. ``time_limit_s`` is how long it may take from its receipt on
    for the asker to get its result still, None where that is not told.
    """

    job_id: JobId
    payload: Payload | MalformedPayload
    kind: JobKind = "chat"
    time_limit_s: float | None = None
    receipt: Mapping[str, Secret] = NO_RECEIPT
