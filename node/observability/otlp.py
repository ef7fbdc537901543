"""Hands spans to an OpenTelemetry collector by OTLP over HTTP; needs the extra ``tracing``."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from node import __version__
from node.domain.errors import InputFault, InvalidInput
from node.domain.secret import Secret
from node.domain.trace import TraceContext
from node.observability.tracing import Attribute, Span
from node.runtime.signals import Signal

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
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
    sent with every export. All texts of spans pass through ``redact``.
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
    redact: Callable[[str], str] = str


class OtlpExport:
    """Takes spans without waiting; a thread of the OpenTelemetry SDK sends them in batches."""

    def __init__(
        self,
        provider: TracerProvider,
        exporter: SpanExporter,
        tally: Tally,
        ids: _GivenIds,
        tracer: Tracer,
        redact: Callable[[str], str],
    ) -> None:
        """Made by `open`."""
        self._redact = redact
        self._provider = provider
        self._exporter = exporter
        self._tally = tally
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
            from requests import Session
        except ImportError as error:
            remedy = "install it: pip install 'llm-worker-node[tracing]'"
            raise InvalidInput([InputFault("tracing", "OpenTelemetry is not installed", remedy)]) from error
        tally, session = Tally(), Session()
        session.trust_env = False  # the collector is the operator's own: no proxy of the environment is on the way
        exporter = OTLPSpanExporter(
            endpoint=_whole(policy.endpoint),
            headers={name: value.reveal() for name, value in policy.headers.items()},
            timeout=policy.timeout_s,
            session=session,
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
                _counted(exporter, tally),
                max_queue_size=policy.queue,
                max_export_batch_size=min(_BATCH, policy.queue),
                schedule_delay_millis=policy.batch_every_s * 1000,
            )
        )
        return cls(provider, exporter, tally, ids, provider.get_tracer("llm-worker-node", __version__), policy.redact)

    def export(self, span: Span) -> None:
        """Queue a span to be sent. Use it from one thread."""
        from opentelemetry.trace import SpanKind, Status, StatusCode

        self._ids.next, redact = span.context, self._redact
        made = self._tracer.start_span(
            redact(span.name),
            context=_within(span.parent),
            kind=SpanKind[span.kind.upper()],
            attributes={name: _redacted(value, redact) for name, value in span.attributes.items()},
            start_time=int(span.began_at * _NANOSECONDS),
        )
        if span.error:
            made.set_status(Status(StatusCode.ERROR, redact(span.error)))
        made.end(int(max(span.began_at, span.ended_at) * _NANOSECONDS))

    @property
    def sent(self) -> int:
        """Spans that the collector took."""
        return self._tally.sent

    @property
    def dropped(self) -> int:
        """Spans that it was offered, and did not take."""
        return self._tally.dropped

    @property
    def is_failing(self) -> bool:
        """Whether the collector did not take what it was last offered."""
        return self._tally.is_failing

    async def aclose(self, within_s: float = 3.0) -> None:
        """Send what waits, ``within_s`` at most, and end.

        An export that is under way then is left to its own time-out, on threads that keep no program alive.
        """
        loop, ended = asyncio.get_running_loop(), Signal()

        def end() -> None:
            self._provider.shutdown()
            with contextlib.suppress(RuntimeError):
                # The loop may be closed by now.
                loop.call_soon_threadsafe(ended.set)

        threading.Thread(target=end, name="last traces", daemon=True).start()
        if not await ended.wait(within_s):
            self._exporter.shutdown()


class Tally:
    """What became of the spans; the exporting thread counts."""

    def __init__(self) -> None:
        self.sent = 0
        self.dropped = 0
        self.is_failing = False


def _counted(exporter: SpanExporter, tally: Tally) -> SpanExporter:
    from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

    class Counted(SpanExporter):
        def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
            result = exporter.export(spans)
            tally.is_failing = result is not SpanExportResult.SUCCESS
            if result is SpanExportResult.SUCCESS:
                tally.sent += len(spans)
            else:
                tally.dropped += len(spans)
            return result

        def shutdown(self) -> None:
            exporter.shutdown()

    return Counted()


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


def _redacted(value: Attribute, redact: Callable[[str], str]) -> Attribute:
    match value:
        case str():
            return redact(value)
        case tuple():
            return tuple(map(redact, value))
        case _:
            return value


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
