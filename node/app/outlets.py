"""Where a node in production tells of itself to other systems: traces, a Kafka topic, a web address for troubles."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final, Protocol

from node.app.telemetry import Telemetry
from node.domain.events import Notice
from node.observability.event_documents import Documents
from node.observability.event_stream import KafkaPolicy, KafkaStream
from node.observability.live_metrics import Outlet, OutletCollector
from node.observability.otlp import OtlpExport, OtlpPolicy
from node.observability.trace_book import TraceBook
from node.observability.tracing import TraceSubscriber
from node.observability.webhook import Webhook, WebhookPolicy
from node.ports.clock import Clock, Random
from node.ports.events import EventSink
from node.ports.transport import TransportFactory
from node.runtime.signals import Signal
from node.runtime.tasks import TaskOwner
from node.settings.model import Settings

_LAST_S: Final = 3.0
"""How long the end waits for all of them together; they end side by side."""

_LOOK_S: Final = 2.0


@dataclass(frozen=True, slots=True)
class OutletGround:
    """What the outlets stand on."""

    telemetry: Telemetry
    transports: TransportFactory
    clock: Clock
    random: Random
    worker: str


class _Runs(Protocol):
    async def run(self, stop: Signal, left_s: Callable[[], float]) -> None:
        """Send until ``stop`` is set, then what waits, for ``left_s`` at most."""
        ...


@dataclass(frozen=True, slots=True)
class _Traces:
    """Spans on their way to a collector."""

    export: OtlpExport
    subscriber: TraceSubscriber
    events: EventSink

    async def run(self, stop: Signal, left_s: Callable[[], float]) -> None:
        was_failing = False
        while not await stop.wait(_LOOK_S):
            # Exports happen on another thread, and whatever they say of themselves they say for each one.
            if (is_failing := self.export.is_failing) is not was_failing:
                was_failing = is_failing
                text = "the collector does not take traces" if is_failing else "the collector takes traces again"
                self.events.emit(Notice("events", text, is_trouble=is_failing))
        self.subscriber.finish()
        await self.export.aclose(left_s())


@contextlib.asynccontextmanager
async def outlets(
    settings: Settings, ground: OutletGround, left_s: Callable[[], float] = lambda: _LAST_S
) -> AsyncIterator[TraceBook]:
    """Tell the systems that the settings name, within the block; what waits at its end is sent, for a few seconds.

    What it gives says which jobs are sampled, be they traced or not. ``left_s`` is asked at the end how long the
    program may take to end: no more is waited for.

    Raises:
        InvalidInput: the extra that one needs is not installed.
    """
    async with contextlib.AsyncExitStack() as stack:
        bus = ground.telemetry.bus
        book = TraceBook(ground.random, settings.tracing.sample_rate)
        bus.attach(book)
        opened: dict[str, Outlet] = {}
        runs: list[_Runs] = []
        documents = Documents(ground.worker, ground.clock, ground.telemetry.redactor.redact)
        if settings.tracing.url:
            traces = await _open_traces(settings, ground, book)
            bus.attach(traces.subscriber)
            opened["traces"] = traces.export
            runs.append(traces)
        if settings.events.kafka:
            policy = KafkaPolicy(bootstrap_servers=settings.events.kafka, topic=settings.events.topic)
            stream = KafkaStream.open(policy, documents, ground.random, bus)
            bus.attach(stream)
            opened["kafka"] = stream
            runs.append(stream)
        if settings.events.webhook:
            transport = ground.transports.open(None)
            stack.push_async_callback(transport.aclose)
            hook = Webhook(
                *(WebhookPolicy(settings.events.webhook), documents, transport),
                *(ground.clock, ground.random, bus),
            )
            bus.attach(hook)
            opened["webhook"] = hook
            runs.append(hook)
        if opened:
            ground.telemetry.metrics.observe(OutletCollector(opened))
        await stack.enter_async_context(_running(runs, left_s, bus))
        yield book


@contextlib.asynccontextmanager
async def _running(runs: Sequence[_Runs], left_s: Callable[[], float], events: EventSink) -> AsyncIterator[None]:
    """Run them within the block; a defect of one is told, and ends neither the others nor the node."""
    stop, tasks = Signal(), TaskOwner(events.emit)
    for outlet in runs:
        tasks.start(outlet.run(stop, lambda: min(_LAST_S, left_s())), type(outlet).__name__)
    try:
        yield
    finally:
        stop.set()
        await tasks.join()


async def _open_traces(settings: Settings, ground: OutletGround, book: TraceBook) -> _Traces:
    policy = OtlpPolicy(settings.tracing.url, ground.worker, redact=ground.telemetry.redactor.redact)
    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="traces") as thread:
        # The SDK takes some tenths of a second to import.
        export = await asyncio.get_running_loop().run_in_executor(thread, OtlpExport.open, policy)
    return _Traces(export, TraceSubscriber(export.export, book, ground.clock), ground.telemetry.bus)
