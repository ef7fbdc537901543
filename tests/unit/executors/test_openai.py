from __future__ import annotations

import json
import ssl
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from node.domain.errors import Declined, EngineFailed
from node.domain.events import EngineCalled, EngineChanged
from node.domain.jobs import ChatPayload, EmbeddingPayload, Message
from node.domain.results import Embeddings
from node.domain.secret import Secret
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
    embedding,
    event,
    openai_server,
    opening,
    part,
    refusing,
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
            EngineCalled("vllm", "tiny", 5.0, 7, prompt_tokens=11, first_token_s=2.0, finish_reason="stop"),
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

    async def test_may_have_empty_reasons_until_its_end(self, server: OpenAiServer, engine: Opener) -> None:
        async def script(exchange: Exchange) -> None:
            await exchange.head(200, SSE)
            await exchange.chunk(part(exchange, {"role": "assistant", "content": ""}, ""))
            for piece in ("Hello", " there."):
                await exchange.chunk(part(exchange, {"content": piece}, ""))
            await exchange.chunk(part(exchange, {"content": ""}, "stop") + part(exchange, {}, "") + DONE)
            await exchange.end()

        server.default = script
        generation = await engine().execute(chat(PROMPT))
        assert (generation.text, generation.finish_reason) == ("Hello there.", "stop")

    async def test_may_go_on_after_its_reason(self, server: OpenAiServer, engine: Opener) -> None:
        async def script(exchange: Exchange) -> None:
            await exchange.head(200, SSE)
            await exchange.chunk(part(exchange, {"role": "assistant", "content": ""}, "length"))
            await exchange.chunk(part(exchange, {"content": "Hello"}, "length"))
            await exchange.chunk(part(exchange, {"content": " there."}, "length") + usage(exchange) + DONE)
            await exchange.end()

        server.default = script
        pieces = Pieces()
        generation = await engine().execute(chat(PROMPT), pieces)
        assert (generation.text, generation.finish_reason) == ("Hello there.", "length")
        assert generation.output_tokens == 7
        assert pieces.texts == ["Hello", " there."]

    async def test_with_nothing_but_empty_reasons_is_broken(self, server: OpenAiServer, engine: Opener) -> None:
        server.default = answering("Hello", reason="")
        with pytest.raises(EngineFailed, match="without a finish_reason"):
            await engine().execute(chat(PROMPT))

    async def test_may_come_with_usage_on_every_part(self, server: OpenAiServer, engine: Opener) -> None:
        async def script(exchange: Exchange) -> None:
            await exchange.head(200, SSE)
            await exchange.chunk(part(exchange, {"content": "a", "role": "assistant"}, usage={"prompt_tokens": 3}))
            await exchange.chunk(part(exchange, {"content": "b"}, "stop", usage=USAGE))
            await exchange.end()

        server.default = script
        generation = await engine().execute(chat(PROMPT))
        assert (generation.text, generation.output_tokens) == ("ab", 7)

    @pytest.mark.parametrize(
        ("told", "counts"),
        [
            ({"prompt_tokens": -5, "completion_tokens": 3}, (None, 3)),
            ({"prompt_tokens": 10**30, "completion_tokens": "3"}, (None, None)),
            ({"prompt_tokens": 1.5, "completion_tokens_details": {}}, (None, None)),
            ("none", (None, None)),
            ([], (None, None)),
        ],
    )
    async def test_is_not_thrown_away_for_odd_counts(
        self, server: OpenAiServer, engine: Opener, told: object, counts: tuple[int | None, int | None]
    ) -> None:
        async def script(exchange: Exchange) -> None:
            await exchange.head(200, SSE)
            await exchange.chunk(part(exchange, {"content": "ok"}, "stop", usage=told) + DONE)
            await exchange.end()

        server.default = script
        generation = await engine().execute(chat(PROMPT))
        assert (generation.text, generation.prompt_tokens, generation.output_tokens) == ("ok", *counts)

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

    async def test_may_be_written_over_several_lines(self, server: OpenAiServer, engine: Opener) -> None:
        async def script(exchange: Exchange) -> None:
            await exchange.head(200, SSE)
            for step in (part(exchange, {"content": "one\n two"}), part(exchange, {}, "stop")):
                pretty = json.dumps(json.loads(step.removeprefix(b"data: ")), indent=2)
                lines = [
                    b"retry: 10",
                    *(b"data: " + line.encode() for line in pretty.splitlines()),
                    b"",
                    b": ping",
                    b"",
                ]
                await exchange.chunk(b"\r\n".join(lines) + b"\r\n")
            await exchange.end()

        server.default = script
        assert (await engine().execute(chat(PROMPT))).text == "one\n two"

    async def test_may_come_in_one_piece_unasked(self, server: OpenAiServer, engine: Opener) -> None:
        whole = {"message": {"role": "assistant", "content": "whole"}, "finish_reason": "stop", "index": 0}
        answer = {"object": "chat.completion", "model": "tiny", "choices": [whole], "usage": USAGE}
        server.default = saying(200, JSON, ndjson(answer))
        pieces = Pieces()
        generation = await engine().execute(chat(PROMPT), pieces)
        assert generation.text == pieces.text == "whole"
        assert generation.output_tokens == 7

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
            (_half_an_event, "does not speak as OpenAI's API does"),
            (_error_event, "vllm failed: CUDA out of memory"),
            (_older_error_event, "vllm failed: EngineDeadError"),
            (_only_thought, "raise max_output"),
            (saying(200, SSE, b""), "is empty; the conversation may be longer than the model's context"),
            (saying(200, SSE, DONE), "is empty"),
            (saying(200, JSON, b""), "does not speak"),
            (saying(200, JSON, b'{"error":"no luck"}'), "vllm failed: no luck"),
            (saying(200, "text/html", b"<html>Welcome</html>"), "does not speak as OpenAI's API does"),
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
            (refusing(502, "too long a word " * 500), "…"),
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
        with pytest.raises(
            Declined, match=r"vllm has no model 'llama3.1:8b'; .* at http://127.*/v1/models"
        ) as declined:
            await executor.execute(chat(PROMPT, "llama3.1:8b"), pieces)
        assert declined.value.told == "vllm has no model 'llama3.1:8b'"
        assert pieces.texts == []
        assert "no model" in sink.of(EngineCalled)[0].error
        assert sink.of(EngineChanged)[0].available
        assert (await executor.execute(chat(PROMPT))).text == "Hello there."

    @pytest.mark.parametrize("body", [{"detail": "Not Found"}, "404 page not found"])
    async def test_differs_from_a_wrong_address(
        self, server: OpenAiServer, engine: Opener, sink: RecordingSink, body: Any
    ) -> None:
        server.default, normal = refusing(404, body), server.default
        server.tags, tags = refusing(404, body), server.tags
        executor = engine()
        with pytest.raises(EngineFailed, match="has no /chat/completions; check the URL") as failed:
            await executor.execute(chat(PROMPT))
        assert (failed.value.told, sink.of(EngineChanged)) == ("vllm gave no answer of its kind", [])
        assert [call.is_refusal for call in sink.of(EngineCalled)] == [False]
        server.default, server.tags = normal, tags
        assert (await executor.execute(chat(PROMPT))).text == "Hello there."


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
