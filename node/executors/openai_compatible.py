"""Any server with OpenAI's API: vLLM, llama.cpp, SGLang, LM Studio, Exo and their like."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing, suppress
from typing import Final

from node.domain.errors import ExecutorError
from node.domain.jobs import ChatPayload, EmbeddingPayload
from node.domain.results import Generation
from node.executors.batches import EmbeddedBatch, largest_reply
from node.executors.engine_calls import EngineCall
from node.executors.engine_executor import END_S, EngineExecutor
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
_DONE: Final = b"[DONE]"


class OpenAiExecutor(EngineExecutor):
    """Runs jobs on an OpenAI-compatible server. ``tls`` serves an ``https`` URL.

    It declines models of which the server says that it does not have them; some run whatever model they have. The
    server must have ``/models``: by it a missing one is found again. The temperature is held between 0 and 2. An answer
    counts only with a ``finish_reason``, whatever else says that it is at its end, and with 1 MiB and 1 KiB for each
    token of ``max_output`` at most.
    """

    def __init__(self, policy: OpenAiPolicy, clock: Clock, events: EventSink, tls: ssl.SSLContext) -> None:
        presence = EnginePresence(policy.name, policy.recheck_s, clock, events)
        self._policy = policy
        self._client = OpenAiClient(policy, tls, presence.found)
        super().__init__(policy, self._client, presence, clock, events)

    async def _generate(
        self, call: EngineCall, payload: ChatPayload, asked: Sequence[str], partials: Partials | None
    ) -> Generation:
        answer = ChatAnswer(call, asked, self.name)
        async with aclosing(self._chunks(call.model, payload, asked)) as chunks:
            async for chunk in chunks:
                if (text := answer.take(chunk)) is not None and partials is not None:
                    await partials.push(text)
                if answer.finish_reason:
                    break
            else:
                raise answer.broken()
            # Counts come after it, and from some servers text too.
            while late := await _late(chunks):
                if (text := answer.take(late)) is not None and partials is not None:
                    await partials.push(text)
        return answer.generation()

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
            if response.headers.get("content-type", "").startswith(("application/json", "text/html")):
                yield read(ChatChunk, await whole_body(response, max_bytes), self.name)
                return
            async with aclosing(event_data(response.aiter_bytes(), max_bytes)) as events:
                async for data in events:
                    if data != _DONE:
                        yield read(ChatChunk, data, self.name)

    async def _embed(self, model: str, inputs: Sequence[str], payload: EmbeddingPayload) -> EmbeddedBatch:
        body = {"model": model, "input": list(inputs), "encoding_format": "float"}
        async with self._client.request("POST", EMBEDDINGS, body, model, inputs, payload.trace) as response:
            made = read(VectorList, await whole_body(response, largest_reply(len(inputs))), self.name)
        tokens = made.usage.prompt_tokens if made.usage else None
        return EmbeddedBatch(made.in_order(), made.model or model, tokens)


async def _late(chunks: AsyncGenerator[ChatChunk, None]) -> ChatChunk | None:
    """The next part of an answer that may be whole; None where nothing comes of it any more."""
    with suppress(TimeoutError, ExecutorError):
        async with asyncio.timeout(END_S):
            late = await anext(chunks, None)
            return None if late is None or late.failure is not None else late
    return None
