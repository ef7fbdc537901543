"""The models of an Ollama server, through its official client.

Importing this module imports that client, a quarter of a second.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import aclosing, contextmanager, suppress
from typing import Final, cast

import httpx
import ollama

from node.domain.errors import EngineFailed, ExecutorError
from node.executors.engine_calls import EngineAbsent
from node.executors.ollama_client import OllamaClient
from node.executors.ollama_policy import FOR_EVER, OllamaPolicy
from node.ports.library import LoadedModel, PullProgress, StoredModel

_AT_ONCE: Final = 0
"""The value of ``keep_alive`` that ends it."""


class OllamaLibrary:
    """Lists, pulls, loads and unloads the models of an Ollama server.

    A list is given up after ``list_s`` seconds; the others run until the caller's cancellation. ``tls`` serves an
    ``https`` URL.
    """

    def __init__(self, policy: OllamaPolicy, tls: ssl.SSLContext, list_s: float = 30.0) -> None:
        self._engine = policy.name
        self._list_s = list_s
        self._client = OllamaClient(policy, tls)

    @property
    def engine(self) -> str:
        """See `node.ports.library.ModelLibrary.engine`."""
        return self._engine

    @property
    def manages(self) -> bool:
        """See `node.ports.library.ModelLibrary.manages`: it does."""
        return True

    async def parallel(self) -> int | None:
        """See `node.ports.library.ModelLibrary.parallel`: nothing in Ollama's API tells it. It is not asked."""
        return None

    async def stored(self) -> tuple[StoredModel, ...]:
        """See `node.ports.library.ModelLibrary.stored`."""
        with self._failing("list its models"):
            async with asyncio.timeout(self._list_s):
                listed = await self._client.api().list()
        return tuple(StoredModel(model.model, _bytes(model.size)) for model in listed.models if model.model)

    async def loaded(self) -> tuple[LoadedModel, ...]:
        """See `node.ports.library.ModelLibrary.loaded`."""
        with self._failing("list its loaded models"):
            async with asyncio.timeout(self._list_s):
                listed = await self._client.api().ps()
        return tuple(
            LoadedModel(name, _bytes(model.size), _bytes(model.size_vram))
            for model in listed.models
            if (name := model.model or model.name)
        )

    async def pull(self, model: str, on_progress: Callable[[PullProgress], object] = lambda _: None) -> None:
        """See `node.ports.library.ModelLibrary.pull`. The bytes are those of all parts that have begun."""
        sizes: dict[str, tuple[int, int]] = {}
        async with aclosing(self._pulling(model)) as lines:
            async for line in lines:
                if line.digest and line.total:
                    sizes[line.digest] = (line.completed or 0, line.total)
                on_progress(_progress(line.status or "", sizes))
                if line.status == "success":
                    return
        raise EngineFailed(f"{self._engine} did not say that it has pulled {model!r}")

    async def load(self, model: str) -> None:
        """See `node.ports.library.ModelLibrary.load`."""
        await self._keep(model, FOR_EVER)

    async def unload(self, model: str) -> None:
        """See `node.ports.library.ModelLibrary.unload`."""
        await self._keep(model, _AT_ONCE)

    async def aclose(self) -> None:
        """See `node.ports.library.ModelLibrary.aclose`."""
        with suppress(httpx.HTTPError, OSError):
            await self._client.aclose()

    async def _pulling(self, model: str) -> AsyncGenerator[ollama.ProgressResponse, None]:
        with self._failing("pull", model):
            stream = await self._client.api().pull(model, stream=True)
            async with aclosing(cast("AsyncGenerator[ollama.ProgressResponse, None]", stream)) as lines:
                async for line in lines:
                    yield line

    async def _keep(self, model: str, keep_alive: int) -> None:
        """Ask for nothing but how long the model is to stay; one that does not chat is asked for no vectors."""
        with self._failing("load" if keep_alive else "unload", model):
            try:
                await self._client.api().chat(model, [], keep_alive=keep_alive)
            except ollama.ResponseError as error:
                match error.status_code:
                    case 404 if keep_alive == _AT_ONCE:
                        return
                    case 400:
                        await self._client.api().embed(model, [], keep_alive=keep_alive)
                    case _:
                        raise

    @contextmanager
    def _failing(self, action: str, model: str = "") -> Iterator[None]:
        try:
            with self._client.errors(model):
                yield
        except TimeoutError:
            raise EngineFailed(f"{self._engine} did not {action} in {self._list_s:g} s") from None
        except EngineFailed:
            raise
        except EngineAbsent as error:
            raise EngineFailed(str(error), told=error.told) from error
        except ExecutorError as error:
            problem = f"{self._engine} could not {action} {model!r}"
            raise EngineFailed(f"{problem}: {error}", told=f"{problem}: {error.told}") from error


def _bytes(size: int | None) -> int | None:
    return None if size is None else int(size)


def _progress(status: str, sizes: dict[str, tuple[int, int]]) -> PullProgress:
    if not sizes:
        return PullProgress(status)
    return PullProgress(status, sum(done for done, _ in sizes.values()), sum(total for _, total in sizes.values()))
