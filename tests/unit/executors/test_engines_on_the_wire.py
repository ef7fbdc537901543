"""What every engine that is spoken to over HTTP keeps, against servers that stall, cut, garble and flood."""

from __future__ import annotations

import asyncio
import gzip
import zlib
from collections.abc import AsyncIterator, Callable

import pytest

from node.domain.errors import Declined, EngineFailed, EngineOverloaded, EngineRefused, ExecutorError
from node.domain.events import EngineCalled, EngineChanged
from node.domain.jobs import EmbeddingPayload
from node.domain.policies import BackOff
from node.domain.results import Embeddings, Generation
from node.domain.trace import TraceContext
from node.executors.breaker import Breaker
from node.executors.limited import Limited
from node.executors.model_circuit import BreakerPolicy
from node.executors.progress import Progressing, ProgressPolicy
from node.executors.retrying import Retrying
from node.machine.engine_gates import FailureStreakGate, FailureStreakPolicy
from node.ports.executor import Executor, Partials
from node.runtime.system import SystemClock
from tests.support.waiting import wait_until
from tests.unit.executors.doubles import Pieces, chat
from tests.unit.executors.ollama_server import Exchange, Script, saying
from tests.unit.executors.wires import WIRES, Wire, written

PROMPT = "Why is the deep sky blue over Lisbon?"


@pytest.fixture(params=WIRES)
async def wire(request: pytest.FixtureRequest) -> AsyncIterator[Wire]:
    made = WIRES[request.param]()
    await made.server.start()
    yield made
    await made.aclose()


@pytest.fixture(autouse=True)
def no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OLLAMA_API_KEY", raising=False)


async def text_of(executor: Executor, partials: Partials | None = None) -> str:
    made = await executor.execute(chat(PROMPT), partials)
    assert isinstance(made, Generation)
    return made.text


class TestAnAnswer:
    async def test_leaves_the_connection_for_the_next(self, wire: Wire) -> None:
        executor = wire.executor()
        for number in range(5):
            trace = TraceContext(number + 1, 7) if number % 2 else None
            await executor.execute(chat(PROMPT)._replace(trace=trace))
        assert wire.server.connections == 1

    async def test_says_where_it_stands_in_a_trace(self, wire: Wire) -> None:
        executor, trace = wire.executor(), TraceContext(0xABC, 0xDEF)
        await executor.execute(chat(PROMPT)._replace(trace=trace))
        await executor.execute(chat(PROMPT))
        wire.server.default = wire.embedding()
        await executor.execute(EmbeddingPayload("m", ("one",), trace))
        told = [request.headers.get("traceparent") for request in wire.server.requests]
        assert told == [f"00-{0xABC:032x}-{0xDEF:016x}-01", None, f"00-{0xABC:032x}-{0xDEF:016x}-01"]
        assert {request.headers["accept-encoding"] for request in wire.server.requests} == {"identity"}

    async def test_is_the_same_wherever_it_is_parted(self, wire: Wire) -> None:
        text = 'a\x85b\u2028c\u2029d\u20ace\U0001f600\x0b\x0c\x1c\r\n\r"\\'

        async def script(exchange: Exchange) -> None:
            await exchange.head(200, wire.stream_type)
            raw = written(exchange, wire.piece("one "), wire.piece(text), wire.final())
            for byte in raw.replace(b"\\u20ac", "\u20ac".encode()):
                await exchange.chunk(bytes([byte]))
            await exchange.end()

        wire.server.default = script
        assert await text_of(wire.executor()) == "one " + text

    async def test_may_come_in_one_chunk(self, wire: Wire) -> None:
        async def script(exchange: Exchange) -> None:
            steps = (wire.thought("hm"), wire.piece("one"), wire.piece(" two"), wire.final())
            await exchange.head(200, wire.stream_type)
            await exchange.chunk(written(exchange, *steps))
            await exchange.end()

        wire.server.default = script
        pieces = Pieces()
        assert await text_of(wire.executor(), pieces) == "one two"
        assert pieces.texts == ["", "one", " two"], "thinking is progress"

    async def test_leaves_thinking_out(self, wire: Wire) -> None:
        wire.server.default = wire.script(wire.thought("Let me see"), wire.piece("Because."), wire.final())
        pieces = Pieces()
        assert await text_of(wire.executor(), pieces) == pieces.text == "Because."

    async def test_may_ask_for_a_tool_that_nobody_offered(self, wire: Wire) -> None:
        wire.server.default = wire.script(wire.tool_call(), wire.final("tool_calls"))
        made = await wire.executor().execute(chat(PROMPT))
        assert isinstance(made, Generation)
        assert (made.text, made.finish_reason) == ("", "tool_calls")

    @pytest.mark.parametrize("ending", ["cut", "reset"])
    async def test_counts_once_whole_though_the_stream_breaks_then(self, wire: Wire, ending: str) -> None:
        async def script(exchange: Exchange) -> None:
            await wire.script(wire.piece("whole"), wire.final(), ending="cut")(exchange)
            if ending == "reset":
                await wait_until(lambda: pieces.text == "whole")
                exchange.reset()

        wire.server.scripts.append(script)
        pieces, executor = Pieces(), wire.executor()
        assert await text_of(executor, pieces) == "whole"
        assert await text_of(executor) == "Hello there.", "and the next call works"

    async def test_counts_once_whole_though_the_stream_stays_open(self, wire: Wire) -> None:
        async def script(exchange: Exchange) -> None:
            await exchange.head(200, wire.stream_type)
            await exchange.chunk(written(exchange, wire.piece("whole"), wire.final()))
            await asyncio.Event().wait()

        wire.server.default = script
        assert await text_of(wire.executor()) == "whole"
        await wait_until(lambda: wire.server.left == 1)

    @pytest.mark.parametrize("pack", [gzip.compress, zlib.compress])
    async def test_may_come_compressed(self, wire: Wire, pack: Callable[[bytes], bytes]) -> None:
        async def script(exchange: Exchange) -> None:
            body = pack(written(exchange, wire.piece("one "), wire.piece("x" * 100_000), wire.final()))
            encoding = "gzip" if pack is gzip.compress else "deflate"
            await exchange.head(200, wire.stream_type, f"Content-Encoding: {encoding}")
            for start in range(0, len(body), 7):
                await exchange.chunk(body[start : start + 7])
            await exchange.end()

        wire.server.default = script
        assert await text_of(wire.executor()) == "one " + "x" * 100_000


async def _too_long_a_head(exchange: Exchange) -> None:
    await exchange.raw(b"HTTP/1.1 200 OK\r\n" + b"X-Flood: %s\r\n" % (b"x" * 1000) * 500)
    exchange.cut()


async def _no_http(exchange: Exchange) -> None:
    await exchange.raw(b"SSH-2.0-OpenSSH_9.6\r\n")
    exchange.cut()


async def _half_a_head(exchange: Exchange) -> None:
    await exchange.raw(b"HTTP/1.1 200 OK\r\nContent-Ty")
    exchange.cut()


def _bad_chunk(wire: Wire) -> Script:
    async def script(exchange: Exchange) -> None:
        await exchange.head(200, wire.stream_type)
        await exchange.chunk(written(exchange, wire.piece("It begins")))
        await exchange.raw(b"zz\r\nnonsense\r\n")
        exchange.cut()

    return script


def _shorter_than_said(wire: Wire) -> Script:
    async def script(exchange: Exchange) -> None:
        body = written(exchange, wire.piece("It begins"))
        head = f"HTTP/1.1 200 OK\r\nContent-Type: {wire.stream_type}\r\nContent-Length: {len(body) + 100}\r\n\r\n"
        await exchange.raw(head.encode() + body)
        exchange.cut()

    return script


BROKEN: dict[str, Callable[[Wire], Script]] = {
    "no end": lambda wire: wire.script(wire.piece("It begins")),
    "cut": lambda wire: wire.script(wire.piece("It begins"), ending="cut"),
    "reset": lambda wire: wire.script(wire.piece("It begins"), ending="reset"),
    "cut before the first piece": lambda wire: wire.script(ending="cut"),
    "nothing": lambda wire: wire.script(),
    "an error in the stream": lambda wire: wire.script(wire.piece("It begins"), wire.error("out of memory")),
    "an error at once": lambda wire: wire.script(wire.error("out of memory")),
    "half of a character": lambda wire: wire.script(wire.piece("It begins"), b"\xe2\x82", wire.final()),
    "a part that is no object": lambda wire: wire.script(wire.piece("It begins"), b"data: 7\n\n7\n", wire.final()),
    "a bad chunk": _bad_chunk,
    "shorter than it said": _shorter_than_said,
    "too long a head": lambda _: _too_long_a_head,
    "no HTTP": lambda _: _no_http,
    "half a head": lambda _: _half_a_head,
    "a page": lambda _: saying(200, "text/html", b"<html>Welcome to nginx!</html>"),
    "damaged compression": lambda wire: saying(200, wire.stream_type, b"no gzip", "Content-Encoding: gzip"),
    "compression that is not known": lambda wire: saying(200, wire.stream_type, b"?", "Content-Encoding: br"),
    "status 500": lambda wire: wire.refusing(500, "no luck"),
    "status 401": lambda wire: wire.refusing(401, "who are you?"),
    "a redirect": lambda _: saying(307, "text/plain", b"", "Location: http://127.0.0.1:9/"),
}


class TestAFailure:
    @pytest.mark.parametrize("broken", BROKEN.values(), ids=BROKEN)
    async def test_is_told_as_one_and_the_next_call_works(self, wire: Wire, broken: Callable[[Wire], Script]) -> None:
        wire.server.scripts.append(broken(wire))
        executor = wire.executor()
        with pytest.raises(EngineFailed) as failed:
            await executor.execute(chat(PROMPT), Pieces())
        assert not isinstance(failed.value, EngineRefused)
        assert len(str(failed.value)) < 300
        assert PROMPT not in f"{failed.value!r} {failed.value.__cause__!r}"
        (called,) = wire.sink.of(EngineCalled)
        assert (called.error, called.output_tokens) == (str(failed.value), None)
        assert not called.is_overload
        assert not called.is_refusal
        assert await text_of(executor) == "Hello there."

    @pytest.mark.parametrize("status", [400, 413, 422])
    async def test_may_be_the_job_s_own(self, wire: Wire, status: int) -> None:
        wire.server.default = wire.refusing(status, "too long")
        with pytest.raises(EngineRefused, match=f"answered {status}: too long"):
            await wire.executor().execute(chat(PROMPT))
        (called,) = wire.sink.of(EngineCalled)
        assert called.is_refusal
        assert not called.is_overload

    async def test_is_the_job_s_own_where_the_model_only_thinks(self, wire: Wire) -> None:
        wire.server.default = wire.script(wire.thought("Let me see"), wire.final("length"))
        with pytest.raises(EngineRefused, match="raise max_output"):
            await wire.executor().execute(chat(PROMPT))
        assert wire.sink.of(EngineCalled)[0].is_refusal

    @pytest.mark.parametrize("status", [429, 503])
    async def test_is_none_when_the_engine_is_full(self, wire: Wire, status: int) -> None:
        wire.server.default = wire.refusing(status, "too many requests", "Retry-After: 7")
        with pytest.raises(EngineOverloaded, match="engine is full: too many requests") as full:
            await wire.executor().execute(chat(PROMPT))
        assert full.value.retry_after_s == (7.0 if wire.kind == "openai" else None)
        assert wire.sink.of(EngineCalled)[0].is_overload

    async def test_is_a_prompt_that_is_no_text(self, wire: Wire) -> None:
        jobs = (chat("half \ud83d a pair"), chat("whole", "half \ud83d"), EmbeddingPayload("m", ("a", "\ud83d")))
        for job in jobs:
            with pytest.raises(EngineRefused, match="surrogate"):
                await wire.executor().execute(job)
        assert wire.server.requests == []
        assert wire.sink.events == [], "the engine has nothing to do with it"

    async def test_does_not_show_what_was_asked(self, wire: Wire) -> None:
        quoting = "invalid: {'role': 'martian', 'content': 'Why is the deep sky blue'}"
        for script in (wire.refusing(500, quoting), wire.refusing(400, PROMPT), wire.script(wire.error(quoting))):
            wire.server.default = script
            with pytest.raises(EngineFailed, match="quotes the request") as failed:
                await wire.executor().execute(chat(PROMPT))
            assert "deep sky" not in f"{failed.value!r} {failed.value.__cause__!r} {wire.sink.events!r}"


def _endless(wire: Wire, unit: bytes, *headers: str, status: int = 200) -> Script:
    async def script(exchange: Exchange) -> None:
        await exchange.head(status, wire.stream_type if status == 200 else "text/plain", *headers)
        while True:
            await exchange.chunk(unit)

    return script


class TestAFlood:
    @pytest.mark.parametrize(
        "flood",
        [
            lambda wire: _endless(wire, b"x" * 65536),
            lambda wire: _endless(wire, b" " * 65536),
            lambda wire: _endless(wire, b"data: " + b"x" * 65536),
            lambda wire: _endless(wire, b"\n" * 65536),
            lambda wire: _endless(wire, b": keep-alive\n\n" * 4000),
            lambda wire: _endless(wire, b"x" * 65536, status=500),
            lambda wire: _endless(wire, zlib.compress(b"\n" * 10**7), "Content-Encoding: deflate"),
        ],
        ids=["a line", "spaces", "an event", "empty lines", "comments", "an error", "compressed"],
    )
    async def test_is_cut_off_at_a_bound(self, wire: Wire, flood: Callable[[Wire], Script]) -> None:
        wire.server.default = flood(wire)
        with pytest.raises(EngineFailed):
            await wire.executor(max_output=10).execute(chat(PROMPT))
        await wait_until(lambda: wire.server.left == 1, what="the client leaves")

    async def test_of_crumbs_costs_no_more_than_one_in_lumps(self, wire: Wire) -> None:
        async def script(exchange: Exchange) -> None:
            await exchange.head(200, wire.stream_type)
            raw = written(exchange, wire.piece("x" * 400_000))
            for start in range(0, len(raw), 40):
                exchange.writer.write(b"%x\r\n%b\r\n" % (len(raw[start : start + 40]), raw[start : start + 40]))
                if start % 4000 == 0:
                    await exchange.writer.drain()
            await exchange.chunk(written(exchange, wire.final()))
            await exchange.end()

        wire.server.default = script
        async with asyncio.timeout(20):
            assert len(await text_of(wire.executor())) == 400_000

    async def test_of_tokens_is_an_answer_while_it_is_within_the_bound(self, wire: Wire) -> None:
        wire.server.default = wire.answering(*["x" * 1000] * 100)
        assert len(await text_of(wire.executor(max_output=10))) == 100_000


class TestAnEngineThatIsAbsent:
    @pytest.fixture(params=WIRES)
    async def unborn(self, request: pytest.FixtureRequest) -> AsyncIterator[Wire]:
        """One whose server is not started."""
        made = WIRES[request.param]()
        made.server.reserve()
        yield made
        await made.aclose()

    async def test_declines_and_is_found_when_it_comes(self, unborn: Wire) -> None:
        executor = unborn.executor(unborn.server.url.replace("http://", "http://user:hidden@"))
        with pytest.raises(Declined, match=f"nothing answers at {unborn.server.url}") as declined:
            await executor.execute(chat(PROMPT))
        assert "hidden" not in str(declined.value)
        assert unborn.sink.events == [EngineChanged("engine", available=False, reason=str(declined.value))]
        await unborn.server.start()
        for _ in range(20):
            with pytest.raises(Declined, match="nothing answers"):
                await executor.execute(chat(PROMPT))
        assert unborn.server.connections == 0, "a missing engine is left alone"
        unborn.clock.now += 5.0
        assert await text_of(executor) == await text_of(executor) == "Hello there."
        assert unborn.server.paths == [unborn.list_path, unborn.chat_path, unborn.chat_path]
        assert [change.available for change in unborn.sink.of(EngineChanged)] == [False, True]

    async def test_makes_no_vectors_either(self, unborn: Wire) -> None:
        with pytest.raises(Declined, match="nothing answers"):
            await unborn.executor().execute(EmbeddingPayload("m", ("one",)))
        assert unborn.sink.of(EngineCalled) == []

    async def test_may_accept_and_stay_silent(self, wire: Wire) -> None:
        wire.server.default = wire.stalling()
        executor = wire.executor(wire.server.url.replace("http:", "https:"), connect_s=0.05)
        with pytest.raises(Declined, match=r"nothing answers at https://.*ConnectTimeout"):
            await executor.execute(chat(PROMPT))

    async def test_is_not_sought_through_the_environments_proxy(
        self, wire: Wire, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, "http://127.0.0.1:9")
        assert await text_of(wire.executor()) == "Hello there."


class TestCancelling:
    @pytest.mark.parametrize("pieces", [(), ("It begins",)])
    async def test_stops_the_engine(self, wire: Wire, pieces: tuple[str, ...]) -> None:
        wire.server.scripts.append(wire.stalling(*pieces))
        executor, taken = wire.executor(concurrency=1), Pieces()
        call = asyncio.ensure_future(executor.execute(chat(PROMPT), taken))
        await wait_until(lambda: wire.server.running == 1 and taken.texts == list(pieces))
        call.cancel()
        await wait_until(lambda: wire.server.left == 1, what="the server sees the client leave")
        with pytest.raises(asyncio.CancelledError):
            await call
        (called,) = wire.sink.of(EngineCalled)
        assert "ended before" in called.error
        assert not called.is_refusal, "it may be the engine's silence that ended it"
        assert await text_of(executor) == "Hello there."

    async def test_stops_an_engine_that_makes_vectors(self, wire: Wire) -> None:
        wire.server.default = wire.stalling()
        call = asyncio.ensure_future(wire.executor().execute(EmbeddingPayload("m", ("one",))))
        await wait_until(lambda: wire.server.running == 1)
        call.cancel()
        await wait_until(lambda: wire.server.left == 1)
        with pytest.raises(asyncio.CancelledError):
            await call

    async def test_leaves_no_connection_behind(self, wire: Wire) -> None:
        executor = wire.executor(concurrency=2)
        wire.server.default = wire.stalling("It begins")
        for left in range(1, 6):
            call = asyncio.ensure_future(executor.execute(chat(PROMPT)))
            await wait_until(lambda: wire.server.running == 1)
            call.cancel()
            await asyncio.gather(call, return_exceptions=True)
            await wait_until(lambda left=left: (wire.server.left, wire.server.running) == (left, 0))
        wire.server.default = wire.answering("still here")
        assert await text_of(executor) == "still here"

    async def test_ends_the_stream_when_the_taker_fails(self, wire: Wire) -> None:
        class Broken:
            async def push(self, text: str) -> None:
                raise ValueError("the taker broke")

        wire.server.default = wire.stalling("It begins")
        with pytest.raises(ValueError, match="the taker broke") as kept:
            await wire.executor().execute(chat(PROMPT), Broken())
        await wait_until(
            lambda: wire.server.left == 1, what="the stream closes though the error keeps its frames alive"
        )
        assert kept.traceback


class TestWhatStandsBefore:
    """An engine behind what a node in production puts before it."""

    @staticmethod
    def retrying(wire: Wire) -> Retrying:
        return Retrying(wire.executor(), 3, BackOff(base_s=0.001, cap_s=0.001), Shortest())

    @pytest.mark.parametrize("status", [500, 503])
    async def test_three_more_tries_are_made_before_the_first_piece(self, wire: Wire, status: int) -> None:
        wire.server.scripts.extend([wire.refusing(status, "not yet")] * 3)
        assert await text_of(self.retrying(wire)) == "Hello there."
        assert len(wire.server.requests) == 4
        wire.server.default = wire.refusing(status, "not yet")
        with pytest.raises(ExecutorError, match="not yet"):
            await text_of(self.retrying(wire))
        assert len(wire.server.requests) == 8

    @pytest.mark.parametrize("ending", ["whole", "cut", "reset"])
    async def test_nothing_is_tried_again_after_the_first_piece(self, wire: Wire, ending: str) -> None:
        async def held(exchange: Exchange) -> None:
            await exchange.head(200, wire.stream_type)
            await exchange.chunk(written(exchange, wire.piece("It begins")))
            await wait_until(lambda: pieces.text == "It begins")
            match ending:
                case "whole":
                    await exchange.end()
                case "cut":
                    exchange.cut()
                case "reset":
                    exchange.reset()

        wire.server.default = held
        pieces = Pieces()
        with pytest.raises(EngineFailed, match="broke off"):
            await text_of(self.retrying(wire), pieces)
        assert len(wire.server.requests) == 1

    @pytest.mark.parametrize("status", [400, 413, 422])
    async def test_what_is_refused_is_not_tried_again_and_harms_nobody(self, wire: Wire, status: int) -> None:
        gate = FailureStreakGate(FailureStreakPolicy(failures=1), SystemClock())
        breaker = Breaker(wire.executor(), BreakerPolicy(failures=1), SystemClock(), wire.sink)
        executor = Retrying(breaker, 3, BackOff(base_s=0.001, cap_s=0.001), Shortest())
        wire.server.default = wire.refusing(status, "no such thing")
        for _ in range(3):
            with pytest.raises(EngineRefused):
                await text_of(executor)
        assert len(wire.server.requests) == 3
        assert not any(state.value == "open" for state in breaker.states().values())
        for call in wire.sink.of(EngineCalled):
            gate.handlers()[EngineCalled](call)
        assert gate.closed_because == ""

    async def test_a_full_engine_opens_no_circuit_and_a_failing_one_does(self, wire: Wire) -> None:
        breaker = Breaker(wire.executor(), BreakerPolicy(failures=2), SystemClock(), wire.sink)
        wire.server.default = wire.refusing(503, "busy")
        for _ in range(5):
            with pytest.raises(EngineOverloaded):
                await text_of(breaker)
        wire.server.default = wire.refusing(500, "broken")
        for _ in range(2):
            with pytest.raises(EngineFailed):
                await text_of(breaker)
        with pytest.raises(Declined, match="left alone"):
            await text_of(breaker)
        await breaker.aclose()

    @pytest.mark.parametrize("crumb", [b"", b"X"])
    async def test_a_head_that_does_not_come_to_its_end_is_given_up(self, wire: Wire, crumb: bytes) -> None:
        async def script(exchange: Exchange) -> None:
            await exchange.raw(b"HTTP/1.1 200 OK\r\n")
            while True:
                await exchange.raw(crumb)
                await asyncio.sleep(0.02)

        wire.server.default = script
        watched = Progressing(wire.executor(), ProgressPolicy(first_piece_s=1.0), SystemClock())
        with pytest.raises(EngineFailed, match="said nothing for 1 s"):
            await text_of(watched)
        await wait_until(lambda: wire.server.left == 1)

    async def test_keep_alives_are_no_progress(self, wire: Wire) -> None:
        """An engine that hangs but keeps its connection busy."""
        crumb = b": ping\n\n" if wire.kind == "openai" else b"\n"

        async def script(exchange: Exchange) -> None:
            await exchange.head(200, wire.stream_type)
            await exchange.chunk(written(exchange, wire.piece("It begins")))
            while True:
                await exchange.chunk(crumb)
                await asyncio.sleep(0.02)

        wire.server.default = script
        watched = Progressing(wire.executor(), ProgressPolicy(first_piece_s=10, silent_s=0.3), SystemClock())
        with pytest.raises(EngineFailed, match=r"said nothing for 0\.3 s"):
            await text_of(watched)
        await wait_until(lambda: wire.server.left == 1)


class Shortest:
    """Draws the least."""

    def random(self) -> float:
        return 0.0

    def uniform(self, a: float, b: float) -> float:
        return a


class TestEmbeddings:
    async def test_come_in_batches_and_in_order(self, wire: Wire) -> None:
        wire.server.default = wire.embedding()
        inputs = tuple("x" * length for length in range(1, 8))
        made = await wire.executor(batch=3, model_override="nomic").execute(EmbeddingPayload("m", inputs))
        assert isinstance(made, Embeddings)
        assert made.vectors == tuple((float(n), float((n - 1) % 3), 0.5) for n in range(1, 8))
        assert (made.model, made.executor) == ("nomic", "engine")
        assert [len(request.chat["input"]) for request in wire.server.requests] == [3, 3, 1]
        assert {request.path for request in wire.server.requests} == {wire.embed_path}
        assert len(wire.sink.of(EngineCalled)) == 3

    async def test_are_not_quoted(self, wire: Wire) -> None:
        wire.server.default = wire.refusing(400, "cannot embed 'my secret diary'")
        with pytest.raises(EngineRefused, match="quotes the request"):
            await wire.executor().execute(EmbeddingPayload("m", ("dear you", "my secret diary")))


async def test_many_calls_share_a_few_connections_and_do_not_mix(wire: Wire) -> None:
    async def echo(exchange: Exchange) -> None:
        await wire.answering(*exchange.prompt)(exchange)

    wire.server.default = echo
    executor = Limited(wire.executor(concurrency=3), 3)
    prompts = [f"prompt number {number}" for number in range(40)]
    takers = [Pieces() for _ in prompts]
    answers = await asyncio.gather(
        *(executor.execute(chat(prompt), taker) for prompt, taker in zip(prompts, takers, strict=True))
    )
    assert [answer.text for answer in answers if isinstance(answer, Generation)] == prompts
    assert [taker.text for taker in takers] == prompts
    assert wire.server.connections == wire.server.peak == 3


async def test_a_closed_executor_declines(wire: Wire) -> None:
    executor = wire.executor()
    await executor.execute(chat(PROMPT))
    await executor.aclose()
    await executor.aclose()
    with pytest.raises(Declined, match="closed"):
        await executor.execute(chat(PROMPT))


async def test_closing_ends_a_call_that_runs(wire: Wire) -> None:
    executor, pieces = wire.executor(), Pieces()
    wire.server.default = wire.stalling("It begins")
    call = asyncio.ensure_future(executor.execute(chat(PROMPT), pieces))
    await wait_until(lambda: pieces.texts)
    await executor.aclose()
    await wait_until(lambda: wire.server.left == 1)
    with pytest.raises(EngineFailed, match="broke off"):
        async with asyncio.timeout(5):
            await call
