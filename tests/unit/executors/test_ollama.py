from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from node.domain.errors import Declined, EngineFailed, ExecutorError
from node.domain.events import EngineCalled, EngineChanged
from node.domain.jobs import ChatPayload, EmbeddingPayload, Message
from node.domain.results import Embeddings
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
            EngineCalled(
                "ollama", "gemma2:2b", 0.0, 7, prompt_tokens=11, first_token_s=0.0, finish_reason="stop", load_s=0.005
            ),
        ]
        assert generation.first_token_s == 0.0
        assert generation.tokens_per_s == pytest.approx(7 / 0.9)

    @pytest.mark.parametrize(
        ("metrics", "rate"),
        [
            ({"eval_count": 5}, 2.0),
            ({"eval_count": 5, "eval_duration": -1}, 2.0),
            ({"eval_duration": 7}, None),
            ({"eval_count": -5, "eval_duration": 7}, None),
            ({"eval_count": 10**30, "eval_duration": 7}, None),
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

    async def test_leaves_the_models_that_are_kept_where_they_are(self, server: OllamaServer, engine: Opener) -> None:
        executor = engine(keep_alive="5m", kept=("gemma2", "nomic:v1"))
        await executor.execute(chat(PROMPT, "gemma2:latest"))
        await executor.execute(chat(PROMPT, "gemma2:2b"))
        server.default = embedding()
        await executor.execute(EmbeddingPayload("nomic:v1", ("one",)))
        assert [request.chat["keep_alive"] for request in server.requests] == [-1, "5m", -1]

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
            (_half_a_line, "does not speak as Ollama does"),
            (_only_thought, "set think to false"),
            (answering("", reason="load"), "'load'"),
            (answering("", reason="unload"), "'unload'"),
            (refusing(400, '"m" does not support chat'), 'ollama answered 400: "m" does not support chat'),
            (refusing(400, ""), "ollama answered 400: without a reason"),
            (refusing(499, "request canceled"), "ollama answered 499: request canceled"),
            (refusing(500, "model requires more memory"), "ollama answered 500: model requires more memory"),
            (refusing(502, "too long a word " * 500), "…"),
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
        with pytest.raises(Declined, match="ollama has no model 'gemma2:2b'; run: ollama pull gemma2:2b") as declined:
            await executor.execute(chat(PROMPT), pieces)
        assert declined.value.told == "ollama has no model 'gemma2:2b'"
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
        with pytest.raises(EngineFailed, match="not Ollama's API") as failed:
            await engine().execute(chat(PROMPT))
        assert (failed.value.told, sink.of(EngineChanged)) == ("ollama gave no answer of its kind", [])
        (call,) = sink.of(EngineCalled)
        assert (call.error, call.is_refusal) == (str(failed.value), False)


class TestAnEngineThatIsAbsent:
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
    async def test_is_looked_for_once_in_a_while(self, engine: Opener, clock: HandClock, tags: Script) -> None:
        absent = OllamaServer()
        executor = engine(base_url=absent.reserve(), connect_s=0.3)
        with pytest.raises(Declined, match="nothing answers"):
            await executor.execute(chat(PROMPT))
        normal, absent.tags = absent.tags, tags
        await absent.start()
        for looks in (1, 2, 3):
            clock.now += 5.0
            calls = (executor.execute(chat(PROMPT)) for _ in range(30))
            answers = await asyncio.gather(*calls, return_exceptions=True)
            assert all(isinstance(answer, Declined) for answer in answers)
            assert absent.paths == ["/api/tags"] * looks
        clock.now += 5.0
        absent.default, absent.tags = answering("back"), normal
        assert (await executor.execute(chat(PROMPT))).text == "back"
        await executor.aclose()
        await absent.stop()


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
