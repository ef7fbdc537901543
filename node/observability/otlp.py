"""Hands spans to an OpenTelemetry collector by OTLP over HTTP; needs the extra ``tracing``."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from concurrent.futures import Executor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from node import __version__
from node.domain.errors import InputFault, InvalidInput
from node.domain.secret import Secret
from node.domain.trace import TraceContext
from node.observability.tracing import Span

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SpanExporter
    from opentelemetry.sdk.trace.id_generator import IdGenerator
    from opentelemetry.trace import Tracer

_TRACES_PATH: Final = "/v1/traces"
_BATCH: Final = 512
_NANOSECONDS: Final = 1_000_000_000


@dataclass(frozen=True, slots=True)
class OtlpPolicy:
    """Where spans go, and as whose.

    ``endpoint`` is the collector's base URL (``http://collector:4318``), or a whole one with a path. ``headers`` are
    sent with every export.
    """

    endpoint: str
    worker: str
    service: str = "llm-worker-node"
    headers: Mapping[str, Secret] = field(default_factory=dict)
    timeout_s: float = 5.0
    """Time for one export, its repetitions included."""
    queue: int = 2048
    """Spans that wait at most; beyond, new ones push out the oldest."""
    batch_every_s: float = 5.0


class OtlpExport:
    """Takes spans without waiting; a thread of the OpenTelemetry SDK sends them in batches."""

    def __init__(self, provider: TracerProvider, exporter: SpanExporter, ids: _GivenIds, tracer: Tracer) -> None:
        """Made by `open`."""
        self._provider = provider
        self._exporter = exporter
        self._ids = ids
        self._tracer = tracer

    @classmethod
    def open(cls, policy: OtlpPolicy) -> OtlpExport:
        """Load the SDK, which takes some tenths of a second, and start its thread; nothing is connected yet.

        Raises:
            InvalidInput: the extra is not installed.
        """
        try:
            from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
            from opentelemetry.sdk.resources import Resource
            from opentelemetry.sdk.trace import TracerProvider
            from opentelemetry.sdk.trace.export import BatchSpanProcessor
            from opentelemetry.sdk.trace.sampling import ALWAYS_ON
        except ImportError as error:
            remedy = "install it: pip install 'llm-worker-node[tracing]'"
            raise InvalidInput([InputFault("tracing", "OpenTelemetry is not installed", remedy)]) from error
        exporter = OTLPSpanExporter(
            endpoint=_whole(policy.endpoint),
            headers={name: value.reveal() for name, value in policy.headers.items()},
            timeout=policy.timeout_s,
        )
        resource = Resource.create(
            {
                "service.name": policy.service,
                "service.instance.id": policy.worker,
                "service.version": __version__,
            }
        )
        ids = _GivenIds()
        provider = TracerProvider(
            sampler=ALWAYS_ON, resource=resource, shutdown_on_exit=False, id_generator=_id_generator(ids)
        )
        provider.add_span_processor(
            BatchSpanProcessor(
                exporter,
                max_queue_size=policy.queue,
                max_export_batch_size=min(_BATCH, policy.queue),
                schedule_delay_millis=policy.batch_every_s * 1000,
            )
        )
        return cls(provider, exporter, ids, provider.get_tracer("llm-worker-node", __version__))

    def export(self, span: Span) -> None:
        """Queue a span to be sent. Use it from one thread."""
        from opentelemetry.trace import SpanKind, Status, StatusCode

        self._ids.next = span.context
        made = self._tracer.start_span(
            span.name,
            context=_within(span.parent),
            kind=SpanKind[span.kind.upper()],
            attributes=dict(span.attributes),
            start_time=int(span.began_at * _NANOSECONDS),
        )
        if span.error:
            made.set_status(Status(StatusCode.ERROR, span.error))
        made.end(int(max(span.began_at, span.ended_at) * _NANOSECONDS))

    async def aclose(self, executor: Executor, within_s: float = 5.0) -> None:
        """Send what waits, ``within_s`` at most and one export's time, and end the thread.

        ``executor`` lends a thread for the wait.
        """
        loop = asyncio.get_running_loop()
        hurry = loop.call_later(within_s, self._exporter.shutdown)
        try:
            await loop.run_in_executor(executor, self._provider.shutdown)
        finally:
            hurry.cancel()


class _GivenIds:
    """Holds the ids of the span that is made next."""

    __slots__ = ("next",)

    def __init__(self) -> None:
        self.next = TraceContext(1, 1)


def _id_generator(ids: _GivenIds) -> IdGenerator:
    from opentelemetry.sdk.trace.id_generator import IdGenerator

    class Given(IdGenerator):
        def generate_trace_id(self) -> int:
            return ids.next.trace_id

        def generate_span_id(self) -> int:
            return ids.next.span_id

    return Given()


def _within(parent: TraceContext | None) -> Context:
    from opentelemetry.context import Context
    from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags, set_span_in_context

    if parent is None:
        return Context()
    flags = TraceFlags(TraceFlags.SAMPLED)
    above = SpanContext(parent.trace_id, parent.span_id, is_remote=False, trace_flags=flags)
    return set_span_in_context(NonRecordingSpan(above), Context())


def _whole(endpoint: str) -> str:
    return endpoint if urlsplit(endpoint).path.strip("/") else endpoint.rstrip("/") + _TRACES_PATH
