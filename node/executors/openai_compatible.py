"""Any server with OpenAI's API: vLLM, llama.cpp, SGLang, LM Studio, Exo and their like."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing, suppress
from typing import Final, assert_never

from node.domain.errors import Declined, ExecutorError
from node.domain.jobs import ChatPayload, EmbeddingPayload, Payload
from node.domain.results import Generation, Output
from node.executors.batches import EmbeddedBatch, embed_in_batches, largest_reply
from node.executors.engine_calls import EngineCall, EngineCalls
from node.executors.engine_words import texts_of
from node.executors.openai_answers import ChatChunk, VectorList, read
from node.executors.openai_chat import ChatAnswer
from node.executors.openai_client import CHAT, EMBEDDINGS, OpenAiClient, whole_body
from node.executors.openai_policy import OpenAiPolicy
from node.executors.presence import EnginePresence
from node.executors.sse import event_data
from node.ports.clock import Clock
from node.ports.events import EventSink
from node.ports.executor import Partials

_MAX_TEMPERATURE: Final = 2.0
_BYTES_A_TOKEN: Final = 1024
"""An event of the stream holds a token and some 300 bytes around it."""
_END_S: Final = 1.0
"""How long the end of a stream is awaited after the reason for it: for the usage, and to use the connection again."""
_DONE: Final = b"[DONE]"


class OpenAiExecutor:
    """Runs jobs on an OpenAI-compatible server; one object, and one pool of connections, for a fleet.

    It declines while the server is not there, and for models of which the server says that it does not have them; some
    run whatever model they have. The server must have ``/models``: by it a missing one is found again. ``tls`` serves
    an ``https`` URL.
    """

    def __init__(self, policy: OpenAiPolicy, clock: Clock, events: EventSink, tls: ssl.SSLContext) -> None:
        self._policy = policy
        presence = EnginePresence(policy.name, policy.recheck_s, clock, events)
        # Connection and handshake have `connect_s` each, by httpx, which closes what it opened.
        self._calls = EngineCalls(presence, policy.name, 3 * policy.connect_s, clock, events)
        self._client = OpenAiClient(policy, tls, presence.found)
        self._closed = False

    @property
    def name(self) -> str:
        """See `node.ports.executor.Executor.name`."""
        return self._policy.name

    async def execute(self, payload: Payload, partials: Partials | None = None) -> Output:
        """See `node.ports.executor.Executor.execute`. Sets no deadline: the caller's cancellation ends it.

        The temperature is held between 0 and 2. An answer counts only with a ``finish_reason``, whatever else says that
        it is at its end, and with 1 MiB and 1 KiB for each token of ``max_output`` at most. Every call that reached
        the engine is told as an `EngineCalled`, each batch of embeddings apart.

        Raises:
            Declined: the engine is missing or says that it does not have the model, or `aclose` was called.
            EngineRefused: the engine will not run this job as it stands, its text cannot be sent, or the model used its
                whole output for thinking.
            EngineFailed: any other error, or an answer that is empty, broke off or is too long.
            EngineOverloaded: HTTP 429 or 503.
        """
        if self._closed:
            raise Declined(f"{self.name} is closed")
        await self._calls.look(self._probe)
        asked = texts_of(payload)
        model = self._policy.model_override or payload.model
        match payload:
            case ChatPayload():
                with self._calls.call(model) as call:
                    return await self._generate(call, payload, asked, partials)
            case EmbeddingPayload():
                return await embed_in_batches(
                    payload, self._policy.batch, self.name, lambda inputs: self._embed(model, inputs)
                )
            case _:
                assert_never(payload)

    async def aclose(self) -> None:
        """See `node.ports.executor.Executor.aclose`. Closes the connections; a second call does nothing."""
        self._closed = True
        await self._client.aclose()

    async def _probe(self) -> None:
        await self._client.models()

    async def _generate(
        self, call: EngineCall, payload: ChatPayload, asked: Sequence[str], partials: Partials | None
    ) -> Generation:
        answer = ChatAnswer(call, asked, self.name)
        async with aclosing(self._chunks(call.model, payload, asked)) as chunks:
            async for chunk in chunks:
                if (text := answer.take(chunk)) and partials is not None:
                    await partials.push(text)
                if answer.finish_reason is not None:
                    with suppress(TimeoutError, ExecutorError):
                        async with asyncio.timeout(_END_S):
                            async for late in chunks:
                                answer.take_usage(late)
                    return answer.generation()
        raise answer.broken()

    async def _chunks(self, model: str, payload: ChatPayload, asked: Sequence[str]) -> AsyncGenerator[ChatChunk, None]:
        limit = self._policy.max_output
        body: dict[str, object] = {
            "model": model,
            "messages": [{"role": message.role, "content": message.content} for message in payload.messages],
            "stream": True,
            "stream_options": {"include_usage": True},
            "max_tokens": max(1, min(payload.max_output or limit, limit)),
        }
        if payload.temperature is not None:
            body["temperature"] = min(_MAX_TEMPERATURE, max(0.0, payload.temperature))
        max_bytes = 2**20 + _BYTES_A_TOKEN * limit
        async with self._client.request("POST", CHAT, body, model, asked, payload.trace) as response:
            if response.headers.get("content-type", "").startswith("application/json"):
                yield read(ChatChunk, await whole_body(response, max_bytes), self.name)
                return
            async with aclosing(event_data(response.aiter_bytes(), max_bytes)) as events:
                async for data in events:
                    if data != _DONE:
                        yield read(ChatChunk, data, self.name)

    async def _embed(self, model: str, inputs: Sequence[str]) -> EmbeddedBatch:
        with self._calls.call(model) as call:
            body = {"model": model, "input": list(inputs), "encoding_format": "float"}
            max_bytes = largest_reply(len(inputs))
            answer = await self._client.json("POST", EMBEDDINGS, max_bytes, body, model, inputs)
            made = read(VectorList, answer, self.name)
            call.model = made.model or model
            call.prompt_tokens = made.usage.prompt_tokens if made.usage else None
            return EmbeddedBatch(made.in_order(), call.model, call.prompt_tokens)
