from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from node.domain import events as ev
from node.domain.errors import TimedOut, TransportError
from node.domain.policies import BackOff
from node.domain.secret import Secret
from node.observability.bus import EventBus
from node.observability.event_documents import Documents
from node.observability.webhook import Webhook, WebhookPolicy
from node.ports.transport import Reply, Request
from node.runtime.signals import Signal
from tests.support.events import RecordingSink
from tests.support.virtual_time import VirtualClock, in_virtual_time
from tests.unit.observability.sample_events import KEY

URL = "https://hooks.example/T000/B000/secret-part"
POLICY = WebhookPolicy(Secret(URL), back_off=BackOff(base_s=1.0, cap_s=4.0))
LOST = ev.ResultLost(KEY, "the disk was full")


class ScriptedTransport:
    """Answers with one status or error after another, the last for ever."""

    def __init__(self, *answers: int | TransportError) -> None:
        self._answers = list(answers)
        self.requests: list[Request] = []

    async def exchange(self, request: Request, timeout_s: float) -> Reply:
        self.requests.append(request)
        await asyncio.sleep(0.1)
        answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        if isinstance(answer, TransportError):
            raise answer
        return Reply(answer, {}, b"")

    async def aclose(self) -> None: ...

    def documents(self) -> list[dict[str, Any]]:
        return [json.loads(request.body or b"") for request in self.requests]


async def posted(
    transport: ScriptedTransport,
    emit: Callable[[EventBus], object],
    policy: WebhookPolicy = POLICY,
    lasting_s: float = 60,
) -> tuple[Webhook, list[str]]:
    clock, sink, bus, stop = VirtualClock(), RecordingSink(), EventBus(), Signal()
    webhook = Webhook(policy, Documents("box-7", clock, str), transport, clock, random.Random(1), sink)
    bus.attach(webhook)
    task = asyncio.create_task(webhook.run(stop))
    emit(bus)
    await asyncio.sleep(lasting_s)
    stop.set()
    await task
    assert bus.failures == 0
    return webhook, [notice.text for notice in sink.of(ev.Notice)]


@in_virtual_time
async def test_trouble_is_posted_and_routine_is_not() -> None:
    transport = ScriptedTransport(204)

    def emit(bus: EventBus) -> None:
        bus.emit(ev.JobEnded(KEY, "ollama", "m", 1.0, 1))
        bus.emit(LOST)

    webhook, told = await posted(transport, emit)
    (request,) = transport.requests
    assert (request.method, request.url) == ("POST", URL)
    assert dict(request.headers)["content-type"] == "application/json"
    assert transport.documents()[0]["type"] == "job.lost"
    assert transport.documents()[0]["dropped"] == 0
    assert (webhook.sent, webhook.dropped, told) == (1, 0, [])


@in_virtual_time
async def test_passing_faults_are_tried_again_a_little() -> None:
    transport = ScriptedTransport(503, TimedOut("slow"), 200)
    webhook, told = await posted(transport, lambda bus: bus.emit(LOST))
    assert len(transport.requests) == 3
    assert (webhook.sent, told) == (1, [])
    transport = ScriptedTransport(429)
    webhook, told = await posted(transport, lambda bus: bus.emit(LOST))
    assert len(transport.requests) == POLICY.attempts
    assert (webhook.sent, webhook.dropped) == (0, 1)
    assert told == [
        "the webhook does not take troubles: HTTP 429",
        "1 troubles were not posted to the webhook, 0 were",
    ]
    assert "secret-part" not in f"{told}{POLICY}"


@pytest.mark.parametrize("status", [404, 302])
@in_virtual_time
async def test_what_is_refused_for_good_is_not_tried_again(status: int) -> None:
    transport = ScriptedTransport(status, 200)

    def emit(bus: EventBus) -> None:
        bus.emit(LOST)
        bus.emit(LOST)

    webhook, _ = await posted(transport, emit)
    assert len(transport.requests) == 2
    assert (webhook.sent, webhook.dropped) == (1, 1)
    assert transport.documents()[1]["dropped"] == 1


@in_virtual_time
async def test_a_flood_is_limited_by_type_and_counted() -> None:
    transport = ScriptedTransport(200)

    def emit(bus: EventBus) -> None:
        for _ in range(100):
            bus.emit(LOST)
        bus.emit(ev.ResultBuried(KEY, "HTTP 404"))

    webhook, _ = await posted(transport, emit)
    assert webhook.sent == POLICY.per_minute + 1
    assert webhook.dropped == 100 - POLICY.per_minute
    assert transport.documents()[-1]["type"] == "job.refused"


@in_virtual_time
async def test_an_address_that_hangs_holds_up_the_end_for_a_bounded_time() -> None:
    transport = ScriptedTransport(TimedOut("slow"))

    def emit(bus: EventBus) -> None:
        for _ in range(30):
            bus.emit(LOST)

    began = asyncio.get_running_loop().time()
    policy = replace(POLICY, per_minute=30, flush_s=2.0, back_off=BackOff(base_s=30.0, cap_s=60.0))
    webhook, told = await posted(transport, emit, policy, lasting_s=1.0)
    assert asyncio.get_running_loop().time() - began < 3.5
    assert webhook.dropped == 30
    assert told[-1] == "30 troubles were not posted to the webhook, 0 were"
