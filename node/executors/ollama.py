"""Ollama, through its official client.

Importing this module imports that client, a quarter of a second: whoever composes the program imports it when
the executor is wanted.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing, suppress
from typing import Final, assert_never, cast

import ollama

from node.domain.errors import Declined, EngineFailed, EngineRefused, ExecutorError
from node.domain.jobs import ChatPayload, EmbeddingPayload, Payload
from node.domain.results import Generation, Output
from node.executors.batches import EmbeddedBatch, embed_in_batches
from node.executors.engine_calls import EngineCall, EngineCalls
from node.executors.engine_words import texts_of
from node.executors.ollama_client import OllamaClient
from node.executors.ollama_policy import OllamaPolicy
from node.executors.presence import EnginePresence
from node.ports.clock import Clock
from node.ports.events import EventSink
from node.ports.executor import Partials

__all__ = ["OllamaExecutor", "OllamaPolicy"]

_MAX_TEMPERATURE: Final = 1.0
_END_S: Final = 1.0
"""How long the end of a stream is awaited after its final part, so that the connection can be used again."""


class OllamaExecutor:
    """Runs jobs on an Ollama server; one object, and one pool of connections, for a fleet.

    It declines while the server is not there, and for models that the server does not have. ``tls`` serves an
    ``https`` URL.
    """

    def __init__(self, policy: OllamaPolicy, clock: Clock, events: EventSink, tls: ssl.SSLContext) -> None:
        self._policy = policy
        presence = EnginePresence(policy.name, policy.recheck_s, clock, events)
        # Connection and handshake have `connect_s` each, by httpx, which closes what it opened.
        self._calls = EngineCalls(presence, policy.name, 3 * policy.connect_s, clock, events)
        self._client = OllamaClient(policy, tls, presence.found)
        self._closed = False

    @property
    def name(self) -> str:
        """See `node.ports.executor.Executor.name`."""
        return self._policy.name

    async def execute(self, payload: Payload, partials: Partials | None = None) -> Output:
        """See `node.ports.executor.Executor.execute`. Sets no deadline: the caller's cancellation ends it.

        The temperature is held between 0 and 1. An answer counts only with the engine's final part, and with
        1 MiB and 1 KiB for each token of ``max_output`` at most. A text that is longer than the model takes is not
        embedded in part. Every call that reached the engine is told as an `EngineCalled`, each batch of embeddings
        apart.

        Raises:
            Declined: the engine is missing or does not have the model, or `aclose` was called.
            EngineRefused: the engine will not run this job as it stands, its text cannot be sent, or the model used its
                whole output for thinking.
            EngineFailed: any other error, or an answer that broke off or is too long.
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
        with self._client.errors():
            await self._client.api.list()

    async def _generate(
        self, call: EngineCall, payload: ChatPayload, asked: Sequence[str], partials: Partials | None
    ) -> Generation:
        pieces: list[str] = []
        thought = False
        async with aclosing(self._parts(call.model, payload, asked)) as parts:
            async for part in parts:
                thought = thought or bool(part.message.thinking)
                if text := part.message.content:
                    call.piece()
                    pieces.append(text)
                    if partials is not None:
                        await partials.push(text)
                if part.done:
                    with suppress(TimeoutError, ExecutorError):
                        async with asyncio.timeout(_END_S):
                            await anext(parts, None)
                    return self._generation(call, "".join(pieces), part, thought=thought)
        raise EngineFailed(f"{self.name}'s answer broke off: it ended without its final part")

    async def _parts(
        self, model: str, payload: ChatPayload, asked: Sequence[str]
    ) -> AsyncGenerator[ollama.ChatResponse, None]:
        """The parts of an answer as they come."""
        limit = self._policy.max_output
        options: dict[str, float] = {"num_predict": max(1, min(payload.max_output or limit, limit))}
        if payload.temperature is not None:
            options["temperature"] = min(_MAX_TEMPERATURE, max(0.0, payload.temperature))
        with self._client.errors(model, asked):
            stream = await self._client.api.chat(
                model,
                [{"role": message.role, "content": message.content} for message in payload.messages],
                stream=True,
                options=options,
                keep_alive=self._policy.keep_alive,
                think=self._policy.think,
            )
            async with aclosing(cast("AsyncGenerator[ollama.ChatResponse, None]", stream)) as parts:
                async for part in parts:
                    yield part

    def _generation(self, call: EngineCall, text: str, final: ollama.ChatResponse, *, thought: bool) -> Generation:
        call.model = final.model or call.model
        call.prompt_tokens, call.output_tokens = final.prompt_eval_count, final.eval_count
        if final.done_reason in ("load", "unload"):
            raise EngineFailed(f"{self.name} generated nothing: it ended with {final.done_reason!r}")
        if thought and not text:
            raise EngineRefused("the model used its whole output for thinking; set think to false, or raise max_output")
        return Generation(
            text=text,
            model=call.model,
            executor=self.name,
            prompt_tokens=final.prompt_eval_count,
            output_tokens=final.eval_count,
            finish_reason=final.done_reason,
            first_token_s=call.first_token_s,
            tokens_per_s=_told_rate(final) or call.measured_rate(),
        )

    async def _embed(self, model: str, inputs: Sequence[str]) -> EmbeddedBatch:
        with self._calls.call(model) as call, self._client.errors(model, inputs):
            made = await self._client.api.embed(model, inputs, truncate=False, keep_alive=self._policy.keep_alive)
            call.model = made.model or model
            call.prompt_tokens = made.prompt_eval_count
            return EmbeddedBatch(made.embeddings, call.model, call.prompt_tokens)


def _told_rate(final: ollama.ChatResponse) -> float | None:
    """Tokens a second as the engine counts and times them: in nanoseconds, and left out where they are 0."""
    if not final.eval_count or not final.eval_duration or final.eval_duration < 0:
        return None
    return final.eval_count / final.eval_duration * 1e9
