"""A server with OpenAI's API as far as its wire goes, with the oddities that real ones have."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from tests.unit.executors.ollama_server import JSON, Exchange, OllamaServer, Script, ndjson, saying

SSE = "text/event-stream; charset=utf-8"
USAGE = {"prompt_tokens": 11, "completion_tokens": 7, "total_tokens": 18}
DONE = b"data: [DONE]\n\n"


def event(value: Any) -> bytes:
    return b"data: " + json.dumps(value).encode() + b"\n\n"


def part(exchange: Exchange, delta: dict[str, Any], finish_reason: str | None = None, **more: Any) -> bytes:
    """An event of a stream."""
    choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish_reason}
    head = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": exchange.chat["model"]}
    return event({**head, "choices": [choice], **more})


def usage(exchange: Exchange) -> bytes:
    """The last event of a stream where the usage was asked for, as the API's own server sends it."""
    head = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": exchange.chat["model"]}
    return event({**head, "choices": [], "usage": USAGE})


async def opening(exchange: Exchange, *pieces: str) -> None:
    """The head, the role and some pieces, a chunk each."""
    await exchange.head(200, SSE)
    await exchange.chunk(part(exchange, {"role": "assistant"}))
    for piece in pieces:
        await exchange.chunk(part(exchange, {"content": piece}))


def answering(*pieces: str, reason: str = "stop", with_usage: bool = True, done: bool = True) -> Script:
    """A whole answer, a chunk a piece."""

    async def script(exchange: Exchange) -> None:
        await opening(exchange, *pieces)
        await exchange.chunk(part(exchange, {}, reason))
        if with_usage:
            await exchange.chunk(usage(exchange))
        if done:
            await exchange.chunk(DONE)
        await exchange.end()

    return script


async def echoing(exchange: Exchange) -> None:
    """Say the prompt, a word a chunk, with turns for others in between."""
    await opening(exchange)
    for index, word in enumerate(exchange.prompt.split()):
        await exchange.chunk(part(exchange, {"content": word if index == 0 else f" {word}"}))
        await asyncio.sleep(0)
    await exchange.chunk(part(exchange, {}, "stop") + DONE)
    await exchange.end()


def stalling(*pieces: str) -> Script:
    """Begin to answer, or with no pieces not even that, and never go on."""

    async def script(exchange: Exchange) -> None:
        if pieces:
            await opening(exchange, *pieces)
        await asyncio.Event().wait()

    return script


def refusing(status: int, body: Any) -> Script:
    """An error before the stream: JSON, or text."""
    if isinstance(body, str):
        return saying(status, "text/plain; charset=utf-8", body.encode())
    return saying(status, JSON, ndjson(body))


def embedding(dimensions: int = 3) -> Script:
    """For each input a vector of its length and its place, told in the wrong order but with their indices."""

    async def script(exchange: Exchange) -> None:
        data = [
            {
                "object": "embedding",
                "index": place,
                "embedding": [float(len(text)), float(place), *[0.5] * (dimensions - 2)],
            }
            for place, text in enumerate(exchange.chat["input"])
        ]
        tokens = {"prompt_tokens": len(data), "total_tokens": len(data)}
        answer = {"object": "list", "data": data[::-1], "model": exchange.chat["model"], "usage": tokens}
        await saying(200, JSON, ndjson(answer))(exchange)

    return script


def models(*names: str) -> Script:
    """An answer of ``/v1/models``."""
    return saying(200, JSON, ndjson({"object": "list", "data": [{"id": name, "object": "model"} for name in names]}))


@dataclass
class OpenAiServer(OllamaServer):
    """As its base, with other paths; ``beside`` are those beside the API, of which plain servers have none."""

    default: Script = field(default=answering("Hello", " there."))
    tags: Script = field(default=models("tiny"))
    beside: dict[str, Script] = field(default_factory=dict)

    def listed(self, path: str) -> Script | None:
        if path == "/v1/models":
            return self.tags
        if path.startswith("/v1/"):
            return None
        return self.beside.get(path, refusing(404, {"detail": "Not Found"}))


@asynccontextmanager
async def openai_server(default: Script | None = None) -> AsyncIterator[OpenAiServer]:
    """A server that listens on a free loopback port; its API is below ``/v1``."""
    server = OpenAiServer(default) if default else OpenAiServer()
    await server.start()
    try:
        yield server
    finally:
        await server.stop()
