"""Ollama's official client, bounded, and with its errors made ours.

Importing this module imports that client, a quarter of a second.
"""

from __future__ import annotations

import shlex
import ssl
from collections.abc import Callable, Iterable, Iterator
from contextlib import AsyncExitStack, contextmanager
from typing import Final, cast

import httpx
import ollama

from node.domain.errors import Declined, EngineFailed, EngineOverloaded, EngineRefused, ExecutorError
from node.domain.trace import TraceContext
from node.executors.batches import largest_reply
from node.executors.engine_calls import EngineAbsent
from node.executors.engine_words import one_line, presentable
from node.executors.inflated import inflate
from node.executors.ndjson_stream import NdjsonStream
from node.executors.ollama_policy import OllamaPolicy

_BYTES_A_TOKEN: Final = 1024
"""A line of the stream holds a token and some 200 bytes around it."""
_LIST_BYTES: Final = 16 * 2**20
_LINE_BYTES: Final = 2**20
"""Bytes of one line of a pull, which has no bound in all: it may run for days."""

_UNREADABLE: Final = (ValueError, TypeError, AttributeError, RecursionError)
"""What the client lets out for a body that is JSON of another shape, or none, and for text that is no text."""


class OllamaClient:
    """One pool of connections to a server, opened when first used. ``answered`` is called with each answer.

    Proxies that the environment names are not used, no redirect is followed, and no time limit but that for
    connecting is set.
    """

    def __init__(
        self, policy: OllamaPolicy, tls: ssl.SSLContext, answered: Callable[[], object] = lambda: None
    ) -> None:
        self._policy = policy
        self._tls = tls
        self._answered = answered
        self._opened: httpx.AsyncHTTPTransport | None = None
        self._closing = AsyncExitStack()

    def api(self, trace: TraceContext | None = None) -> ollama.AsyncClient:
        """The client itself, for one request inside `errors`. ``trace`` is passed on as W3C's ``traceparent``."""
        headers = {"accept-encoding": "identity"}
        if trace is not None:
            headers["traceparent"] = trace.traceparent
        # One a request, on connections that all share: the client takes headers when it is made and at no other time.
        return ollama.AsyncClient(
            self._policy.base_url,
            follow_redirects=False,
            timeout=httpx.Timeout(None, connect=self._policy.connect_s),
            transport=self._connections(),
            trust_env=False,
            headers=headers,
            event_hooks={"response": [self._judge]},
        )

    async def probe(self) -> None:
        """Ask for the list of models. Raises as `errors` does."""
        with self.errors():
            await self.api().list()

    @contextmanager
    def errors(self, model: str = "", asked: Iterable[str] = ()) -> Iterator[None]:
        """The one place where the client's errors become ours. ``asked`` are the texts sent, which no error shows.

        Raises:
            EngineAbsent: nobody answers.
            Declined: the server does not have ``model``.
            EngineRefused: HTTP 400, 413 or 422.
            EngineFailed: any other error; what answers is no Ollama.
            EngineOverloaded: HTTP 429 or 503.
        """
        name, place = self._policy.name, self._policy.place
        try:
            yield
        except ExecutorError:
            raise
        except (httpx.ConnectError, httpx.ConnectTimeout, ConnectionError) as error:
            # The client replaces some of them by a sentence of its own.
            told = error if isinstance(error, httpx.HTTPError) else error.__context__
            cause = (one_line(told) if told else "") or type(told or error).__name__
            reason = f"{name} is not there: nothing answers at {place} ({cause}); run: ollama serve"
            raise EngineAbsent(reason, told=f"{name} is not there") from error
        except httpx.HTTPError as error:
            broken = f"{name}'s answer broke off"
            raise EngineFailed(f"{broken}: {one_line(error) or type(error).__name__}", told=broken) from error
        except ollama.ResponseError as error:
            # Not chained: it may quote what was asked.
            raise self._refusal(model, error, asked) from None
        except _UNREADABLE:
            # Not chained: the client's message quotes what was said.
            reason = f"what answers at {place} does not speak as Ollama does"
            raise EngineFailed(reason, told=f"{name} gave no answer of its kind") from None

    async def aclose(self) -> None:
        """Close the connections; a second call does nothing."""
        await self._closing.aclose()

    def _connections(self) -> httpx.AsyncHTTPTransport:
        if self._opened is None:
            limit = self._policy.concurrency
            # Calls at once are not bounded here: a list must not wait for a download to end.
            limits = httpx.Limits(max_connections=None, max_keepalive_connections=limit)
            self._opened = httpx.AsyncHTTPTransport(verify=self._tls, limits=limits, trust_env=False)
            self._closing.push_async_callback(self._opened.aclose)
        return self._opened

    async def _judge(self, response: httpx.Response) -> None:
        """Called by httpx with every response, before its body is read."""
        content_type = response.headers.get("content-type", "")
        if response.status_code == httpx.codes.NOT_FOUND and not content_type.startswith("application/json"):
            reason = f"what answers at {self._policy.place} is not Ollama's API; check the URL"
            raise EngineFailed(reason, told=f"{self._policy.name} gave no answer of its kind")
        self._answered()
        inflate(response)
        body = cast("httpx.AsyncByteStream", response.stream)
        response.stream = self._bounded(response.request.url.path, body)

    def _bounded(self, path: str, body: httpx.AsyncByteStream) -> NdjsonStream:
        match path.rpartition("/")[2]:
            case "chat":
                return NdjsonStream(body, 2**20 + _BYTES_A_TOKEN * self._policy.max_output)
            case "embed":
                return NdjsonStream(body, largest_reply(self._policy.batch))
            case "pull":
                return NdjsonStream(body, _LINE_BYTES, per_line=True)
            case _:
                return NdjsonStream(body, _LIST_BYTES)

    def _refusal(self, model: str, error: ollama.ResponseError, asked: Iterable[str]) -> ExecutorError:
        name = self._policy.name
        said = presentable(error.error or "", asked)
        match error.status_code:
            case 404:
                told, pull = f"{name} has no model {one_line(model)!r}", one_line(shlex.quote(model))
                return Declined(f"{told}; run: ollama pull {pull}", told=told)
            case 429 | 503:
                return EngineOverloaded(f"{name} is full: {said}", told=f"{name} is full")
            case -1:  # an error in the stream has no status
                return EngineFailed(f"{name} failed: {said}", told=f"{name} failed")
            case (400 | 413 | 422) as status:
                return EngineRefused(f"{name} answered {status}: {said}")
            case status:
                return EngineFailed(f"{name} answered {status}: {said}", told=f"{name} answered {status}")
