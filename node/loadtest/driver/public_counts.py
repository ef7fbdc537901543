"""The gateway's public counts of jobs: of all, and of each node."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from urllib.parse import urlencode

from pydantic_core import from_json

from node.domain.errors import TransportError
from node.domain.ids import NodeId
from node.loadtest.driver.policy import DriverPolicy
from node.loadtest.driver.target import Target
from node.ports.transport import Request
from node.protocol.routes import Step


async def total_job_count(target: Target, policy: DriverPolicy) -> int | None:
    """How many jobs the gateway was ever given; None where it does not tell."""
    return await _ask(target, Step.TOTAL_JOB_COUNT, "", policy)


async def node_job_counts(nodes: Sequence[NodeId], target: Target, policy: DriverPolicy) -> dict[NodeId, int]:
    """How many jobs each node was ever credited with, of those nodes of which the gateway tells.

    ``policy.ask_at_once`` are asked for at the same time.
    """
    found: dict[NodeId, int] = {}
    left = iter(nodes)
    async with asyncio.TaskGroup() as group:
        for number in range(min(policy.ask_at_once, len(nodes))):
            group.create_task(_ask_all(left, found, target, policy), name=f"ask for counts {number}")
    return found


async def _ask_all(nodes: Iterator[NodeId], found: dict[NodeId, int], target: Target, policy: DriverPolicy) -> None:
    for node in nodes:
        count = await _ask(target, Step.NODE_JOB_COUNT, f"?{urlencode({'node_name': node})}", policy)
        if count is not None:
            found[node] = count


async def _ask(target: Target, step: Step, query: str, policy: DriverPolicy) -> int | None:
    url = f"{target.gateway_url.rstrip('/')}{step.route.path}{query}"
    request = Request(step.route.method, url, (("api_key", target.api_key.reveal()),))
    try:
        reply = await target.transport.exchange(request, policy.ask_s)
        content = from_json(reply.body) if reply.status == 200 else None
    except (TransportError, ValueError):
        return None
    # The family's documentation names no shape: a bare number, or an object with one that is.
    told = [content] if not isinstance(content, dict) else list(content.values())
    counts = [value for value in told if isinstance(value, int) and not isinstance(value, bool)]
    return counts[0] if len(counts) == 1 else None
