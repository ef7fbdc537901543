"""An engine that is spoken to over HTTP, whatever its API: what each call goes through, and what is told of it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Final, Protocol, assert_never

from node.domain.errors import Declined
from node.domain.jobs import ChatPayload, EmbeddingPayload, Payload
from node.domain.results import Generation, Output
from node.executors.batches import EmbeddedBatch, embed_in_batches
from node.executors.engine_calls import EngineCall, EngineCalls
from node.executors.engine_words import texts_of
from node.executors.presence import EnginePresence
from node.ports.clock import Clock
from node.ports.events import EventSink
from node.ports.executor import Partials

END_S: Final = 1.0
"""How long the end of a stream is awaited after its last word: for counts, and to use the connection again."""


class EnginePolicy(Protocol):
    """What is alike in how engines are used."""

    @property
    def name(self) -> str:
        """What results, events and settings call it."""
        ...

    @property
    def model_override(self) -> str:
        """Asked for in place of every job's model; empty: the job's own."""
        ...

    @property
    def connect_s(self) -> float:
        """The time for making a connection, and as much again for its TLS handshake."""
        ...

    @property
    def batch(self) -> int:
        """How many texts are embedded by one call."""
        ...


class EngineClient(Protocol):
    """The connections to an engine."""

    async def probe(self) -> None:
        """A small request that any such engine answers; its answer is told like that of every other."""
        ...

    async def aclose(self) -> None:
        """Close them; a second call does nothing."""
        ...


class EngineExecutor(ABC):
    """Runs jobs on one engine; one object, and one pool of connections, for a fleet.

    It declines while the engine is not there; ``presence`` learns from ``client`` that it answers. Sets no deadline:
    the caller's cancellation ends a call, and with it the engine's work. Every call that reached the engine is told as
    an `EngineCalled`, each batch of embeddings apart.
    """

    def __init__(
        self, policy: EnginePolicy, client: EngineClient, presence: EnginePresence, clock: Clock, events: EventSink
    ) -> None:
        self._name = policy.name
        self._model_override = policy.model_override
        self._batch = policy.batch
        self._presence = presence
        self._connections = client
        # Connection and handshake have `connect_s` each, by httpx, which closes what it opened.
        self._calls = EngineCalls(presence, policy.name, 3 * policy.connect_s, clock, events)
        self._closed = False

    @property
    def name(self) -> str:
        """See `node.ports.executor.Executor.name`."""
        return self._name

    def found(self) -> None:
        """Somebody else has heard the engine answer, and it need not be looked for."""
        self._presence.found()

    async def execute(self, payload: Payload, partials: Partials | None = None) -> Output:
        """See `node.ports.executor.Executor.execute`.

        Raises:
            Declined: the engine is missing or does not have the model, or `aclose` was called.
            EngineRefused: the engine will not run this job as it stands, its text cannot be sent, or the model used its
                whole output for thinking.
            EngineFailed: any other error, or an answer that is empty, broke off or is too long.
            EngineOverloaded: HTTP 429 or 503.
        """
        if self._closed:
            raise Declined(f"{self.name} is closed")
        await self._calls.look(self._connections.probe)
        asked = texts_of(payload)
        model = self._model_override or payload.model
        match payload:
            case ChatPayload():
                with self._calls.call(model, payload.trace) as call:
                    return await self._generate(call, payload, asked, partials)
            case EmbeddingPayload():
                return await embed_in_batches(
                    payload, self._batch, self.name, lambda inputs: self._embed_told(model, inputs, payload)
                )
            case _:
                assert_never(payload)

    async def aclose(self) -> None:
        """See `node.ports.executor.Executor.aclose`. Closes the connections; a second call does nothing."""
        self._closed = True
        await self._connections.aclose()

    async def _embed_told(self, model: str, inputs: Sequence[str], payload: EmbeddingPayload) -> EmbeddedBatch:
        with self._calls.call(model, payload.trace) as call:
            batch = await self._embed(model, inputs, payload)
            call.model, call.prompt_tokens = batch.model, batch.prompt_tokens
            return batch

    @abstractmethod
    async def _generate(
        self, call: EngineCall, payload: ChatPayload, asked: Sequence[str], partials: Partials | None
    ) -> Generation:
        """Ask ``call.model``, and push and join the pieces; ``asked`` are the texts, which no error may show."""

    @abstractmethod
    async def _embed(self, model: str, inputs: Sequence[str], payload: EmbeddingPayload) -> EmbeddedBatch:
        """Ask for the vectors of some of the texts of ``payload``."""
