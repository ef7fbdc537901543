"""Ollama, through its official client.

Importing this module imports that client, a quarter of a second: whoever composes the program imports it when
the executor is wanted.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing, suppress
from typing import Final, cast

import ollama

from node.domain.errors import EngineFailed, EngineRefused, ExecutorError
from node.domain.jobs import ChatPayload, EmbeddingPayload
from node.domain.results import Generation
from node.executors.batches import EmbeddedBatch
from node.executors.engine_calls import EngineCall
from node.executors.engine_executor import END_S, EngineExecutor
from node.executors.engine_words import count_in
from node.executors.ollama_client import OllamaClient
from node.executors.ollama_policy import OllamaPolicy
from node.executors.presence import EnginePresence
from node.ports.clock import Clock
from node.ports.events import EventSink
from node.ports.executor import Partials

__all__ = ["OllamaExecutor", "OllamaPolicy"]

_MAX_TEMPERATURE: Final = 1.0


class OllamaExecutor(EngineExecutor):
    """Runs jobs on an Ollama server. ``tls`` serves an ``https`` URL.

    The temperature is held between 0 and 1. An answer counts only with the engine's final part, and with 1 MiB and
    1 KiB for each token of ``max_output`` at most. A text that is longer than the model takes is not embedded in part.
    """

    def __init__(self, policy: OllamaPolicy, clock: Clock, events: EventSink, tls: ssl.SSLContext) -> None:
        presence = EnginePresence(policy.name, policy.recheck_s, clock, events)
        self._policy = policy
        self._client = OllamaClient(policy, tls, presence.found)
        super().__init__(policy, self._client, presence, clock, events)

    async def _generate(
        self, call: EngineCall, payload: ChatPayload, asked: Sequence[str], partials: Partials | None
    ) -> Generation:
        pieces: list[str] = []
        thought = False
        async with aclosing(self._parts(call.model, payload, asked)) as parts:
            async for part in parts:
                thought = thought or bool(part.message.thinking)
                if text := part.message.content or "":
                    call.piece()
                    pieces.append(text)
                if partials is not None and (text or part.message.thinking):
                    await partials.push(text)
                if part.done:
                    with suppress(TimeoutError, ExecutorError):
                        async with asyncio.timeout(END_S):
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
            stream = await self._client.api(payload.trace).chat(
                model,
                [{"role": message.role, "content": message.content} for message in payload.messages],
                stream=True,
                options=options,
                keep_alive=self._policy.keep_alive_of(model),
                think=self._policy.think,
            )
            async with aclosing(cast("AsyncGenerator[ollama.ChatResponse, None]", stream)) as parts:
                async for part in parts:
                    yield part

    def _generation(self, call: EngineCall, text: str, final: ollama.ChatResponse, *, thought: bool) -> Generation:
        call.model = final.model or call.model
        call.prompt_tokens, call.output_tokens = count_in(final.prompt_eval_count), count_in(final.eval_count)
        call.finish_reason = final.done_reason
        call.load_s = max(0, final.load_duration) / 1e9 if final.load_duration is not None else None
        if final.done_reason in ("load", "unload"):
            raise EngineFailed(f"{self.name} generated nothing: it ended with {final.done_reason!r}")
        if thought and not text:
            raise EngineRefused("the model used its whole output for thinking; set think to false, or raise max_output")
        return Generation(
            text=text,
            model=call.model,
            executor=self.name,
            prompt_tokens=call.prompt_tokens,
            output_tokens=call.output_tokens,
            finish_reason=final.done_reason,
            first_token_s=call.first_token_s,
            tokens_per_s=_told_rate(final) or call.measured_rate(),
        )

    async def _embed(self, model: str, inputs: Sequence[str], payload: EmbeddingPayload) -> EmbeddedBatch:
        with self._client.errors(model, inputs):
            api = self._client.api(payload.trace)
            made = await api.embed(model, inputs, truncate=False, keep_alive=self._policy.keep_alive_of(model))
            return EmbeddedBatch(made.embeddings, made.model or model, count_in(made.prompt_eval_count))


def _told_rate(final: ollama.ChatResponse) -> float | None:
    """Tokens a second as the engine counts and times them: in nanoseconds, and left out where they are 0."""
    tokens, took_ns = count_in(final.eval_count), final.eval_duration
    if not tokens or not took_ns or took_ns < 0:
        return None
    return tokens / took_ns * 1e9
