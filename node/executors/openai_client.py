"""HTTP to any server with OpenAI's API: vLLM, llama.cpp, SGLang, LM Studio, Exo and their like."""

from __future__ import annotations

import asyncio
import re
import ssl
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from typing import Final

import httpx

from node.domain.errors import Declined, EngineFailed, EngineOverloaded, EngineRefused, ExecutorError
from node.domain.trace import TraceContext
from node.executors.engine_calls import EngineAbsent
from node.executors.engine_words import one_line, presentable
from node.executors.inflated import inflate
from node.executors.openai_answers import ModelList, error_in, read
from node.executors.openai_parallel import PLACES, parallel_in
from node.executors.openai_policy import OpenAiPolicy

MODELS: Final = "/models"
CHAT: Final = "/chat/completions"
EMBEDDINGS: Final = "/embeddings"
"""The paths below the base URL."""

_MODEL_LIST_BYTES: Final = 4 * 2**20
_SERVER_INFO_BYTES: Final = 4 * 2**20
_ERROR_BYTES: Final = 64 * 1024
_ERROR_S: Final = 5.0
"""How much of an error's body is read, and for how long."""

_NO_MODEL: Final = re.compile(
    r"model\b.{0,200}\b(?:not exist|not found|not loaded)|(?:unknown|no such|invalid) model\b|model_not_found"
    r"|no models? (?:is |are )?loaded",
    re.IGNORECASE | re.DOTALL,
)
_SAID_CHARS: Final = 1000
"""How much of an error's text is searched for that."""


class OpenAiClient:
    """One pool of connections to a server, opened with the first request. ``answered`` is called with each answer.

    Proxies that the environment names are not used, no redirect is followed, and no time limit but that for
    connecting is set.
    """

    def __init__(
        self, policy: OpenAiPolicy, tls: ssl.SSLContext, answered: Callable[[], object] = lambda: None
    ) -> None:
        self._policy = policy
        self._tls = tls
        self._answered = answered
        self._opened: httpx.AsyncClient | None = None
        self._closing = AsyncExitStack()

    @asynccontextmanager
    async def request(
        self,
        method: str,
        path: str,
        body: object = None,
        model: str = "",
        asked: Iterable[str] = (),
        trace: TraceContext | None = None,
    ) -> AsyncIterator[httpx.Response]:
        """A successful answer, its body not yet read; leaving the block ends the request, whatever is left of it.

        ``body`` is sent as JSON. ``model`` and ``asked``, the texts in the body, are for the wording of errors.
        ``trace`` is passed on as W3C's ``traceparent``.

        Raises:
            EngineAbsent: nobody answers.
            Declined: the server does not have ``model``, or makes no embeddings.
            EngineRefused: HTTP 400, 413 or 422 for another reason.
            EngineFailed: any other error, also while the body is read inside the block; what answers has no such path,
                be it not that for embeddings.
            EngineOverloaded: HTTP 429 or 503.
        """
        name, place = self._policy.name, self._policy.place
        headers = None if trace is None else {"traceparent": trace.traceparent}
        try:
            async with self._client().stream(method, path, json=body, headers=headers) as response:
                inflate(response)
                if not response.is_success:
                    raise await self._refusal(response, path, model, asked)
                self._answered()
                yield response
        except (httpx.ConnectError, httpx.ConnectTimeout) as error:
            cause = one_line(error) or type(error).__name__
            reason = f"{name} is not there: nothing answers at {place} ({cause}); start it, or check the URL"
            raise EngineAbsent(reason, told=f"{name} is not there") from error
        except httpx.HTTPError as error:
            broken = f"{name}'s answer broke off"
            raise EngineFailed(f"{broken}: {one_line(error) or type(error).__name__}", told=broken) from error

    async def models(self) -> tuple[str, ...]:
        """The names of the models that the server can be asked for. Raises as `request` does."""
        async with self.request("GET", MODELS) as response:
            listed = read(ModelList, await whole_body(response, _MODEL_LIST_BYTES), self._policy.name)
        return tuple(model.id for model in listed.data)

    async def parallel(self) -> int | None:
        """How many requests the server runs at once; None where it does not tell, or does not answer."""
        # The places are beside the API, not below it.
        root = httpx.URL(self._policy.base_url)
        below = root.path.rstrip("/").removesuffix("/v1")
        for place in PLACES:
            with suppress(ExecutorError):
                async with self.request("GET", str(root.copy_with(path=below + place))) as response:
                    told = parallel_in(await whole_body(response, _SERVER_INFO_BYTES))
                if told is not None:
                    return told
        return None

    async def probe(self) -> None:
        """Ask for the list of models. Raises as `request` does."""
        await self.models()

    async def aclose(self) -> None:
        """Close the connections; a second call does nothing."""
        await self._closing.aclose()

    def _client(self) -> httpx.AsyncClient:
        if self._opened is None:
            limit = self._policy.concurrency
            headers = {"accept-encoding": "identity"}
            if self._policy.api_key:
                headers["authorization"] = f"Bearer {self._policy.api_key.reveal()}"
            self._opened = httpx.AsyncClient(
                base_url=self._policy.base_url,
                headers=headers,
                follow_redirects=False,
                timeout=httpx.Timeout(None, connect=self._policy.connect_s),
                # Calls at once are not bounded here: a list must not wait for an answer to end.
                limits=httpx.Limits(max_connections=None, max_keepalive_connections=limit),
                trust_env=False,
                verify=self._tls,
            )
            self._closing.push_async_exit(self._opened)
        return self._opened

    async def _refusal(self, response: httpx.Response, path: str, model: str, asked: Iterable[str]) -> ExecutorError:
        """The error of an answer that is none, and word to ``answered`` unless it comes from something else."""
        name, place, status = self._policy.name, self._policy.place, response.status_code
        raw = error_in(await _beginning(response))
        lacks_model = bool(model) and status in (400, 404, 422) and _NO_MODEL.search(raw[:_SAID_CHARS]) is not None
        if status == httpx.codes.NOT_FOUND and not lacks_model:
            if path == EMBEDDINGS:
                return Declined(f"{name} makes no embeddings: it has no {path}")
            reason = f"what answers at {place} has no {path}; check the URL, which ends with /v1 as a rule"
            return EngineFailed(reason, told=f"{name} gave no answer of its kind")
        self._answered()
        said = presentable(raw, asked, self._policy.api_key)
        match status:
            case 401 | 403:
                reason = f"{name} denies access with status {status}; check the engine's API key"
                return EngineFailed(reason, told=f"{name} denied access")
            case 429 | 503:
                wait_s = _seconds(response.headers.get("retry-after"))
                return EngineOverloaded(f"{name} is full: {said}", wait_s, told=f"{name} is full")
            case _ if lacks_model:
                told = f"{name} has no model {one_line(model)!r}"
                return Declined(f"{told}; its models are listed at {place}/models", told=told)
            case 400 | 413 | 422:
                return EngineRefused(f"{name} answered {status}: {said}")
            case _:
                return EngineFailed(f"{name} answered {status}: {said}", told=f"{name} answered {status}")


def _seconds(retry_after: str | None) -> float | None:
    """What a ``Retry-After`` says, unless it names a date."""
    return float(retry_after) if retry_after and retry_after.isascii() and retry_after.isdecimal() else None


async def whole_body(response: httpx.Response, max_bytes: int) -> bytes:
    """A body of ``max_bytes`` at most, decompressed.

    Raises:
        EngineFailed: it has more.
    """
    body = bytearray()
    async for chunk in response.aiter_bytes():
        body += chunk
        if len(body) > max_bytes:
            raise EngineFailed(f"the engine's answer has more than {max_bytes} bytes")
    return bytes(body)


async def _beginning(response: httpx.Response) -> bytes:
    body = bytearray()
    with suppress(httpx.HTTPError, TimeoutError):
        async with asyncio.timeout(_ERROR_S):
            async for chunk in response.aiter_bytes():
                body += chunk
                if len(body) >= _ERROR_BYTES:
                    break
    return bytes(body[:_ERROR_BYTES])
