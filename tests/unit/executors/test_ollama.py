from __future__ import annotations

import asyncio
import gzip
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from node.domain.errors import Declined, EngineFailed, EngineOverloaded, EngineRefused, ExecutorError
from node.domain.events import EngineCalled, EngineChanged
from node.domain.jobs import ChatPayload, EmbeddingPayload, Message
from node.domain.results import Embeddings
from node.executors.limited import Limited
from node.executors.ollama import OllamaExecutor, OllamaPolicy
from tests.support.events import RecordingSink
from tests.support.waiting import wait_until
from tests.unit.executors.doubles import HandClock, Pieces, chat
from tests.unit.executors.ollama_server import (
    JSON,
    NDJSON,
    Exchange,
    OllamaServer,
    Script,
    answering,
    echoing,
    embedding,
    ndjson,
    ollama_server,
    refusing,
    saying,
    stalling,
)

PROMPT = "Why is the deep sky blue over Lisbon?"


@pytest.fixture
def sink() -> RecordingSink:
    return RecordingSink()


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


@pytest.fixture
async def server() -> AsyncIterator[OllamaServer]:
    async with ollama_server() as running:
        yield running


Opener = Callable[..., OllamaExecutor]


@pytest.fixture
async def engine(server: OllamaServer, sink: RecordingSink, clock: HandClock) -> AsyncIterator[Opener]:
    made: list[OllamaExecutor] = []

    def make(**policy: Any) -> OllamaExecutor:
        settings = OllamaPolicy(**{"base_url": server.url, **policy})
        made.append(OllamaExecutor(settings, clock, sink, ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)))
        return made[-1]

    yield make
    for executor in made:
        await executor.aclose()


@asynccontextmanager
async def running(work: Any) -> AsyncIterator[asyncio.Task[Any]]:
    task = asyncio.ensure_future(work)
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


class TestAnAnswer:
    async def test_is_streamed_joined_and_told(self, server: OllamaServer, engine: Opener, sink: RecordingSink) -> None:
        server.default = answering("The sky", " scatters", " blue.")
        pieces = Pieces()
        generation = await engine().execute(chat(PROMPT), pieces)
        assert generation.text == "The sky scatters blue."
        assert pieces.texts == ["The sky", " scatters", " blue."]
        assert (generation.model, generation.executor) == ("gemma2:2b", "ollama")
        assert (generation.prompt_tokens, generation.output_tokens, generation.finish_reason) == (11, 7, "stop")
        assert sink.events == [
            EngineChanged("ollama", available=True, reason=""),
            EngineCalled("ollama", "gemma2:2b", 0.0, 7, prompt_tokens=11, first_token_s=0.0),
        ]
        assert generation.first_token_s == 0.0
        assert generation.tokens_per_s == pytest.approx(7 / 0.9)

    @pytest.mark.parametrize(
        ("metrics", "rate"),
        [
            ({"eval_count": 5}, 2.0),
            ({"eval_count": 5, "eval_duration": -1}, 2.0),
            ({"eval_duration": 7}, None),
            ({}, None),
        ],
    )
    async def test_is_timed_where_the_engine_does_not(
        self, server: OllamaServer, engine: Opener, clock: HandClock, metrics: dict[str, int], rate: float | None
    ) -> None:
        async def script(exchange: Exchange) -> None:
            await exchange.head()
            for wait_s in (3.0, 2.0):
                clock.now += wait_s
                seen = len(pieces.texts)
                await exchange.part("word ")
                await wait_until(lambda seen=seen: len(pieces.texts) > seen)
            await exchange.final(metrics=metrics)
            await exchange.end()

        server.default = script
        pieces = Pieces()
        generation = await engine().execute(chat(PROMPT), pieces)
        assert (generation.first_token_s, generation.tokens_per_s) == (3.0, rate)

    async def test_bears_the_name_of_its_engine(self, engine: Opener, sink: RecordingSink) -> None:
        executor = engine(name="upstairs")
        assert (await executor.execute(chat(PROMPT))).executor == executor.name == "upstairs"
        assert sink.of(EngineCalled)[0].engine == sink.of(EngineChanged)[0].engine == "upstairs"

    async def test_asks_for_nothing_that_was_not_asked_for(self, server: OllamaServer, engine: Opener) -> None:
        conversation = (Message("system", "Be brief."), Message("user", PROMPT))
        await engine().execute(ChatPayload("llama3.1:latest", conversation))
        request = server.requests[0]
        assert request.path == "/api/chat"
        assert request.headers["accept-encoding"] == "identity"
        sent = request.chat
        assert sent.pop("tools", []) == []
        assert sent == {
            "model": "llama3.1:latest",
            "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": PROMPT}],
            "stream": True,
            "options": {"num_predict": 4096},
        }

    @pytest.mark.parametrize(
        ("temperature", "max_output", "options"),
        [
            (0.7, 100, {"num_predict": 100, "temperature": 0.7}),
            (1.9, 5000, {"num_predict": 300, "temperature": 1.0}),
            (-3, None, {"num_predict": 300, "temperature": 0.0}),
            (float("nan"), 0, {"num_predict": 300, "temperature": 0.0}),
            (None, -4, {"num_predict": 1}),
        ],
    )
    async def test_keeps_to_the_limits(
        self,
        server: OllamaServer,
        engine: Opener,
        temperature: float | None,
        max_output: int | None,
        options: dict[str, float],
    ) -> None:
        await engine(max_output=300).execute(chat(PROMPT, "m", max_output, temperature))
        assert server.requests[0].chat["options"] == options

    async def test_takes_settings_along(self, server: OllamaServer, engine: Opener) -> None:
        executor = engine(model_override="llama3.1:latest", keep_alive="5m", think=False)
        generation = await executor.execute(chat(PROMPT, "gemma2:2b"))
        sent = server.requests[0].chat
        assert (sent["model"], sent["keep_alive"], sent["think"]) == ("llama3.1:latest", "5m", False)
        assert generation.model == "llama3.1:latest"

    async def test_may_end_with_text(self, server: OllamaServer, engine: Opener) -> None:
        async def script(exchange: Exchange) -> None:
            await exchange.head()
            await exchange.part("Almost")
            await exchange.final(" done", metrics={})
            await exchange.end()

        server.default = script
        pieces = Pieces()
        generation = await engine().execute(chat(PROMPT), pieces)
        assert generation.text == pieces.text == "Almost done"
        assert generation.output_tokens is None
        assert generation.prompt_tokens is None

    @pytest.mark.parametrize("reason", ["length", None])
    async def test_says_why_it_ended(self, server: OllamaServer, engine: Opener, reason: str | None) -> None:
        server.default = answering("cut", reason=reason)
        assert (await engine().execute(chat(PROMPT))).finish_reason == reason

    async def test_may_hold_any_character_at_any_border(self, server: OllamaServer, engine: Opener) -> None:
        text = 'a\x85b\u2028c\u2029d\u20ace\U0001f600\x0b\x0c\x1c\r\n\r"\\'

        async def script(exchange: Exchange) -> None:
            await exchange.head()
            escaped_or_not = ndjson({**exchange.piece(text), "done": False}).replace(b"\\u2028", "\u2028".encode())
            for byte in escaped_or_not:
                await exchange.chunk(bytes([byte]))
            await exchange.final()
            await exchange.end()

        server.default = script
        assert (await engine().execute(chat(PROMPT))).text == text

    async def test_may_have_blank_lines_and_no_line_end(self, server: OllamaServer, engine: Opener) -> None:
        async def script(exchange: Exchange) -> None:
            await exchange.head()
            await exchange.chunk(b"\n\r\n")
            await exchange.part("one")
            await exchange.chunk(b"\r\n")
            await exchange.chunk(ndjson({**exchange.piece(" two"), "done": True}).rstrip(b"\n"))
            await exchange.end()

        server.default = script
        assert (await engine().execute(chat(PROMPT))).text == "one two"

    async def test_may_come_compressed(self, server: OllamaServer, engine: Opener) -> None:
        body = gzip.compress(ndjson({"model": "m", "message": {"role": "assistant", "content": "ok"}, "done": True}))
        server.default = saying(200, NDJSON, body, "Content-Encoding: gzip")
        assert (await engine().execute(chat(PROMPT))).text == "ok"

    async def test_leaves_thinking_out(self, server: OllamaServer, engine: Opener) -> None:
        async def script(exchange: Exchange) -> None:
            await exchange.head()
            await exchange.part("", thinking="Let me see")
            await exchange.part("Because.")
            await exchange.final()
            await exchange.end()

        server.default = script
        pieces = Pieces()
        assert (await engine().execute(chat(PROMPT), pieces)).text == "Because."
        assert pieces.texts == ["Because."]

    async def test_counts_once_whole_though_the_stream_stays_open(self, server: OllamaServer, engine: Opener) -> None:
        async def script(exchange: Exchange) -> None:
            await exchange.head()
            await exchange.final("whole")
            await asyncio.Event().wait()

        server.default = script
        assert (await engine().execute(chat(PROMPT))).text == "whole"
        await wait_until(lambda: server.left == 1)

    async def test_to_a_huge_prompt(self, server: OllamaServer, engine: Opener) -> None:
        prompt = "é" * (5 * 2**20 // 2)
        await engine().execute(chat(prompt))
        assert server.requests[0].prompt == prompt


async def _error_line(exchange: Exchange) -> None:
    await exchange.head()
    await exchange.part("It begins")
    await exchange.line({"error": "llama runner process has terminated"})
    await exchange.end()


async def _no_final_part(exchange: Exchange) -> None:
    await exchange.head()
    await exchange.part("It begins")
    await exchange.end()


async def _no_final_part_unchunked(exchange: Exchange) -> None:
    await exchange.head(chunked=False)
    await exchange.raw(ndjson({**exchange.piece("It begins"), "done": False}))


async def _cut(exchange: Exchange) -> None:
    await exchange.head()
    await exchange.part("It begins")
    exchange.cut()


async def _reset(exchange: Exchange) -> None:
    await exchange.head()
    await exchange.part("It begins")
    exchange.reset()


async def _cut_at_once(exchange: Exchange) -> None:
    exchange.cut()


async def _half_a_line(exchange: Exchange) -> None:
    await exchange.head()
    await exchange.chunk(ndjson(exchange.piece("It begins"))[:40])
    await exchange.end()


async def _only_thought(exchange: Exchange) -> None:
    await exchange.head()
    await exchange.part("", thinking="Let me see")
    await exchange.final(reason="length")
    await exchange.end()


class TestAFailure:
    @pytest.mark.parametrize(
        ("script", "text"),
        [
            (_error_line, "ollama failed: llama runner process has terminated"),
            (_no_final_part, "without its final part"),
            (_no_final_part_unchunked, "without its final part"),
            (_cut, "broke off"),
            (_reset, "broke off"),
            (_cut_at_once, "broke off"),
            (_half_a_line, "does not speak as Ollama does"),
            (_only_thought, "set think to false"),
            (answering("", reason="load"), "'load'"),
            (answering("", reason="unload"), "'unload'"),
            (refusing(400, '"m" does not support chat'), 'ollama answered 400: "m" does not support chat'),
            (refusing(400, ""), "ollama answered 400: without a reason"),
            (refusing(499, "request canceled"), "ollama answered 499: request canceled"),
            (refusing(500, "model requires more memory"), "ollama answered 500: model requires more memory"),
            (refusing(502, "x" * 5000), "xxx…"),
            (saying(500, "text/html", b"<html>\n oops </html>"), "ollama answered 500: <html> oops </html>"),
            (saying(302, "text/html", b"", "Location: http://127.0.0.1:9/"), "ollama answered 302"),
            (saying(200, "text/html", b"<html>Welcome</html>"), "does not speak as Ollama does"),
            (saying(200, NDJSON, b""), "without its final part"),
        ],
    )
    async def test_is_the_engines_and_says_why(
        self, server: OllamaServer, engine: Opener, sink: RecordingSink, script: Script, text: str
    ) -> None:
        server.scripts.append(script)
        executor = engine()
        with pytest.raises(EngineFailed) as failed:
            await executor.execute(chat(PROMPT), Pieces())
        assert text in str(failed.value)
        assert len(str(failed.value)) < 300
        (called,) = sink.of(EngineCalled)
        assert (called.error, called.output_tokens) == (str(failed.value), None)
        assert (await executor.execute(chat(PROMPT))).text == "Hello there.", "and the next call works"

    @pytest.mark.parametrize(
        "body",
        [
            b"[]",
            b'"text"',
            b"17",
            b"null",
            b"{}",
            b'{"done":true}',
            b'{"error":{"message":"nested"}}',
            b'{"message":{"role":7,"content":[]},"done":true}',
            b'{"message":{"role":"assistant","content":"\xff\xfe',
            b"[" * 200_000,
        ],
    )
    @pytest.mark.parametrize("status", [200, 500])
    async def test_is_met_whatever_the_body(
        self, server: OllamaServer, engine: Opener, body: bytes, status: int
    ) -> None:
        server.default = saying(status, JSON, body)
        with pytest.raises(EngineFailed):
            await engine().execute(chat(PROMPT))

    @pytest.mark.parametrize("status", [429, 503])
    async def test_is_none_when_the_engine_is_full(
        self, server: OllamaServer, engine: Opener, sink: RecordingSink, status: int
    ) -> None:
        server.default = refusing(status, "server busy, please try again.  maximum pending requests exceeded")
        with pytest.raises(EngineOverloaded, match="ollama is full: server busy"):
            await engine().execute(chat(PROMPT))
        assert sink.of(EngineCalled)[0].is_overload

    @pytest.mark.parametrize(
        ("script", "refused"),
        [
            (refusing(400, "too long"), True),
            (refusing(413, "too long"), True),
            (refusing(422, "too hot"), True),
            (_only_thought, True),
            (refusing(500, "no memory"), False),
            (refusing(401, "no key"), False),
            (_cut, False),
        ],
    )
    async def test_may_be_the_jobs_own(
        self, server: OllamaServer, engine: Opener, script: Script, refused: bool
    ) -> None:
        server.default = script
        with pytest.raises(EngineFailed) as failed:
            await engine().execute(chat(PROMPT))
        assert isinstance(failed.value, EngineRefused) is refused

    async def test_does_not_show_what_was_asked(
        self, server: OllamaServer, engine: Opener, sink: RecordingSink
    ) -> None:
        server.default = refusing(400, f"template: cannot render {PROMPT}")
        with pytest.raises(EngineFailed, match="quotes the request") as failed:
            await engine().execute(chat(PROMPT))
        assert "deep sky" not in f"{failed.value!r} {failed.value.__cause__!r} {sink.events!r}"

    async def test_is_an_answer_without_end(self, server: OllamaServer, engine: Opener) -> None:
        async def script(exchange: Exchange) -> None:
            await exchange.head()
            while True:
                await exchange.chunk(b" " * 65536)

        server.default = script
        with pytest.raises(EngineFailed, match="more than"):
            await engine(max_output=10).execute(chat(PROMPT))
        await wait_until(lambda: server.left == 1)

    async def test_is_a_prompt_that_is_no_text(self, server: OllamaServer, engine: Opener, sink: RecordingSink) -> None:
        for job in (chat("half \ud83d a pair"), chat("whole", "half \ud83d"), EmbeddingPayload("m", ("a", "\ud83d"))):
            with pytest.raises(EngineRefused, match="surrogate"):
                await engine().execute(job)
        assert server.requests == []
        assert sink.events == [], "the engine has nothing to do with it"

    async def test_shows_neither_prompt_nor_answer(
        self, server: OllamaServer, engine: Opener, sink: RecordingSink
    ) -> None:
        secret = "the answer nobody may see"

        async def script(exchange: Exchange) -> None:
            await exchange.head()
            await exchange.part(secret)
            await exchange.line({"message": {"role": 7, "content": [secret, exchange.prompt]}, "done": True})
            await exchange.end()

        server.default = script
        with pytest.raises(EngineFailed) as failed:
            await engine().execute(chat(PROMPT))
        shown = f"{failed.value!r} {failed.value.__cause__!r} {sink.events!r}"
        assert secret not in shown
        assert PROMPT not in shown


class TestAModelThatIsMissing:
    async def test_is_declined_with_the_remedy(self, server: OllamaServer, engine: Opener, sink: RecordingSink) -> None:
        server.scripts.append(refusing(404, "model 'gemma2:2b' not found"))
        executor, pieces = engine(), Pieces()
        with pytest.raises(Declined, match="ollama has no model 'gemma2:2b'; run: ollama pull gemma2:2b"):
            await executor.execute(chat(PROMPT), pieces)
        assert pieces.texts == []
        assert "ollama pull" in sink.of(EngineCalled)[0].error
        assert (await executor.execute(chat(PROMPT))).text == "Hello there."

    async def test_brings_no_command_of_its_own(self, server: OllamaServer, engine: Opener) -> None:
        server.default = refusing(404, "model not found")
        with pytest.raises(Declined, match="ollama pull 'x; reboot'"):
            await engine().execute(chat(PROMPT, "x; reboot"))

    async def test_differs_from_a_wrong_address(
        self, server: OllamaServer, engine: Opener, sink: RecordingSink
    ) -> None:
        server.default = saying(404, "text/plain", b"404 page not found")
        with pytest.raises(Declined, match="not Ollama's API"):
            await engine().execute(chat(PROMPT))
        (changed,) = sink.of(EngineChanged)
        assert not changed.available


class TestAnEngineThatIsAbsent:
    async def test_declines_and_is_found_when_it_comes(self, sink: RecordingSink, clock: HandClock) -> None:
        server = OllamaServer()
        url = server.reserve().replace("http://", "http://user:hidden@")
        executor = OllamaExecutor(OllamaPolicy(url), clock, sink, ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT))
        try:
            with pytest.raises(Declined, match=f"nothing answers at {server.url} .*ollama serve") as declined:
                await executor.execute(chat(PROMPT))
            assert "hidden" not in str(declined.value)
            assert sink.events == [EngineChanged("ollama", available=False, reason=str(declined.value))]

            await server.start()
            for _ in range(20):
                with pytest.raises(Declined, match="nothing answers"):
                    await executor.execute(chat(PROMPT))
            assert server.connections == 0, "a missing engine is left alone"

            clock.now += 5.0
            assert (await executor.execute(chat(PROMPT))).text == "Hello there."
            await executor.execute(chat(PROMPT))
            assert server.paths == ["/api/tags", "/api/chat", "/api/chat"]
            assert [change.available for change in sink.of(EngineChanged)] == [False, True]
        finally:
            await executor.aclose()
            await server.stop()

    async def test_is_looked_for_by_one_caller_at_a_time(
        self, server: OllamaServer, engine: Opener, sink: RecordingSink, clock: HandClock
    ) -> None:
        await server.stop()
        executor = engine()
        for _ in range(3):
            answers = await asyncio.gather(*(executor.execute(chat(PROMPT)) for _ in range(30)), return_exceptions=True)
            assert all(isinstance(answer, Declined) for answer in answers)
            clock.now += 5.0
        assert len(sink.of(EngineChanged)) == 1
        assert sink.of(EngineCalled) == []

    async def test_is_told_again_when_it_leaves(
        self, server: OllamaServer, engine: Opener, sink: RecordingSink, clock: HandClock
    ) -> None:
        executor = engine()
        await executor.execute(chat(PROMPT))
        await server.stop()
        with pytest.raises(ExecutorError):
            await executor.execute(chat(PROMPT))
        with pytest.raises(Declined):
            await executor.execute(chat(PROMPT))
        assert [change.available for change in sink.of(EngineChanged)] == [True, False]

    async def test_may_accept_and_stay_silent(self, sink: RecordingSink, clock: HandClock, unresponsive: str) -> None:
        policy = OllamaPolicy(unresponsive.replace("http:", "https:"), connect_s=0.05)
        executor = OllamaExecutor(policy, clock, sink, ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT))
        with pytest.raises(Declined, match=r"nothing answers at .*ConnectTimeout"):
            await executor.execute(chat(PROMPT))
        clock.now += 5.0
        with pytest.raises(Declined, match="nothing answers"):
            await executor.execute(chat(PROMPT))
        await executor.aclose()

    @pytest.fixture
    async def unresponsive(self) -> AsyncIterator[str]:
        async with ollama_server(stalling()) as silent:
            yield silent.url

    @pytest.mark.parametrize("tags", [saying(404, "text/html", b"<html>"), stalling()])
    async def test_is_looked_for_once_in_a_while(
        self, engine: Opener, server: OllamaServer, clock: HandClock, tags: Script
    ) -> None:
        server.default = saying(404, "text/html", b"<html>")
        executor = engine(connect_s=0.3)
        with pytest.raises(Declined, match="not Ollama's API"):
            await executor.execute(chat(PROMPT))
        normal, server.tags = server.tags, tags
        for looks in (1, 2, 3):
            clock.now += 5.0
            calls = (executor.execute(chat(PROMPT)) for _ in range(30))
            answers = await asyncio.gather(*calls, return_exceptions=True)
            assert all(isinstance(answer, Declined) for answer in answers)
            assert server.paths == ["/api/chat", *["/api/tags"] * looks]
        clock.now += 5.0
        server.default, server.tags = answering("back"), normal
        assert (await executor.execute(chat(PROMPT))).text == "back"

    async def test_is_not_sought_through_the_environments_proxy(
        self, server: OllamaServer, engine: Opener, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, "http://127.0.0.1:9")
        assert (await engine().execute(chat(PROMPT))).text == "Hello there."


class TestCancelling:
    @pytest.mark.parametrize("pieces", [(), ("It begins",)])
    async def test_stops_the_engine(
        self, server: OllamaServer, engine: Opener, sink: RecordingSink, pieces: tuple[str, ...]
    ) -> None:
        server.scripts.append(stalling(*pieces))
        executor, taken = engine(), Pieces()
        async with running(executor.execute(chat(PROMPT), taken)) as call:
            await wait_until(lambda: server.running == 1 and taken.texts == list(pieces))
            call.cancel()
            await wait_until(lambda: server.left == 1, what="the server sees the client leave")
            with pytest.raises(asyncio.CancelledError):
                await call
        assert "ended before" in sink.of(EngineCalled)[0].error
        assert (await executor.execute(chat(PROMPT))).text == "Hello there."

    async def test_by_a_deadline_is_the_callers(self, server: OllamaServer, engine: Opener) -> None:
        server.default = stalling("It begins")
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await engine().execute(chat(PROMPT))
        await wait_until(lambda: server.left == 1)

    async def test_ends_the_stream_when_the_taker_fails(self, server: OllamaServer, engine: Opener) -> None:
        class Broken:
            async def push(self, text: str) -> None:
                raise ValueError("the taker broke")

        server.default = stalling("It begins")
        with pytest.raises(ValueError, match="the taker broke") as kept:
            await engine().execute(chat(PROMPT), Broken())
        await wait_until(lambda: server.left == 1, what="the stream closes though the error keeps its frames alive")
        assert kept.traceback

    async def test_leaves_no_connection_behind(self, server: OllamaServer, engine: Opener) -> None:
        server.default = stalling("It begins")
        executor = engine(concurrency=2)
        for _ in range(5):
            async with running(executor.execute(chat(PROMPT))) as call:
                await wait_until(lambda: server.running == 1)
                call.cancel()
                await asyncio.gather(call, return_exceptions=True)
            await wait_until(lambda: server.running == 0)
        server.default = echoing
        assert (await executor.execute(chat("still here"))).text == "still here"


class TestEmbeddings:
    async def test_come_in_batches_and_in_order(
        self, server: OllamaServer, engine: Opener, sink: RecordingSink
    ) -> None:
        server.default = embedding(prompt_eval_count=4)
        executor = engine(batch=3, keep_alive="5m", model_override="nomic-embed-text:latest")
        made = await executor.execute(EmbeddingPayload("m", tuple("x" * n for n in range(1, 8))))
        vectors = tuple((float(n), float((n - 1) % 3), 0.5) for n in range(1, 8))
        assert made == Embeddings(vectors, "nomic-embed-text:latest", "ollama", prompt_tokens=12)
        assert {request.path for request in server.requests} == {"/api/embed"}
        assert server.requests[2].chat == {
            "model": "nomic-embed-text:latest",
            "input": ["xxxxxxx"],
            "truncate": False,
            "keep_alive": "5m",
        }
        called = EngineCalled("ollama", "nomic-embed-text:latest", 0.0, None, prompt_tokens=4)
        assert sink.of(EngineCalled) == [called] * 3

    async def test_may_come_without_a_count(self, server: OllamaServer, engine: Opener) -> None:
        server.scripts.extend([embedding(prompt_eval_count=4), embedding()])
        made = await engine(batch=1).execute(EmbeddingPayload("m", ("one", "two")))
        assert made.prompt_tokens is None

    @pytest.mark.parametrize(
        ("script", "text"),
        [
            (refusing(400, "the input length exceeds the context length"), "answered 400: the input length"),
            (saying(200, JSON, b'{"model":"m","embeddings":[[1.0]]}'), "1 vectors of 2 texts"),
            (saying(200, JSON, b'{"model":"m","embeddings":[[1.0],[1.0,2.0]]}'), "of several"),
            (saying(200, JSON, b'{"model":"m"}'), "does not speak as Ollama does"),
            (saying(200, JSON, b" " * 4 * 2**20), "more than"),
            (saying(200, "text/html", b"<html>"), "does not speak as Ollama does"),
            (refusing(400, "invalid input: my secret diary"), "quotes the request"),
        ],
    )
    async def test_are_a_vector_a_text_or_nothing(
        self, server: OllamaServer, engine: Opener, script: Script, text: str
    ) -> None:
        server.default = script
        with pytest.raises(EngineFailed, match=text):
            await engine().execute(EmbeddingPayload("m", ("two", "my secret diary")))

    async def test_need_the_model(self, server: OllamaServer, engine: Opener) -> None:
        server.default = refusing(404, 'model "nomic" not found, try pulling it first')
        with pytest.raises(Declined, match="ollama pull nomic"):
            await engine().execute(EmbeddingPayload("nomic", ("one",)))

    async def test_need_the_engine(self, server: OllamaServer, engine: Opener, sink: RecordingSink) -> None:
        await server.stop()
        with pytest.raises(Declined, match=r"nothing answers at .*attempts failed.*run: ollama serve"):
            await engine().execute(EmbeddingPayload("nomic", ("one",)))
        assert [change.available for change in sink.of(EngineChanged)] == [False]


class TestManyCalls:
    async def test_share_a_few_connections(self, server: OllamaServer, engine: Opener) -> None:
        server.default = echoing
        fleet = Limited(engine(concurrency=3), 3)
        prompts = [f"prompt number {number}" for number in range(40)]
        answers = await asyncio.gather(*(fleet.execute(chat(prompt)) for prompt in prompts))
        assert [answer.text for answer in answers] == prompts
        assert server.peak == 3
        assert server.connections == 3

    async def test_keep_their_pieces_apart(self, server: OllamaServer, engine: Opener) -> None:
        server.default = echoing
        executor = engine(concurrency=8)
        takers = [Pieces() for _ in range(8)]
        answers = await asyncio.gather(
            *(executor.execute(chat(f"say {n} and {n}"), taker) for n, taker in enumerate(takers))
        )
        assert [answer.text for answer in answers] == [taker.text for taker in takers]


async def test_a_closed_executor_declines(server: OllamaServer, engine: Opener) -> None:
    executor = engine()
    await executor.execute(chat(PROMPT))
    await executor.aclose()
    await executor.aclose()
    with pytest.raises(Declined, match="closed"):
        await executor.execute(chat(PROMPT))


@pytest.mark.parametrize(
    "policy",
    [
        {"base_url": "ftp://user:hidden@127.0.0.1"},
        {"base_url": "127.0.0.1:11434"},
        {"base_url": "http://"},
        {"base_url": "http://127.0.0.1:99999"},
        {"base_url": "http://user:hidden/with-a-slash@127.0.0.1"},
        {"base_url": "http://[user:hidden@127.0.0.1"},
        {"max_output": 0},
        {"concurrency": 0},
        {"batch": 0},
        {"name": ""},
    ],
)
def test_a_policy_that_makes_no_sense_is_refused(policy: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"\w") as refused:
        OllamaPolicy(**policy)
    assert "hidden" not in str(refused.value)


@pytest.fixture(autouse=True)
def no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OLLAMA_API_KEY", raising=False)
