"""Events to Kafka: librdkafka's mock cluster takes them, and they are read back from it."""

from __future__ import annotations

import asyncio
import json
import random
import socket
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import confluent_kafka
import pytest

from node.domain import events as ev
from node.domain.errors import InvalidInput
from node.domain.policies import BackOff
from node.observability.bus import EventBus
from node.observability.event_documents import FORMS, Documents
from node.observability.event_stream import MAX_BYTES, KafkaPolicy, KafkaStream
from node.runtime.signals import Signal
from node.runtime.system import SystemClock
from tests.support.events import RecordingSink
from tests.support.waiting import wait_until
from tests.unit.observability.sample_events import EVENTS, KEY, NODE

TOPIC = "node-events"


@pytest.fixture
def brokers() -> Iterator[str]:
    producer = confluent_kafka.Producer({"test.mock.num.brokers": 1, "log_level": 0})
    known = producer.list_topics(timeout=10).brokers.values()
    yield ",".join(f"{broker.host}:{broker.port}" for broker in known)
    producer.flush(1)


def read_back(brokers: str, count: int) -> list[tuple[bytes, dict[str, Any]]]:
    settings = {"bootstrap.servers": brokers, "group.id": "test", "log_level": 0}
    consumer = confluent_kafka.Consumer(settings)
    try:
        partitions = consumer.list_topics(TOPIC, timeout=10).topics[TOPIC].partitions
        consumer.assign([confluent_kafka.TopicPartition(TOPIC, number, 0) for number in partitions])
        messages, end = [], time.monotonic() + 15
        while len(messages) < count and time.monotonic() < end:
            message = consumer.poll(0.5)
            if message is not None and message.error() is None:
                messages.append((message.key(), json.loads(message.value())))
        return messages
    finally:
        consumer.close()


def opened(policy: KafkaPolicy) -> tuple[KafkaStream, EventBus, RecordingSink]:
    sink, bus = RecordingSink(), EventBus()
    documents = Documents("box-7", SystemClock(), lambda text: text.replace("hunter2", "***"))
    stream = KafkaStream.open(policy, documents, random.Random(1), sink)
    bus.attach(stream)
    return stream, bus, sink


async def test_events_land_and_are_read_back(brokers: str) -> None:
    stream, bus, sink = opened(KafkaPolicy((brokers,), TOPIC))
    told = [event for event in EVENTS if type(event) in FORMS]
    stop = Signal()
    task = asyncio.create_task(stream.run(stop))
    for event in EVENTS:
        bus.emit(event)
    await wait_until(lambda: stream.sent == len(told))
    bus.emit(ev.ResultLost(KEY, "hunter2"))
    stop.set()
    await task
    assert (stream.sent, stream.dropped) == (len(told) + 1, 0)
    assert bus.failures == 0
    messages = await asyncio.to_thread(read_back, brokers, len(told) + 1)
    of_node = [document for key, document in messages if key == NODE.encode()]
    assert sorted(document["type"] for _, document in messages) == sorted(
        [FORMS[type(event)].type for event in told] + ["job.lost"]
    )
    assert of_node[-1]["reason"] == "***"
    assert {document["v"] for _, document in messages} == {1}
    assert sink.events == []


async def test_brokers_that_are_away_cost_nothing_but_old_events() -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{closed.getsockname()[1]}"
        policy = KafkaPolicy((address,), TOPIC, queue=10, flush_s=0.3, back_off=BackOff(base_s=0.05, cap_s=0.1))
        stream, bus, sink = opened(policy)
        stop = Signal()
        task = asyncio.create_task(stream.run(stop))
        for _ in range(25):
            bus.emit(ev.ResultLost(KEY, "x"))
        await wait_until(lambda: sink.of(ev.Notice))
        stop.set()
        await task
    assert (stream.sent, stream.dropped) == (0, 25)
    texts = [notice.text for notice in sink.of(ev.Notice)]
    assert "does not take events (KafkaConnectionError)" in texts[0]
    assert texts[1:] == ["25 events were not sent to Kafka, 0 were"]


async def test_events_from_before_the_brokers_came_are_sent(brokers: str) -> None:
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))
        port = reserved.getsockname()[1]
    policy = KafkaPolicy((f"127.0.0.1:{port}",), TOPIC, back_off=BackOff(base_s=0.05, cap_s=0.1))
    stream, bus, sink = opened(policy)
    stop = Signal()
    task = asyncio.create_task(stream.run(stop))
    bus.emit(ev.ResultLost(KEY, "x"))
    await wait_until(lambda: sink.of(ev.Notice))
    host, _, real = brokers.partition(":")

    async def relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        their_reader, their_writer = await asyncio.open_connection(host, int(real))
        await asyncio.gather(pipe(reader, their_writer), pipe(their_reader, writer))

    async def pipe(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            writer.write(data)
        writer.close()

    server = await asyncio.start_server(relay, "127.0.0.1", port)
    await wait_until(lambda: stream.sent == 1)
    assert "takes events again; 0 were dropped" in sink.of(ev.Notice)[-1].text
    stop.set()
    await task
    server.close()
    await server.wait_closed()


async def test_an_event_too_long_is_dropped(brokers: str) -> None:
    stream, bus, _ = opened(replace(KafkaPolicy((brokers,), TOPIC), queue=5))
    bus.emit(ev.ResultLost(KEY, "x" * MAX_BYTES))
    assert stream.dropped == 1
    for _ in range(7):
        bus.emit(ev.ResultLost(KEY, "x"))
    assert stream.dropped == 3


async def test_brokers_that_die_while_events_flow_do_not_hold_up_the_end() -> None:
    cluster = [confluent_kafka.Producer({"test.mock.num.brokers": 1, "log_level": 0})]
    (broker,) = cluster[0].list_topics(timeout=10).brokers.values()
    back_off = BackOff(base_s=0.05, cap_s=0.1)
    policy = KafkaPolicy((f"{broker.host}:{broker.port}",), TOPIC, request_s=0.5, flush_s=0.5, back_off=back_off)
    stream, bus, sink = opened(policy)
    stop = Signal()
    task = asyncio.create_task(stream.run(stop))
    bus.emit(ev.ResultLost(KEY, "x"))
    await wait_until(lambda: stream.sent == 1)
    cluster.clear()
    for _ in range(3):
        bus.emit(ev.ResultLost(KEY, "x"))
    await wait_until(lambda: sink.of(ev.Notice))
    stop.set()
    async with asyncio.timeout(10):
        await task
    assert (stream.sent, stream.dropped) == (1, 3)
    assert sink.of(ev.Notice)[-1].text == "3 events were not sent to Kafka, 1 were"
    assert asyncio.all_tasks() == {asyncio.current_task()}


def test_without_the_extra_the_remedy_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "aiokafka", None)
    with pytest.raises(InvalidInput, match=r"llm-worker-node\[kafka\]"):
        opened(KafkaPolicy(("127.0.0.1:1",), TOPIC))
