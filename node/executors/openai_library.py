"""The models of an OpenAI-compatible server."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from contextlib import suppress

import httpx

from node.domain.errors import EngineFailed, ExecutorError
from node.executors.openai_client import OpenAiClient
from node.executors.openai_policy import OpenAiPolicy
from node.ports.library import LoadedModel, PullProgress, StoredModel


class OpenAiLibrary:
    """Lists what the server has, and manages nothing: such servers load what they were started with.

    What is asked for is given up after ``list_s`` seconds. ``tls`` serves an ``https`` URL.
    """

    def __init__(self, policy: OpenAiPolicy, tls: ssl.SSLContext, list_s: float = 30.0) -> None:
        self._engine = policy.name
        self._list_s = list_s
        self._client = OpenAiClient(policy, tls)

    @property
    def engine(self) -> str:
        """See `node.ports.library.ModelLibrary.engine`."""
        return self._engine

    @property
    def manages(self) -> bool:
        """See `node.ports.library.ModelLibrary.manages`: it does not."""
        return False

    async def parallel(self) -> int | None:
        """See `node.ports.library.ModelLibrary.parallel`: llama.cpp's own server and SGLang tell."""
        with suppress(TimeoutError):
            async with asyncio.timeout(self._list_s):
                return await self._client.parallel()
        return None

    async def stored(self) -> tuple[StoredModel, ...]:
        """See `node.ports.library.ModelLibrary.stored`; sizes are not told."""
        try:
            async with asyncio.timeout(self._list_s):
                names = await self._client.models()
        except TimeoutError:
            raise EngineFailed(f"{self._engine} did not list its models in {self._list_s:g} s") from None
        except EngineFailed:
            raise
        except ExecutorError as error:
            raise EngineFailed(str(error), told=error.told) from error
        return tuple(StoredModel(name) for name in dict.fromkeys(names))

    async def loaded(self) -> tuple[LoadedModel, ...]:
        """See `node.ports.library.ModelLibrary.loaded`; it cannot tell."""
        return ()

    async def pull(self, model: str, on_progress: Callable[[PullProgress], object] = lambda _: None) -> None:
        """See `node.ports.library.ModelLibrary.pull`; always raises."""
        del on_progress
        raise self._unmanaged("pull", model)

    async def load(self, model: str) -> None:
        """See `node.ports.library.ModelLibrary.load`; always raises."""
        raise self._unmanaged("load", model)

    async def unload(self, model: str) -> None:
        """See `node.ports.library.ModelLibrary.unload`; always raises."""
        raise self._unmanaged("unload", model)

    async def aclose(self) -> None:
        """See `node.ports.library.ModelLibrary.aclose`."""
        with suppress(httpx.HTTPError, OSError):
            await self._client.aclose()

    def _unmanaged(self, action: str, model: str) -> EngineFailed:
        return EngineFailed(f"{self._engine} cannot be asked to {action} {model!r}: it has what it was started with")
