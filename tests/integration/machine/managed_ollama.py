"""An Ollama server that keeps models: on its disk, in its memory, and elsewhere to be fetched."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack

from node.domain.model_names import full_name
from tests.unit.executors.ollama_server import (
    Exchange,
    OllamaServer,
    Script,
    answering,
    listing,
    moving,
    refusing,
    saying,
)

MODEL_BYTES = 45


class ManagedOllama(OllamaServer):
    """``remote`` are models that can be fetched, in a download that waits for `arrived`; what is asked of models is
    kept in ``log``. While `free` is not set, nothing is taken out of memory.
    """

    def __init__(self, *models: str, remote: tuple[str, ...] = ()) -> None:
        super().__init__(self.asked)
        self.models = list(models)
        self.remote = remote
        self.in_memory: dict[str, object] = {}
        self.log: list[str] = []
        self.arrived = asyncio.Event()
        self.free = asyncio.Event()
        self.free.set()
        self.answers: Script = answering("Well.")

    def listed(self, path: str) -> Script | None:
        if path == "/api/tags":
            return listing(*({"model": name, "size": MODEL_BYTES} for name in self.models))
        if path == "/api/ps":
            sizes = {"size": MODEL_BYTES, "size_vram": MODEL_BYTES}
            return listing(*({"model": name, **sizes} for name in self.in_memory))
        return None

    async def restart(self) -> None:
        """End as a killed process does, and come back on the same port with nothing in memory."""
        port = int(self.url.rpartition(":")[2])
        await self.stop()
        self.in_memory.clear()
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", port)

    async def asked(self, exchange: Exchange) -> None:
        model = full_name(exchange.chat["model"])
        if exchange.path == "/api/pull":
            await self._pull(exchange, model)
        elif model not in self.models:
            await refusing(404, f"model '{model}' not found")(exchange)
        elif exchange.path == "/api/chat" and not exchange.chat["messages"]:
            await self._move(exchange, model)
        else:
            self.in_memory[model] = exchange.chat.get("keep_alive", self.in_memory.get(model))
            self.log.append(f"chat {model}")
            await self.answers(exchange)

    async def _pull(self, exchange: Exchange, model: str) -> None:
        self.log.append(f"pull {model}")
        if model not in self.remote:
            await saying(200, "application/x-ndjson", b'{"error":"file does not exist"}\n')(exchange)
            return
        await exchange.head()
        await exchange.line({"status": "pulling manifest"})
        await exchange.line({"status": "pulling aa", "digest": "aa", "total": MODEL_BYTES})
        await exchange.line({"status": "pulling aa", "digest": "aa", "total": MODEL_BYTES, "completed": 5})
        await self.arrived.wait()
        self.models.append(model)
        await exchange.line({"status": "success"})
        await exchange.end()

    async def _move(self, exchange: Exchange, model: str) -> None:
        if exchange.chat["keep_alive"]:
            self.log.append(f"load {model}")
            self.in_memory[model] = exchange.chat["keep_alive"]
        else:
            self.log.append(f"unload {model}")
            await self.free.wait()
            self.in_memory.pop(model, None)
        await moving(exchange)


async def started(stack: AsyncExitStack, server: ManagedOllama) -> ManagedOllama:
    """Start it, and stop it at the end of the stack."""
    await server.start()
    stack.push_async_callback(server.stop)
    return server
