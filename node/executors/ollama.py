"""Ollama, through its official client.

Importing this module imports that client, a quarter of a second: whoever composes the program imports it when
the executor is wanted.
"""

from __future__ import annotations

import asyncio
import shlex
import ssl
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, aclosing, suppress
from dataclasses import dataclass
from typing import Final, cast
from urllib.parse import urlsplit

import httpx
import ollama

from node.domain.errors import Declined, EngineFailed, EngineOverloaded, ExecutorError
from node.domain.events import EngineCalled
from node.domain.jobs import ChatPayload, Payload
from node.domain.results import Generation
from node.executors.kinds import only_chat
from node.executors.ndjson_stream import NdjsonStream
from node.executors.presence import EnginePresence
from node.ports.clock import Clock
from node.ports.events import EventSink
from node.ports.executor import Partials

_MAX_TEMPERATURE: Final = 1.0
_BYTES_A_TOKEN: Final = 1024
"""A line of the stream holds a token and some 200 bytes around it."""
_END_S: Final = 1.0
"""How long the end of a stream is awaited after its final part, so that the connection can be used again."""

_REFUSED: Final = (httpx.HTTPError, ollama.ResponseError)
_UNREADABLE: Final = (ValueError, TypeError, AttributeError, RecursionError)
"""What the client lets out for a body that is JSON of another shape, or none, and for text that is no text."""


@dataclass(frozen=True, slots=True)
class OllamaPolicy:
    """How Ollama is used.

    ``base_url`` is ``http`` or ``https``, host and port, with a path if need be.
    ``max_output`` is the most tokens of an answer, and what is asked for where a job sets no limit.
    ``concurrency`` is how many calls run at once at most: the limit of `Limited` around it.
    ``connect_s`` is the time for making a connection, and as much again for its TLS handshake.
    ``model_override`` is asked for in place of every job's model; empty: the job's own.
    ``keep_alive`` is how long the model stays loaded: seconds, or a Go duration such as ``5m``; None: the
    engine's default. ``think`` is sent where it is set: models that think do so unless told False.

    Raises:
        ValueError: the URL is not such a one, or ``max_output`` or ``concurrency`` is below 1.
    """

    base_url: str = "http://127.0.0.1:11434"
    model_override: str = ""
    max_output: int = 4096
    concurrency: int = 4
    connect_s: float = 5.0
    recheck_s: float = 5.0
    """How long a missing engine is left alone."""
    keep_alive: float | str | None = None
    think: bool | None = None

    def __post_init__(self) -> None:
        try:
            parts = urlsplit(self.base_url)
            port = parts.port
        except ValueError:
            # Not chained: it quotes what stands where a port should, which may be a password.
            raise ValueError("an engine's URL is http://host:port; its port, or what is in front, is none") from None
        if parts.scheme not in ("http", "https") or not parts.hostname or port == 0:
            raise ValueError(f"an engine's URL is http://host:port, not {self.place}")
        if self.max_output < 1 or self.concurrency < 1:
            raise ValueError("an answer has one token at least, and one call runs at least")

    @property
    def place(self) -> str:
        """The URL as people may see it: without credentials."""
        parts = urlsplit(self.base_url)
        return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


class OllamaExecutor:
    """Runs jobs on an Ollama server; one object, and one pool of connections, for a fleet.

    It declines while the server is not there, and for models that the server does not have. Proxies that the
    environment names are not used, and no redirect is followed. ``tls`` serves an ``https`` URL.
    """

    def __init__(self, policy: OllamaPolicy, clock: Clock, events: EventSink, tls: ssl.SSLContext) -> None:
        self._policy = policy
        self._clock = clock
        self._events = events
        self._tls = tls
        self._presence = EnginePresence(self.name, policy.recheck_s, clock, events)
        self._opened: ollama.AsyncClient | None = None
        self._closing = AsyncExitStack()
        self._closed = False

    @property
    def name(self) -> str:
        """See `node.ports.executor.Executor.name`."""
        return "ollama"

    async def execute(self, payload: Payload, partials: Partials | None = None) -> Generation:
        """See `node.ports.executor.Executor.execute`. Sets no deadline: the caller's cancellation ends it.

        The temperature is held between 0 and 1. An answer counts only with the engine's final part, and with
        1 MiB and 1 KiB for each token of ``max_output`` at most. Every call that reached the engine is told as an
        `EngineCalled`.

        Raises:
            Declined: the engine is missing or does not have the model, or `aclose` was called.
            EngineFailed: any other error, an answer that broke off or is too long, or one of thinking alone.
            EngineOverloaded: HTTP 429 or 503.
        """
        if self._closed:
            raise Declined("ollama is closed")
        chat = only_chat(payload, self.name)
        await self._look_for_engine()
        model = self._policy.model_override or chat.model
        started = self._clock.monotonic()
        try:
            generation = await self._generate(model, chat, partials)
        except (httpx.ConnectError, httpx.ConnectTimeout) as error:
            cause = _text(error) or type(error).__name__
            reason = f"ollama is not there: nothing answers at {self._policy.place} ({cause}); run: ollama serve"
            self._presence.missing(reason)
            raise Declined(reason) from error
        except ExecutorError as error:
            self._tell(model, started, None, str(error))
            raise
        except asyncio.CancelledError:
            self._tell(model, started, None, "the call was ended before the answer was whole")
            raise
        self._tell(generation.model, started, generation.output_tokens)
        return generation

    async def aclose(self) -> None:
        """See `node.ports.executor.Executor.aclose`. Closes the connections; a second call does nothing."""
        self._closed = True
        await self._closing.aclose()

    def _client(self) -> ollama.AsyncClient:
        if self._opened is None:
            limit = self._policy.concurrency
            self._opened = ollama.AsyncClient(
                self._policy.base_url,
                follow_redirects=False,
                timeout=httpx.Timeout(None, connect=self._policy.connect_s),
                limits=httpx.Limits(max_connections=limit, max_keepalive_connections=limit),
                trust_env=False,
                verify=self._tls,
                headers={"accept-encoding": "identity"},
                event_hooks={"response": [self._answered]},
            )
            self._closing.push_async_exit(self._opened)
        return self._opened

    async def _look_for_engine(self) -> None:
        """Raise `Declined` while the engine is missing; look again where it is this caller's turn.

        The look is a request of its own: a chat is answered only when the model is loaded, which can take a minute.
        """
        if self._presence.look_now():
            with suppress(*_REFUSED, *_UNREADABLE, TimeoutError, ConnectionError, ExecutorError):
                # Connection and handshake have `connect_s` each, by httpx, which closes what it opened.
                async with asyncio.timeout(3 * self._policy.connect_s):
                    await self._client().list()
        if self._presence.missing_because:
            raise Declined(self._presence.missing_because)

    async def _answered(self, response: httpx.Response) -> None:
        """Called by httpx with every response, before its body is read."""
        content_type = response.headers.get("content-type", "")
        if response.status_code == httpx.codes.NOT_FOUND and not content_type.startswith("application/json"):
            reason = f"what answers at {self._policy.place} is not Ollama's API; check the URL"
            self._presence.missing(reason)
            raise Declined(reason)
        self._presence.found()
        if "content-encoding" not in response.headers:
            body = cast("httpx.AsyncByteStream", response.stream)
            response.stream = NdjsonStream(body, 2**20 + _BYTES_A_TOKEN * self._policy.max_output)

    async def _generate(self, model: str, payload: ChatPayload, partials: Partials | None) -> Generation:
        pieces: list[str] = []
        thought = False
        async with aclosing(self._parts(model, payload)) as parts:
            async for part in parts:
                thought = thought or bool(part.message.thinking)
                if text := part.message.content:
                    pieces.append(text)
                    if partials is not None:
                        await partials.push(text)
                if part.done:
                    with suppress(TimeoutError, ExecutorError):
                        async with asyncio.timeout(_END_S):
                            await anext(parts, None)
                    return self._generation(model, "".join(pieces), part, thought=thought)
        raise EngineFailed("ollama's answer broke off: it ended without its final part")

    async def _parts(self, model: str, payload: ChatPayload) -> AsyncGenerator[ollama.ChatResponse, None]:
        """The parts of an answer as they come; the one place where the client's errors become ours.

        Errors in a connection's making pass through: they say that there is no engine.
        """
        limit = self._policy.max_output
        options: dict[str, float] = {"num_predict": max(1, min(payload.max_output or limit, limit))}
        if payload.temperature is not None:
            options["temperature"] = min(_MAX_TEMPERATURE, max(0.0, payload.temperature))
        client = self._client()
        try:
            stream = await client.chat(
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
        except (httpx.ConnectError, httpx.ConnectTimeout):
            raise
        except httpx.HTTPError as error:
            raise EngineFailed(f"ollama's answer broke off: {_text(error) or type(error).__name__}") from error
        except ollama.ResponseError as error:
            raise _refusal(model, error) from error
        except UnicodeEncodeError:
            raise EngineFailed("the conversation holds half of a surrogate pair and cannot be sent") from None
        except _UNREADABLE:
            # Not chained: the client's message quotes what was said.
            raise EngineFailed(f"what answers at {self._policy.place} does not speak as Ollama does") from None

    def _generation(self, model: str, text: str, final: ollama.ChatResponse, *, thought: bool) -> Generation:
        if final.done_reason in ("load", "unload"):
            raise EngineFailed(f"ollama generated nothing: it ended with {final.done_reason!r}")
        if thought and not text:
            raise EngineFailed("the model used its whole output for thinking; set think to false, or raise max_output")
        return Generation(
            text=text,
            model=final.model or model,
            executor=self.name,
            prompt_tokens=final.prompt_eval_count,
            output_tokens=final.eval_count,
            finish_reason=final.done_reason,
        )

    def _tell(self, model: str, started: float, output_tokens: int | None, error: str = "") -> None:
        took_s = self._clock.monotonic() - started
        self._events.emit(EngineCalled(self.name, model, took_s, output_tokens, error))


def _refusal(model: str, error: ollama.ResponseError) -> ExecutorError:
    said = _text(error.error) or "without a reason"
    match error.status_code:
        case 404:
            return Declined(f"ollama has no model {_text(model)!r}; run: ollama pull {_text(shlex.quote(model))}")
        case 429 | 503:
            return EngineOverloaded(f"ollama is full: {said}")
        case -1:  # an error in the stream has no status
            return EngineFailed(f"ollama failed: {said}")
        case status:
            return EngineFailed(f"ollama answered {status}: {said}")


def _text(said: object) -> str:
    """What the other side said, on one line and short."""
    text = " ".join(str(said).split())
    return text if len(text) <= 200 else text[:199] + "…"
