"""An engine that repeats its key and its prompts in every way that an engine could."""

from __future__ import annotations

import base64
import itertools
import json
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote, urlsplit

from tests.secrets.echoing import disguises, quotations

JSON: Final = "application/json"
SSE: Final = "text/event-stream"
NDJSON: Final = "application/x-ndjson"

_CUTS: Final = range(165, 205, 3)
"""Lengths about that at which errors of engines are cut off."""

_HERE: Final = "(here)"


@dataclass(frozen=True)
class Heard:
    """A request: its method, what it was for, its headers by their names in small letters, and its body."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes

    @property
    def path(self) -> str:
        return urlsplit(self.target).path

    @property
    def content(self) -> Any:
        return json.loads(self.body)


def reply(status: int, body: bytes, kind: str = JSON, *headers: str) -> bytes:
    """An answer, after which the connection ends."""
    lines = [f"HTTP/1.1 {status} Said", f"Content-Type: {kind}", f"Content-Length: {len(body)}", *headers]
    return "\r\n".join([*lines, "Connection: close", "", ""]).encode() + body


class EchoingEngine:
    """Speaks as OpenAI's API and as Ollama's, and says the key and the prompt in every place where it says anything.

    ``models`` are OpenAI's, ``local`` Ollama's; some of the names hold the key.
    """

    def __init__(self, key: str, answer: str) -> None:
        self.models = ("tiny", f"tiny-{key}", f"tiny-{base64.b64encode(key.encode()).decode()}")
        self.local = ("llama:1b", f"llama-{quote(key, safe='')}:1b")
        self.echoes = 0
        self._key = key
        self._answer = answer
        self._rounds = itertools.count()
        self._lists = itertools.count()
        self._disguises = itertools.cycle(disguises(key, _CUTS))
        self._quotations = itertools.cycle(quotations(_HERE, _CUTS))

    async def openai(self, heard: Heard) -> bytes:
        if heard.path.endswith("/models"):
            if next(self._lists) % 5 == 4:
                return self._error({"error": {"message": next(self._disguises)}})
            return reply(200, json.dumps({"data": [{"id": name, "object": "model"} for name in self.models]}).encode())
        model, number = heard.content["model"], next(self._rounds)
        if number % 3 == 0:
            pieces = ({"content": f"{self._answer} {heard.content['messages'][-1]['content']}"}, {"content": self._key})
            return self._streamed(model, *pieces)
        self.echoes += 1
        said, key = self._repeated(heard), self._key
        broken = [
            self._error({"error": {"message": said}}),
            reply(400, json.dumps({"detail": said, "input": heard.content}).encode(), JSON, f"x-error: {key}"),
            reply(429, said.encode(errors="replace"), "text/plain"),
            reply(200, f"data: {json.dumps({'error': {'message': said}})}\n\n".encode(), SSE),
            f"HTTP/1.1 200 OK\r\nno header at all, {key}\r\n\r\n".encode(),
            f"HTTP/1.1 {key}\r\n\r\n".encode(),
            reply(200, f"data: {{{key}\n\n".encode(), SSE),
            reply(404, json.dumps({"error": f"the model {said} does not exist"}).encode()),
            reply(307, b"", JSON, f"Location: /{quote(key)}"),
            self._streamed(model, {"content": {key: [key]}}),
            self._streamed(f"{model} {key}", {"content": key}, reason=key),
            reply(503, json.dumps({"message": [said, {key: said}]}).encode(), JSON, f"Retry-After: {key}"),
        ]
        return broken[number // 3 * 2 % len(broken) + number % 3 - 1]

    async def ollama(self, heard: Heard) -> bytes:
        if heard.path == "/api/tags":
            if next(self._lists) % 5 == 4:
                return self._error({"error": next(self._disguises)})
            return reply(200, json.dumps({"models": [{"model": name, "size": 1} for name in self.local]}).encode())
        if heard.path != "/api/chat":
            return reply(200, b'{"models":[]}')
        model, number = heard.content["model"], next(self._rounds)
        messages = heard.content.get("messages")
        if not messages:
            return self._error({"error": f"no room for {next(self._disguises)}"})
        if number % 3 == 0:
            return reply(200, _line(model, f"{self._answer} {messages[-1]['content']} {self._key}", done=True), NDJSON)
        self.echoes += 1
        said, key = self._repeated(heard), self._key
        broken = [
            self._error({"error": said}),
            reply(400, json.dumps({"error": f"cannot {heard.body.decode()} {key}"}).encode()),
            reply(200, _line(model, "And ") + json.dumps({"error": said}).encode() + b"\n", NDJSON),
            reply(200, f"{{{key}\n".encode(), NDJSON),
            reply(404, json.dumps({"error": f"model '{said}' not found"}).encode()),
            f"HTTP/1.1 200 OK\r\nno header at all, {key}\r\n\r\n".encode(),
        ]
        return broken[number % len(broken)]

    def _repeated(self, heard: Heard) -> str:
        """The key, the prompt, or both."""
        prompt = heard.content["messages"][-1]["content"]
        quoted = next(self._quotations).replace(_HERE, (prompt, f"{prompt} {self._key}")[self.echoes // 2 % 2])
        return quoted if self.echoes % 2 else next(self._disguises)

    def _error(self, content: object) -> bytes:
        return reply(500, json.dumps(content).encode(), JSON, f"x-error: {self._key}")

    def _streamed(self, model: str, *deltas: dict[str, Any], reason: str = "stop") -> bytes:
        parts: list[dict[str, Any]] = [{"delta": delta, "finish_reason": None} for delta in deltas]
        parts.append({"delta": {}, "finish_reason": reason})
        events = (json.dumps({"id": "x", "model": model, "choices": [{"index": 0, **part}]}) for part in parts)
        body = "".join(f"data: {event}\n\n" for event in (*events, "[DONE]"))
        return reply(200, body.encode(), SSE, f"x-key: {self._key}")


def _line(model: str, content: str, *, done: bool = False) -> bytes:
    ending = {"done_reason": "stop", "eval_count": 3, "eval_duration": 1000} if done else {}
    message = {"role": "assistant", "content": content}
    return json.dumps({"model": model, "message": message, "done": done, **ending}).encode() + b"\n"
