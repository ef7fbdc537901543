"""httpx as a node: polls, and posts the result of each job. Arguments: URL, users, ``own`` or ``shared`` clients.

Clients of their own share the TLS context, whose making takes longer than all the rest.
"""

from __future__ import annotations

import asyncio
import sys
from typing import Final

import httpx
import uvloop

from benchmarks.static_gateway import POLL, RESULT, TOKEN
from node.gateway.tls import client_context

HEADERS: Final = {"authorization": f"Bearer {TOKEN}"}


async def work(client: httpx.AsyncClient) -> None:
    """Poll and answer, without end."""
    while True:
        job = (await client.get(f"{POLL}?node_version=0.0.4", headers=HEADERS)).json()["job_data"]
        if job:
            result = {
                "job_id": job["job_id"],
                "api_key": job["api_key"],
                "model_name": job["model"],
                "result": {"message": {"role": "assistant", "content": "word"}},
                "status": "success",
            }
            await client.post(RESULT, json=result, headers=HEADERS)


async def main(url: str, users: int, clients: str) -> None:
    """Run so many users."""
    context = client_context()
    made = [
        httpx.AsyncClient(base_url=url, verify=context, limits=httpx.Limits(max_connections=None), timeout=30)
        for _ in range(users if clients == "own" else 1)
    ]
    async with asyncio.TaskGroup() as group:
        for number in range(users):
            group.create_task(work(made[number % len(made)]))


if __name__ == "__main__":
    uvloop.run(main(sys.argv[1], int(sys.argv[2]), sys.argv[3]))
