"""The kinds of engine that are spoken to over HTTP, each as it looks on the wire."""

from __future__ import annotations

import json
import ssl
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, ClassVar

from node.executors.engine_executor import EngineExecutor
from node.executors.ollama import OllamaExecutor, OllamaPolicy
from node.executors.openai_compatible import OpenAiExecutor
from node.executors.openai_policy import OpenAiPolicy
from tests.support.events import RecordingSink
from tests.unit.executors import ollama_server, openai_server
from tests.unit.executors.doubles import HandClock
from tests.unit.executors.ollama_server import JSON, METRICS, NDJSON, Exchange, OllamaServer, Script, ndjson, saying
from tests.unit.executors.openai_server import DONE, SSE, OpenAiServer, event, part

Step = bytes | Callable[[Exchange], bytes]
"""What goes into one chunk."""


def written(exchange: Exchange, *steps: Step) -> bytes:
    """What these steps put on the wire, together."""
    return b"".join(step if isinstance(step, bytes) else step(exchange) for step in steps)


class Wire(ABC):
    """A server of one kind, and executors for it. Steps are the parts of an answer's stream."""

    kind: ClassVar[str]
    stream_type: ClassVar[str]
    chat_path: ClassVar[str]
    embed_path: ClassVar[str]
    list_path: ClassVar[str]

    def __init__(self, server: OllamaServer) -> None:
        self.server = server
        self.sink = RecordingSink()
        self.clock = HandClock()
        self.made: list[EngineExecutor] = []

    def executor(self, base_url: str = "", **policy: Any) -> EngineExecutor:
        """One more executor for the server."""
        made = self._executor(base_url or self.server.url, policy, ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT))
        self.made.append(made)
        return made

    async def aclose(self) -> None:
        for executor in self.made:
            await executor.aclose()
        await self.server.stop()

    def script(self, *steps: Step, ending: str = "whole") -> Script:
        """A stream of these steps, a chunk each; it is ``whole``, or ``cut`` or ``reset`` at its end."""

        async def script(exchange: Exchange) -> None:
            await exchange.head(200, self.stream_type)
            for step in steps:
                await exchange.chunk(written(exchange, step))
            match ending:
                case "cut":
                    exchange.cut()
                case "reset":
                    exchange.reset()
                case _:
                    await exchange.end()

        return script

    def answering(self, *pieces: str) -> Script:
        """A whole answer, a chunk a piece."""
        return self.script(*map(self.piece, pieces), self.final())

    @abstractmethod
    def stalling(self, *pieces: str) -> Script: ...

    @abstractmethod
    def piece(self, text: str) -> Step:
        """A piece of the text."""

    @abstractmethod
    def thought(self, text: str) -> Step:
        """A piece of the model's thinking."""

    @abstractmethod
    def tool_call(self) -> Step:
        """The model wants a tool."""

    @abstractmethod
    def final(self, reason: str = "stop") -> Step:
        """What makes an answer whole."""

    @abstractmethod
    def error(self, text: str) -> Step:
        """An error in the middle of a stream."""

    @abstractmethod
    def refusing(self, status: int, text: str, *headers: str) -> Script:
        """An error in place of an answer."""

    @abstractmethod
    def models(self, *names: str) -> Script:
        """The list of the models."""

    @abstractmethod
    def embedding(self) -> Script:
        """Vectors of three numbers."""

    @abstractmethod
    def _executor(self, url: str, policy: dict[str, Any], tls: ssl.SSLContext) -> EngineExecutor: ...


class OllamaWire(Wire):
    kind = "ollama"
    stream_type = NDJSON
    chat_path, embed_path, list_path = "/api/chat", "/api/embed", "/api/tags"

    def __init__(self) -> None:
        super().__init__(OllamaServer())

    def stalling(self, *pieces: str) -> Script:
        return ollama_server.stalling(*pieces)

    def piece(self, text: str) -> Step:
        return lambda exchange: ndjson({**exchange.piece(text), "done": False})

    def thought(self, text: str) -> Step:
        return lambda exchange: ndjson({**exchange.piece("", thinking=text), "done": False})

    def tool_call(self) -> Step:
        call = {"id": "call_12345678", "function": {"index": 0, "name": "now", "arguments": {"zone": "UTC"}}}
        return lambda exchange: ndjson({**exchange.piece("", tool_calls=[call]), "done": False})

    def final(self, reason: str = "stop") -> Step:
        return lambda exchange: ndjson({**exchange.piece(""), "done": True, "done_reason": reason, **METRICS})

    def error(self, text: str) -> Step:
        return ndjson({"error": text})

    def refusing(self, status: int, text: str, *headers: str) -> Script:
        return saying(status, JSON, ndjson({"error": text}), *headers)

    def models(self, *names: str) -> Script:
        return ollama_server.listing(*({"model": name, "size": 1} for name in names))

    def embedding(self) -> Script:
        return ollama_server.embedding(prompt_eval_count=1)

    def _executor(self, url: str, policy: dict[str, Any], tls: ssl.SSLContext) -> EngineExecutor:
        settings = OllamaPolicy(**{"base_url": url, "name": "engine", **policy})
        return OllamaExecutor(settings, self.clock, self.sink, tls)


class OpenAiWire(Wire):
    kind = "openai"
    stream_type = SSE
    chat_path, embed_path, list_path = "/v1/chat/completions", "/v1/embeddings", "/v1/models"

    def __init__(self) -> None:
        super().__init__(OpenAiServer())

    def stalling(self, *pieces: str) -> Script:
        return openai_server.stalling(*pieces)

    def piece(self, text: str) -> Step:
        return lambda exchange: part(exchange, {"content": text})

    def thought(self, text: str) -> Step:
        return lambda exchange: part(exchange, {"reasoning_content": text, "content": None})

    def tool_call(self) -> Step:
        call = {"index": 0, "id": "call_1", "type": "function", "function": {"name": "now", "arguments": '{"zone":'}}
        return lambda exchange: part(exchange, {"content": None, "tool_calls": [call]})

    def final(self, reason: str = "stop") -> Step:
        return lambda exchange: part(exchange, {}, reason) + openai_server.usage(exchange) + DONE

    def error(self, text: str) -> Step:
        return event({"error": {"message": text, "type": "api_error", "code": 500}})

    def refusing(self, status: int, text: str, *headers: str) -> Script:
        return saying(status, JSON, json.dumps({"error": {"message": text}}).encode(), *headers)

    def models(self, *names: str) -> Script:
        return openai_server.models(*names)

    def embedding(self) -> Script:
        return openai_server.embedding()

    def _executor(self, url: str, policy: dict[str, Any], tls: ssl.SSLContext) -> EngineExecutor:
        settings = OpenAiPolicy(**{"base_url": f"{url}/v1", "name": "engine", **policy})
        return OpenAiExecutor(settings, self.clock, self.sink, tls)


WIRES: dict[str, Callable[[], Wire]] = {"ollama": OllamaWire, "openai": OpenAiWire}
