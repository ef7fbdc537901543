from __future__ import annotations

import asyncio
import gzip
import json
import ssl
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from typing import Any

import pytest

from node.domain.errors import Declined, EngineFailed, EngineOverloaded, EngineRefused
from node.domain.events import EngineCalled, EngineChanged
from node.domain.jobs import ChatPayload, EmbeddingPayload, Message
from node.domain.results import Embeddings
from node.domain.secret import Secret
from node.domain.trace import TraceContext
from node.executors.openai_compatible import OpenAiExecutor
from node.executors.openai_policy import OpenAiPolicy
from tests.support.events import RecordingSink
from tests.support.waiting import wait_until
from tests.unit.executors.doubles import HandClock, Pieces, chat
from tests.unit.executors.ollama_server import JSON, Exchange, Script, ndjson, saying
from tests.unit.executors.openai_server import (
    DONE,
    SSE,
    USAGE,
    OpenAiServer,
    answering,
    echoing,
    embedding,
    event,
    openai_server,
    opening,
    part,
    refusing,
    stalling,
    usage,
)

PROMPT = "Why is the deep sky blue over Lisbon?"
KEY = "sk-hunter2-never-shown"
Opener = Callable[..., OpenAiExecutor]


@pytest.fixture
def sink() -> RecordingSink:
    return RecordingSink()


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


@pytest.fixture
async def server() -> AsyncIterator[OpenAiServer]:
    async with openai_server() as running:
        yield running


@pytest.fixture
async def engine(server: OpenAiServer, sink: RecordingSink, clock: HandClock) -> AsyncIterator[Opener]:
    made: list[OpenAiExecutor] = []

    def make(**policy: Any) -> OpenAiExecutor:
        settings = OpenAiPolicy(**{"name": "vllm", "base_url": f"{server.url}/v1", **policy})
        made.append(OpenAiExecutor(settings, clock, sink, ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)))
        return made[-1]

    yield make
    for executor in made:
        await executor.aclose()


class TestAnAnswer:
    async def test_is_streamed_joined_and_told(
        self, server: OpenAiServer, engine: Opener, sink: RecordingSink, clock: HandClock
    ) -> None:
        async def script(exchange: Exchange) -> None:
            clock.now += 2.0
            await opening(exchange, "The sky")
            await wait_until(lambda: len(pieces.texts) == 1)
            clock.now += 3.0
            await exchange.chunk(part(exchange, {"content": " scatters blue."}))
            await wait_until(lambda: len(pieces.texts) == 2)
            await exchange.chunk(part(exchange, {}, "stop") + usage(exchange) + DONE)
            await exchange.end()

        server.default = script
        pieces = Pieces()
        generation = await engine().execute(chat(PROMPT, "tiny"), pieces)
        assert generation.text == "The sky scatters blue."
        assert pieces.texts == ["The sky", " scatters blue."]
        assert (generation.model, generation.executor) == ("tiny", "vllm")
        assert (generation.prompt_tokens, generation.output_tokens, generation.finish_reason) == (11, 7, "stop")
        assert (generation.first_token_s, generation.tokens_per_s) == (2.0, 2.0)
        assert sink.events == [
            EngineChanged("vllm", available=True, reason=""),
            EngineCalled("vllm", "tiny", 5.0, 7, prompt_tokens=11, first_token_s=2.0),
        ]

    async def test_asks_for_nothing_that_was_not_asked_for(self, server: OpenAiServer, engine: Opener) -> None:
        conversation = (Message("system", "Be brief."), Message("user", PROMPT))
        await engine().execute(ChatPayload("tiny", conversation))
        request = server.requests[0]
        assert request.path == "/v1/chat/completions"
        assert "authorization" not in request.headers
        assert request.headers["accept-encoding"] == "identity"
        assert request.chat == {
            "model": "tiny",
            "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": PROMPT}],
            "stream": True,
            "stream_options": {"include_usage": True},
            "max_tokens": 4096,
        }

    async def test_says_where_it_stands_in_a_trace(self, server: OpenAiServer, engine: Opener) -> None:
        trace = TraceContext(0xABC, 0xDEF)
        await engine().execute(replace(chat(PROMPT, "tiny"), trace=trace))
        await engine().execute(chat(PROMPT, "tiny"))
        assert server.requests[0].headers["traceparent"] == f"00-{0xABC:032x}-{0xDEF:016x}-01"
        assert "traceparent" not in server.requests[1].headers

    @pytest.mark.parametrize(
        ("temperature", "max_output", "sent"),
        [(0.7, 100, (100, 0.7)), (3.9, 5000, (300, 2.0)), (-3, 0, (300, 0.0)), (float("nan"), -4, (1, 0.0))],
    )
    async def test_keeps_to_the_limits(
        self, server: OpenAiServer, engine: Opener, temperature: float, max_output: int, sent: tuple[int, float]
    ) -> None:
        await engine(max_output=300).execute(chat(PROMPT, "m", max_output, temperature))
        assert (server.requests[0].chat["max_tokens"], server.requests[0].chat["temperature"]) == sent

    async def test_takes_settings_along(self, server: OpenAiServer, engine: Opener) -> None:
        executor = engine(model_override="tiny", api_key=Secret(KEY), base_url=f"{server.url}/v1/")
        generation = await executor.execute(chat(PROMPT, "gemma2:2b"))
        assert server.requests[0].path == "/v1/chat/completions"
        assert server.requests[0].headers["authorization"] == f"Bearer {KEY}"
        assert generation.model == server.requests[0].chat["model"] == "tiny"

    async def test_names_the_model_that_ran(self, server: OpenAiServer, engine: Opener, sink: RecordingSink) -> None:
        async def script(exchange: Exchange) -> None:
            await exchange.head(200, SSE)
            await exchange.chunk(part(exchange, {"content": "ok"}, "stop", model="tiny@main"))
            await exchange.end()

        server.default = script
        assert (await engine().execute(chat(PROMPT, "tiny"))).model == "tiny@main"
        assert sink.of(EngineCalled)[0].model == "tiny@main"

    @pytest.mark.parametrize("reason", ["stop", "length", "content_filter"])
    async def test_needs_neither_usage_nor_a_done(self, server: OpenAiServer, engine: Opener, reason: str) -> None:
        server.default = answering("cut", reason=reason, with_usage=False, done=False)
        generation = await engine().execute(chat(PROMPT))
        assert (generation.text, generation.finish_reason) == ("cut", reason)
        assert (generation.prompt_tokens, generation.output_tokens, generation.tokens_per_s) == (None, None, None)

    async def test_may_come_with_usage_on_every_part(self, server: OpenAiServer, engine: Opener) -> None:
        async def script(exchange: Exchange) -> None:
            await exchange.head(200, SSE)
            await exchange.chunk(part(exchange, {"content": "a", "role": "assistant"}, usage={"prompt_tokens": 3}))
            await exchange.chunk(part(exchange, {"content": "b"}, "stop", usage=USAGE))
            await exchange.end()

        server.default = script
        generation = await engine().execute(chat(PROMPT))
        assert (generation.text, generation.output_tokens) == ("ab", 7)

    async def test_may_hold_any_character_at_any_border(self, server: OpenAiServer, engine: Opener) -> None:
        text = 'a\x85b\u2028c\u2029d\u20ace\U0001f600\x0b\x0c\x1c\r\n\r"\\'

        async def script(exchange: Exchange) -> None:
            await exchange.head(200, SSE)
            body = json.loads(part(exchange, {"content": text}).removeprefix(b"data: "))
            raw = b": comment\r\nevent: message\r\ndata:" + json.dumps(body, ensure_ascii=False).encode() + b"\r\n\r\n"
            for byte in raw:
                await exchange.chunk(bytes([byte]))
            await exchange.chunk(part(exchange, {}, "stop"))
            await exchange.end()

        server.default = script
        assert (await engine().execute(chat(PROMPT))).text == text

    async def test_may_come_in_one_piece_unasked(self, server: OpenAiServer, engine: Opener) -> None:
        whole = {"message": {"role": "assistant", "content": "whole"}, "finish_reason": "stop", "index": 0}
        answer = {"object": "chat.completion", "model": "tiny", "choices": [whole], "usage": USAGE}
        server.default = saying(200, JSON, ndjson(answer))
        pieces = Pieces()
        generation = await engine().execute(chat(PROMPT), pieces)
        assert generation.text == pieces.text == "whole"
        assert generation.output_tokens == 7

    async def test_may_come_compressed(self, server: OpenAiServer, engine: Opener) -> None:
        body = gzip.compress(event({"choices": [{"delta": {"content": "ok"}, "finish_reason": "stop"}]}))
        server.default = saying(200, SSE, body, "Content-Encoding: gzip")
        assert (await engine().execute(chat(PROMPT))).text == "ok"

    async def test_may_have_parts_that_say_nothing(self, server: OpenAiServer, engine: Opener) -> None:
        async def script(exchange: Exchange) -> None:
            await exchange.head(200, SSE)
            for nothing in ({}, {"choices": []}, {"choices": None}, {"choices": [{"index": 0}]}, {"error": None}):
                await exchange.chunk(event(nothing))
            await exchange.chunk(part(exchange, {"content": "ok"}, "stop"))
            await exchange.end()

        server.default = script
        generation = await engine().execute(chat(PROMPT))
        assert (generation.text, generation.model) == ("ok", "gemma2:2b")

    @pytest.mark.parametrize("name", ["reasoning", "reasoning_content"])
    async def test_leaves_thinking_out(self, server: OpenAiServer, engine: Opener, name: str) -> None:
        async def script(exchange: Exchange) -> None:
            await exchange.head(200, SSE)
            await exchange.chunk(part(exchange, {name: "Let me see", "content": None}))
            await exchange.chunk(part(exchange, {"content": "Because."}))
            await exchange.chunk(part(exchange, {}, "stop"))
            await exchange.end()

        server.default = script
        assert (await engine().execute(chat(PROMPT))).text == "Because."

    async def test_counts_once_whole_though_the_stream_stays_open(self, server: OpenAiServer, engine: Opener) -> None:
        async def script(exchange: Exchange) -> None:
            await opening(exchange, "whole")
            await exchange.chunk(part(exchange, {}, "stop"))
            await asyncio.Event().wait()

        server.default = script
        assert (await engine().execute(chat(PROMPT))).text == "whole"
        await wait_until(lambda: server.left == 1)

    async def test_counts_once_whole_though_the_stream_breaks_then(self, server: OpenAiServer, engine: Opener) -> None:
        async def script(exchange: Exchange) -> None:
            await opening(exchange, "whole")
            await exchange.chunk(part(exchange, {}, "stop"))
            exchange.cut()

        server.default = script
        assert (await engine().execute(chat(PROMPT))).text == "whole"

    async def test_leaves_the_connection_for_the_next(self, server: OpenAiServer, engine: Opener) -> None:
        executor = engine()
        for _ in range(5):
            await executor.execute(chat(PROMPT))
        assert server.connections == 1


async def _done_alone(exchange: Exchange) -> None:
    """A stream that another request has cut: it says that it is done, and breaks."""
    await opening(exchange, "It begins")
    await exchange.chunk(DONE)
    exchange.cut()


async def _done_alone_unbroken(exchange: Exchange) -> None:
    await opening(exchange, "It begins")
    await exchange.chunk(DONE)
    await exchange.end()


async def _no_end(exchange: Exchange) -> None:
    await opening(exchange, "It begins")
    await exchange.end()


async def _cut(exchange: Exchange) -> None:
    await opening(exchange, "It begins")
    exchange.cut()


async def _reset(exchange: Exchange) -> None:
    await opening(exchange, "It begins")
    exchange.reset()


async def _cut_at_once(exchange: Exchange) -> None:
    exchange.cut()


async def _half_an_event(exchange: Exchange) -> None:
    await opening(exchange)
    await exchange.chunk(part(exchange, {"content": "It begins"})[:60])
    await exchange.end()


async def _error_event(exchange: Exchange) -> None:
    await opening(exchange, "It begins")
    await exchange.chunk(event({"error": {"message": "CUDA out of memory", "type": "api_error", "code": 500}}))
    await exchange.end()


async def _older_error_event(exchange: Exchange) -> None:
    await opening(exchange, "It begins")
    await exchange.chunk(event({"object": "error", "message": "EngineDeadError", "code": 500}))
    await exchange.end()


async def _only_thought(exchange: Exchange) -> None:
    await exchange.head(200, SSE)
    await exchange.chunk(part(exchange, {"reasoning_content": "Let me see"}))
    await exchange.chunk(part(exchange, {}, "length"))
    await exchange.end()


class TestAFailure:
    @pytest.mark.parametrize(
        ("script", "text"),
        [
            (_done_alone, "broke off"),
            (_done_alone_unbroken, "without a finish_reason"),
            (_no_end, "without a finish_reason"),
            (_cut, "broke off"),
            (_reset, "broke off"),
            (_cut_at_once, "broke off"),
            (_half_an_event, "does not speak as OpenAI's API does"),
            (_error_event, "vllm failed: CUDA out of memory"),
            (_older_error_event, "vllm failed: EngineDeadError"),
            (_only_thought, "raise max_output"),
            (saying(200, SSE, b""), "is empty; the conversation may be longer than the model's context"),
            (saying(200, SSE, DONE), "is empty"),
            (saying(200, JSON, b""), "does not speak"),
            (saying(200, JSON, b'{"error":"no luck"}'), "vllm failed: no luck"),
            (saying(200, "text/html", b"<html>Welcome</html>"), "is empty"),
            (
                refusing(400, {"error": {"message": "context_length_exceeded: 512 tokens", "code": 400}}),
                "answered 400: c",
            ),
            (refusing(400, {"error": {"message": "Too long", "code": "context_length"}}), "Too long (context_length)"),
            (refusing(500, "Internal Server Error"), "vllm answered 500: Internal Server Error"),
            (refusing(500, ""), "vllm answered 500: without a reason"),
            (refusing(500, {"odd": 1}), "vllm answered 500: without a reason"),
            (refusing(500, "model 'x' not found"), "vllm answered 500: model 'x' not found"),
            (refusing(502, "<html>\n oops </html>"), "vllm answered 502: <html> oops </html>"),
            (refusing(422, {"detail": [{"loc": ["body", "n"], "msg": "no", "input": "x"}, 3]}), "422: body.n: no;"),
            (refusing(502, "x" * 5000), "xxx…"),
            (saying(302, "text/html", b"", "Location: http://127.0.0.1:9/"), "vllm answered 302"),
            (refusing(401, {"detail": "Invalid API key"}), "check the engine's API key"),
            (refusing(403, {"error": {"message": f"Incorrect API key: {KEY}"}}), "check the engine's API key"),
            (refusing(500, f"who sent {KEY}?"), "who sent ***?"),
        ],
    )
    async def test_is_the_engines_and_says_why(
        self, server: OpenAiServer, engine: Opener, sink: RecordingSink, script: Script, text: str
    ) -> None:
        server.scripts.append(script)
        executor = engine(api_key=Secret(KEY))
        with pytest.raises(EngineFailed) as failed:
            await executor.execute(chat(PROMPT), Pieces())
        assert text in str(failed.value)
        assert len(str(failed.value)) < 300
        (called,) = sink.of(EngineCalled)
        assert (called.error, called.output_tokens, called.is_overload) == (str(failed.value), None, False)
        assert KEY not in f"{failed.value!r} {failed.value.__cause__!r} {sink.events!r} {executor.__dict__!r}"
        assert (await executor.execute(chat(PROMPT))).text == "Hello there.", "and the next call works"

    @pytest.mark.parametrize(
        "body",
        [b"[]", b'"text"', b"17", b"null", b'{"choices":7}', b'{"choices":[{"delta":{"content":[]}}]}', b"[" * 9999],
    )
    @pytest.mark.parametrize("status", [200, 500])
    async def test_is_met_whatever_the_body(
        self, server: OpenAiServer, engine: Opener, body: bytes, status: int
    ) -> None:
        server.default = saying(status, SSE, b"data: " + body + b"\n\n" if status == 200 else body)
        with pytest.raises(EngineFailed):
            await engine().execute(chat(PROMPT))

    @pytest.mark.parametrize("status", [429, 503])
    async def test_is_none_when_the_engine_is_full(
        self, server: OpenAiServer, engine: Opener, sink: RecordingSink, status: int
    ) -> None:
        server.default = refusing(status, {"error": {"message": "Loading model", "type": "unavailable_error"}})
        with pytest.raises(EngineOverloaded, match="vllm is full: Loading model"):
            await engine().execute(chat(PROMPT))
        assert sink.of(EngineCalled)[0].is_overload

    @pytest.mark.parametrize("head", [(200, SSE), (500, "text/plain")])
    async def test_is_an_answer_without_end(self, server: OpenAiServer, engine: Opener, head: tuple[int, str]) -> None:
        async def script(exchange: Exchange) -> None:
            await exchange.head(*head)
            while True:
                await exchange.chunk(b": " + b"x" * 65536)

        server.default = script
        with pytest.raises(EngineFailed):
            await engine(max_output=10).execute(chat(PROMPT))
        await wait_until(lambda: server.left == 1)

    async def test_is_a_prompt_that_is_no_text(self, server: OpenAiServer, engine: Opener, sink: RecordingSink) -> None:
        for job in (chat("half \ud83d a pair"), chat("whole", "half \ud83d"), EmbeddingPayload("m", ("a", "\ud83d"))):
            with pytest.raises(EngineRefused, match="surrogate"):
                await engine().execute(job)
        assert server.requests == []
        assert sink.events == [], "the engine has nothing to do with it"

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
        self, server: OpenAiServer, engine: Opener, script: Script, refused: bool
    ) -> None:
        server.default = script
        with pytest.raises(EngineFailed) as failed:
            await engine().execute(chat(PROMPT))
        assert isinstance(failed.value, EngineRefused) is refused

    @pytest.mark.parametrize(
        "script",
        [
            refusing(
                500, {"error": {"message": "invalid: {'role': 'martian', 'content': 'Why is the deep sky blue'}"}}
            ),
            refusing(400, PROMPT),
        ],
    )
    async def test_does_not_show_what_was_asked(
        self, server: OpenAiServer, engine: Opener, sink: RecordingSink, script: Script
    ) -> None:
        server.default = script
        with pytest.raises(EngineFailed, match="quotes the request") as failed:
            await engine().execute(chat(PROMPT))
        assert "deep sky" not in f"{failed.value!r} {failed.value.__cause__!r} {sink.events!r}"


class TestAModelThatIsMissing:
    @pytest.mark.parametrize(
        "script",
        [
            refusing(
                404, {"error": {"message": "The model `llama3.1:8b` does not exist.", "param": "model", "code": 404}}
            ),
            refusing(404, {"object": "error", "message": "The model `llama3.1:8b` does not exist."}),
            refusing(400, {"error": {"message": "no such thing", "code": "model_not_found"}}),
            refusing(400, {"error": "Model 'llama3.1:8b' not found"}),
            refusing(404, {"error": {"message": "No models loaded. Please load a model"}}),
        ],
    )
    async def test_is_declined_with_the_remedy(
        self, server: OpenAiServer, engine: Opener, sink: RecordingSink, script: Script
    ) -> None:
        server.scripts.append(script)
        executor, pieces = engine(), Pieces()
        with pytest.raises(Declined, match=r"vllm has no model 'llama3.1:8b'; .* listed at http://127.*/v1/models"):
            await executor.execute(chat(PROMPT, "llama3.1:8b"), pieces)
        assert pieces.texts == []
        assert "no model" in sink.of(EngineCalled)[0].error
        assert sink.of(EngineChanged)[0].available
        assert (await executor.execute(chat(PROMPT))).text == "Hello there."

    @pytest.mark.parametrize("body", [{"detail": "Not Found"}, "404 page not found"])
    async def test_differs_from_a_wrong_address(
        self, server: OpenAiServer, engine: Opener, sink: RecordingSink, clock: HandClock, body: Any
    ) -> None:
        server.default, normal = refusing(404, body), server.default
        server.tags, tags = refusing(404, body), server.tags
        executor = engine()
        for looks in range(3):
            with pytest.raises(Declined, match="has no /chat/completions; check the URL"):
                await executor.execute(chat(PROMPT))
            assert server.paths == ["/v1/chat/completions", *["/v1/models"] * looks]
            clock.now += 5.0
        assert [(change.available) for change in sink.of(EngineChanged)] == [False]
        server.default, server.tags = normal, tags
        assert (await executor.execute(chat(PROMPT))).text == "Hello there."


class TestAnEngineThatIsAbsent:
    async def test_declines_and_is_found_when_it_comes(self, sink: RecordingSink, clock: HandClock) -> None:
        server = OpenAiServer()
        url = server.reserve().replace("http://", "http://user:hidden@")
        policy = OpenAiPolicy("vllm", f"{url}/v1")
        executor = OpenAiExecutor(policy, clock, sink, ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT))
        try:
            with pytest.raises(Declined, match=f"nothing answers at {server.url}/v1 ") as declined:
                await executor.execute(chat(PROMPT))
            assert "hidden" not in str(declined.value)
            assert sink.events == [EngineChanged("vllm", available=False, reason=str(declined.value))]
            await server.start()
            for _ in range(20):
                with pytest.raises(Declined, match="nothing answers"):
                    await executor.execute(chat(PROMPT))
            assert server.connections == 0, "a missing engine is left alone"
            clock.now += 5.0
            assert (await executor.execute(chat(PROMPT))).text == "Hello there."
            assert server.paths == ["/v1/models", "/v1/chat/completions"]
            assert [change.available for change in sink.of(EngineChanged)] == [False, True]
        finally:
            await executor.aclose()
            await server.stop()

    async def test_may_accept_and_stay_silent(self, server: OpenAiServer, engine: Opener) -> None:
        server.default = stalling()
        with pytest.raises(Declined, match=r"nothing answers at https://.*ConnectTimeout"):
            await engine(base_url=server.url.replace("http:", "https:"), connect_s=0.05).execute(chat(PROMPT))

    async def test_is_not_sought_through_the_environments_proxy(
        self, engine: Opener, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, "http://127.0.0.1:9")
        assert (await engine().execute(chat(PROMPT))).text == "Hello there."


class TestCancelling:
    @pytest.mark.parametrize("pieces", [(), ("It begins",)])
    async def test_stops_the_engine(
        self, server: OpenAiServer, engine: Opener, sink: RecordingSink, pieces: tuple[str, ...]
    ) -> None:
        server.scripts.append(stalling(*pieces))
        executor, taken = engine(concurrency=1), Pieces()
        call = asyncio.ensure_future(executor.execute(chat(PROMPT), taken))
        await wait_until(lambda: server.running == 1 and taken.texts == list(pieces))
        call.cancel()
        await wait_until(lambda: server.left == 1, what="the server sees the client leave")
        with pytest.raises(asyncio.CancelledError):
            await call
        assert "ended before" in sink.of(EngineCalled)[0].error
        assert (await executor.execute(chat(PROMPT))).text == "Hello there."

    async def test_ends_the_stream_when_the_taker_fails(self, server: OpenAiServer, engine: Opener) -> None:
        class Broken:
            async def push(self, text: str) -> None:
                raise ValueError("the taker broke")

        server.default = stalling("It begins")
        with pytest.raises(ValueError, match="the taker broke") as kept:
            await engine().execute(chat(PROMPT), Broken())
        await wait_until(lambda: server.left == 1, what="the stream closes though the error keeps its frames alive")
        assert kept.traceback


class TestEmbeddings:
    async def test_come_in_batches_and_in_order(
        self, server: OpenAiServer, engine: Opener, sink: RecordingSink
    ) -> None:
        server.default = embedding()
        made = await engine(batch=3).execute(EmbeddingPayload("tiny", tuple("x" * n for n in range(1, 8))))
        assert made == Embeddings(
            tuple((float(n), float((n - 1) % 3), 0.5) for n in range(1, 8)), "tiny", "vllm", prompt_tokens=7
        )
        assert [len(request.chat["input"]) for request in server.requests] == [3, 3, 1]
        assert {request.path for request in server.requests} == {"/v1/embeddings"}
        assert [called.prompt_tokens for called in sink.of(EngineCalled)] == [3, 3, 1]

    @pytest.mark.parametrize(
        ("data", "text"),
        [
            ([{"embedding": [1.0]}], "1 vectors of 2 texts"),
            ([{"embedding": [1.0]}, {"embedding": [1.0, 2.0]}], "of several"),
            ([{"embedding": []}, {"embedding": []}], "of no length"),
            ([{"embedding": [[1.0], [2.0]]}, {"embedding": [[1.0]]}], "does not speak"),
            ([{"embedding": [float("nan")]}, {"embedding": [1.0]}], "does not speak"),
            ([{"embedding": "AACAPw=="}, {"embedding": "AACAPw=="}], "does not speak"),
        ],
    )
    async def test_are_a_vector_a_text_or_nothing(
        self, server: OpenAiServer, engine: Opener, data: list[Any], text: str
    ) -> None:
        server.default = saying(200, JSON, json.dumps({"data": data}).encode())
        with pytest.raises(EngineFailed, match=text):
            await engine().execute(EmbeddingPayload("tiny", ("one", "two")))

    async def test_need_neither_indices_nor_usage(self, server: OpenAiServer, engine: Opener) -> None:
        server.default = saying(200, JSON, b'{"data":[{"embedding":[1,2]},{"embedding":[3,4]}]}')
        made = await engine().execute(EmbeddingPayload("tiny", ("one", "two")))
        assert made == Embeddings(((1.0, 2.0), (3.0, 4.0)), "tiny", "vllm")

    async def test_are_declined_by_a_server_that_makes_none(
        self, server: OpenAiServer, engine: Opener, sink: RecordingSink
    ) -> None:
        executor = engine()
        await executor.execute(chat(PROMPT))
        server.default = refusing(404, {"detail": "Not Found"})
        with pytest.raises(Declined, match="makes no embeddings"):
            await executor.execute(EmbeddingPayload("tiny", ("one",)))
        assert all(change.available for change in sink.of(EngineChanged)), "it is there all the same"

    async def test_have_a_bound(self, server: OpenAiServer, engine: Opener) -> None:
        server.default = saying(200, JSON, b" " * (2 * 2**20))
        with pytest.raises(EngineFailed, match="more than"):
            await engine().execute(EmbeddingPayload("tiny", ("one",)))

    async def test_are_not_quoted(self, server: OpenAiServer, engine: Opener) -> None:
        server.default = refusing(400, "cannot embed 'my secret diary'")
        with pytest.raises(EngineFailed, match="quotes the request"):
            await engine().execute(EmbeddingPayload("tiny", ("dear you", "my secret diary")))


async def test_many_calls_do_not_mix(server: OpenAiServer, engine: Opener) -> None:
    server.default = echoing
    executor = engine(concurrency=3)
    prompts = [f"prompt number {number}" for number in range(40)]
    answers = await asyncio.gather(*(executor.execute(chat(prompt)) for prompt in prompts))
    assert [answer.text for answer in answers] == prompts
    assert server.connections == server.peak == 3


async def test_a_closed_executor_declines(server: OpenAiServer, engine: Opener) -> None:
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
        {"base_url": "http://user:hidden/with-a-slash@127.0.0.1"},
        {"name": ""},
        {"api_key": Secret("hidden\n")},
        {"api_key": Secret("hidden-é")},
        {"max_output": 0},
        {"concurrency": 0},
        {"batch": 0},
    ],
)
def test_a_policy_that_makes_no_sense_is_refused(policy: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"\w") as refused:
        OpenAiPolicy(**{"name": "vllm", "base_url": "http://127.0.0.1:8000/v1", **policy})
    assert "hidden" not in str(refused.value)
