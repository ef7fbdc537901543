"""Where a node in production tells of itself to other systems: traces, a Kafka topic, a web address for troubles."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from node.app.telemetry import Telemetry
from node.observability.event_documents import Documents
from node.observability.event_stream import KafkaPolicy, KafkaStream
from node.observability.live_metrics import Outlet, OutletCollector
from node.observability.otlp import OtlpExport, OtlpPolicy
from node.observability.trace_book import TraceBook
from node.observability.tracing import TraceSubscriber
from node.observability.webhook import Webhook, WebhookPolicy
from node.ports.clock import Clock, Random
from node.ports.traces import Traces, Untraced
from node.ports.transport import TransportFactory
from node.runtime.signals import Signal
from node.settings.model import Settings


@dataclass(frozen=True, slots=True)
class OutletGround:
    """What the outlets stand on."""

    telemetry: Telemetry
    transports: TransportFactory
    clock: Clock
    random: Random
    worker: str


@contextlib.asynccontextmanager
async def outlets(settings: Settings, ground: OutletGround) -> AsyncIterator[Traces]:
    """Tell the systems that the settings name, within the block; what waits at its end is sent, for some seconds.

    What it gives says which jobs are traced.

    Raises:
        InvalidInput: the extra that one needs is not installed.
    """
    async with contextlib.AsyncExitStack() as stack:
        traces: Traces = Untraced()
        if settings.tracing.url:
            traces = await stack.enter_async_context(_traces(settings, ground))
        opened: dict[str, Outlet] = {}
        runs: list[Webhook | KafkaStream] = []
        documents = Documents(ground.worker, ground.clock, ground.telemetry.redactor.redact)
        if settings.events.kafka:
            policy = KafkaPolicy(bootstrap_servers=settings.events.kafka, topic=settings.events.topic)
            stream = KafkaStream.open(policy, documents, ground.random, ground.telemetry.bus)
            opened["kafka"] = stream
            runs.append(stream)
        if settings.events.webhook:
            transport = ground.transports.open(None)
            stack.push_async_callback(transport.aclose)
            hook = Webhook(
                *(WebhookPolicy(settings.events.webhook), documents, transport),
                *(ground.clock, ground.random, ground.telemetry.bus),
            )
            opened["webhook"] = hook
            runs.append(hook)
        if opened:
            ground.telemetry.metrics.observe(OutletCollector(opened))
        await stack.enter_async_context(_running(runs, ground))
        yield traces


@contextlib.asynccontextmanager
async def _running(runs: list[Webhook | KafkaStream], ground: OutletGround) -> AsyncIterator[None]:
    stop, loop = Signal(), asyncio.get_running_loop()
    for outlet in runs:
        ground.telemetry.bus.attach(outlet)
    tasks = [loop.create_task(outlet.run(stop), name=type(outlet).__name__) for outlet in runs]
    try:
        yield
    finally:
        stop.set()
        await asyncio.gather(*tasks)


@contextlib.asynccontextmanager
async def _traces(settings: Settings, ground: OutletGround) -> AsyncIterator[TraceBook]:
    loop = asyncio.get_running_loop()
    thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="traces")
    try:
        # The SDK takes some tenths of a second to import.
        policy = OtlpPolicy(settings.tracing.url, ground.worker)
        export = await loop.run_in_executor(thread, OtlpExport.open, policy)
        book = TraceBook(ground.random, settings.tracing.sample_rate)
        subscriber = TraceSubscriber(export.export, book, ground.clock)
        ground.telemetry.bus.attach(subscriber)
        try:
            yield book
        finally:
            subscriber.finish()
            await export.aclose(thread)
    finally:
        thread.shutdown(wait=False)
