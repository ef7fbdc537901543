"""Spans on their way to a collector: a real HTTP server that decodes what it gets."""

from __future__ import annotations

import asyncio
import gzip
import random
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans
from opentelemetry.proto.trace.v1.trace_pb2 import Span as WireSpan

from node import __version__
from node.domain import events as ev
from node.domain.errors import InvalidInput
from node.domain.secret import Secret
from node.domain.states import Life, LifeInput
from node.observability.bus import EventBus
from node.observability.otlp import OtlpExport, OtlpPolicy
from node.observability.trace_book import TraceBook
from node.observability.tracing import TraceSubscriber
from node.runtime.system import SystemClock
from tests.support.waiting import wait_until
from tests.unit.observability.sample_events import KEY, NODE

PARTS = ("poll", "claim", "chat m", "keep", "submit")


class Collector:
    """Takes exports and keeps what they hold; with ``asked`` it answers none before that is set."""

    def __init__(self, status: int = 200, asked: threading.Event | None = None) -> None:
        self.resources: list[ResourceSpans] = []
        self.requests: list[tuple[str, dict[str, str]]] = []
        collector = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                if self.headers.get("content-encoding") == "gzip":
                    body = gzip.decompress(body)
                if asked is not None:
                    asked.wait()
                collector.requests.append((self.path, {name.lower(): text for name, text in self.headers.items()}))
                if status == 200:
                    collector.resources.extend(ExportTraceServiceRequest.FromString(body).resource_spans)
                self.send_response(status)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=lambda: self._server.serve_forever(0.01))
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def spans(self) -> dict[str, WireSpan]:
        return {span.name: span for whole in self.resources for scope in whole.scope_spans for span in scope.spans}


@pytest.fixture
def collector() -> Iterator[Collector]:
    made = Collector()
    yield made
    made.close()


def attributes(span: WireSpan) -> dict[str, object]:
    return {pair.key: getattr(pair.value, pair.value.WhichOneof("value") or "") for pair in span.attributes}


async def test_a_collector_receives_whole_traces(collector: Collector, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")  # nobody there: no proxy of the environment is on the way
    policy = OtlpPolicy(collector.url, worker="box-7", headers={"x-key": Secret("collector-key")})
    export = OtlpExport.open(policy)
    book = TraceBook(random.Random(1), 1.0)
    bus = EventBus()
    bus.attach(book)
    bus.attach(TraceSubscriber(export.export, book, SystemClock()))
    bus.emit(ev.LifeChanged(NODE, Life.NEW, LifeInput.START, Life.STARTING))
    bus.emit(ev.StepEnded(NODE, "register", 0.1, 2, "HTTP 503"))
    bus.emit(ev.LifeChanged(NODE, Life.STARTING, LifeInput.READY, Life.RUNNING))
    bus.emit(ev.PollEnded(NODE, 0.02, KEY.job))
    bus.emit(ev.JobClaimed(KEY, "m"))
    context = book.context(KEY)
    bus.emit(ev.EngineCalled("ollama", "m", 0.0, 12, trace=context))
    bus.emit(ev.JobEnded(KEY, "ollama", "m", 0.0, 12, "", 30, 0.25, "stop"))
    bus.emit(ev.ResultAccepted(KEY, 0.5, 1, already=False))
    await export.aclose()

    path, headers = collector.requests[0]
    assert path == "/v1/traces"
    assert headers["content-type"] == "application/x-protobuf"
    assert headers["x-key"] == "collector-key"
    resource = {pair.key: pair.value.string_value for pair in collector.resources[0].resource.attributes}
    assert resource["service.name"] == "llm-worker-node"
    assert resource["service.instance.id"] == "box-7"
    assert resource["service.version"] == __version__
    spans = collector.spans()
    assert (export.sent, export.dropped) == (8, 0)
    assert set(spans) == {"start", "register", "job", "poll", "claim", "chat m", "keep", "submit"}
    chat, job = spans["chat m"], spans["job"]
    assert context is not None
    assert context.traceparent == f"00-{chat.trace_id.hex()}-{chat.span_id.hex()}-01"
    assert all(spans[name].parent_span_id == job.span_id for name in PARTS)
    assert all(spans[name].trace_id == job.trace_id for name in PARTS)
    assert job.parent_span_id == b""
    assert job.kind == WireSpan.SPAN_KIND_CONSUMER
    assert chat.kind == WireSpan.SPAN_KIND_CLIENT
    assert attributes(chat)["gen_ai.request.model"] == "m"
    assert attributes(chat)["gen_ai.usage.output_tokens"] == 12
    assert "stop" in str(attributes(chat)["gen_ai.response.finish_reasons"])
    assert attributes(chat)["gen_ai.response.time_to_first_chunk"] == 0.25
    assert spans["register"].parent_span_id == spans["start"].span_id
    assert spans["register"].status.message == "HTTP 503"
    assert spans["register"].end_time_unix_nano - spans["register"].start_time_unix_nano == pytest.approx(1e8, rel=0.01)


@pytest.mark.parametrize("kind", ["gone", "failing", "silent"])
async def test_a_collector_that_is_away_hurts_nobody(kind: str) -> None:
    asked = threading.Event()
    collector = Collector(503, None if kind != "silent" else asked)
    if kind == "gone":
        collector.close()
    export = OtlpExport.open(OtlpPolicy(f"{collector.url}/my/traces", worker="w", timeout_s=0.3, queue=16))
    bus = EventBus()
    bus.attach(TraceSubscriber(export.export, TraceBook(random.Random(1), 1.0), SystemClock()))
    for _ in range(12):
        bus.emit(ev.StepEnded(NODE, "register", 0.1))
    assert bus.failures == 0
    assert (export.sent, export.dropped) == (0, 0)
    loop = asyncio.get_running_loop()
    started = loop.time()
    await export.aclose(within_s=0.2)
    assert loop.time() - started < 1.5
    asked.set()
    await wait_until(lambda: export.dropped == 12, what="the spans count as dropped")
    if kind != "gone":
        assert {path for path, _ in collector.requests} == {"/my/traces"}
        collector.close()


def test_nothing_of_opentelemetry_is_loaded_before_it_is_wanted() -> None:
    code = "import sys, node.observability.otlp; print(any(name.startswith('opentelemetry') for name in sys.modules))"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=20)
    assert said.stdout.strip() == "False"


def test_without_the_extra_the_remedy_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry.exporter.otlp.proto.http.trace_exporter", None)
    with pytest.raises(InvalidInput, match=r"llm-worker-node\[tracing\]"):
        OtlpExport.open(OtlpPolicy("http://127.0.0.1:1", worker="w"))
