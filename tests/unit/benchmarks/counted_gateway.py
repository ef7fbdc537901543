"""A gateway of static answers that counts what it is asked, as nginx does for the benchmarks."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
from collections import Counter
from collections.abc import AsyncIterator

from benchmarks.static_gateway import POLL, RESULT, TOKEN

JOB = {
    "job_id": "",
    "api_key": "developer-key",
    "model": "bench:latest",
    "messages": [{"role": "user", "content": "Name a river."}],
    "max_output": 16,
    "temperature": 0.5,
}


class CountedGateway:
    """Brings a job with each poll, or with none; ``status`` is that of its answers to results."""

    def __init__(self, *, brings_jobs: bool, status: int = 200) -> None:
        self.brings_jobs = brings_jobs
        self.status = status
        self.url = ""
        self.asked: Counter[str] = Counter()
        self._all = 0

    def requests(self) -> int:
        self._all += 1
        return self._all

    def sample(self) -> Counter[str]:
        asked, self.asked = self.asked, Counter()
        return asked

    @contextlib.asynccontextmanager
    async def serving(self) -> AsyncIterator[CountedGateway]:
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        async with server:
            yield self

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError), contextlib.closing(writer):
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                length = re.search(r"(?i)content-length: (\d+)", head)
                await reader.readexactly(int(length[1]) if length else 0)
                method, target, _ = head.split(" ", 2)
                path = target.partition("?")[0]
                status = self.status if path == RESULT else 200
                self._all += 1
                self.asked[f"{method} {path} {status}"] += 1
                body = json.dumps(self._answer(path)).encode()
                writer.write(f"HTTP/1.1 {status} X\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body)
                await writer.drain()

    def _answer(self, path: str) -> dict[str, object]:
        if path == POLL:
            return {"job_data": {**JOB, "job_id": f"job-{self._all}"} if self.brings_jobs else None}
        if path == "/worker/register_node":
            return {"access_token": TOKEN}
        return {"status": "ok", "valid_credentials": True, "points": 1.0, "pointsraw": 1.0}
