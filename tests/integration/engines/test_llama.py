"""A real engine: llama.cpp's server on a tiny model of random weights."""

from __future__ import annotations

import asyncio
import math
import ssl

import pytest

from node.domain.errors import Declined, EngineFailed
from node.domain.events import EngineCalled, EngineChanged
from node.domain.jobs import ChatPayload, EmbeddingPayload, Message
from node.domain.results import Embeddings, Generation
from node.domain.secret import Secret
from node.executors.openai_library import OpenAiLibrary
from node.executors.openai_policy import OpenAiPolicy
from node.executors.progress import Progressing, ProgressPolicy
from node.ports.library import StoredModel
from node.runtime.system import SystemClock
from tests.integration.engines.conftest import KEY, Opener
from tests.support.events import RecordingSink
from tests.support.llama_server import ALIAS, CONTEXT, LlamaServer, needs_llama
from tests.support.waiting import wait_until
from tests.unit.executors.doubles import Pieces, chat

pytestmark = [needs_llama, pytest.mark.timeout(90)]

LONG = CONTEXT - 200
"""Tokens that take it a minute or so: longer than any wait in these tests."""


async def test_text_is_streamed(llama: LlamaServer, engine: Opener, sink: RecordingSink) -> None:
    pieces = Pieces()
    generation = await engine(llama).execute(chat("Good morning", ALIAS, max_output=20), pieces)
    assert isinstance(generation, Generation)
    assert len(pieces.texts) > 5
    assert pieces.text == generation.text
    assert (generation.model, generation.executor, generation.finish_reason) == (ALIAS, "llama.cpp", "length")
    assert generation.first_token_s is not None
    (called,) = sink.of(EngineCalled)
    assert (called.engine, called.model, called.error) == ("llama.cpp", ALIAS, "")
    assert 0 < generation.first_token_s <= called.took_s
    assert sink.of(EngineChanged) == [EngineChanged("llama.cpp", available=True, reason="")]


async def test_this_server_tells_no_usage_in_a_stream(llama: LlamaServer, engine: Opener) -> None:
    generation = await engine(llama).execute(chat("Good morning", ALIAS, max_output=5))
    assert isinstance(generation, Generation)
    assert (generation.prompt_tokens, generation.output_tokens, generation.tokens_per_s) == (None, None, None)


async def test_the_temperature_is_taken(llama: LlamaServer, engine: Opener) -> None:
    executor = engine(llama)
    first, second = [await executor.execute(chat("Go on", ALIAS, 30, temperature=0.0)) for _ in range(2)]
    assert isinstance(first, Generation)
    assert isinstance(second, Generation)
    assert first.text == second.text


async def test_texts_become_vectors(llama: LlamaServer, engine: Opener, sink: RecordingSink) -> None:
    inputs = ("good morning", "a quite different text", "good morning", "more")
    made = await engine(llama, batch=3).execute(EmbeddingPayload(ALIAS, inputs))
    assert isinstance(made, Embeddings)
    assert [len(vector) for vector in made.vectors] == [64] * 4
    assert math.dist(made.vectors[0], made.vectors[2]) < 0.01 < math.dist(made.vectors[0], made.vectors[1])
    assert made.prompt_tokens is not None
    assert made.prompt_tokens > sum(map(len, inputs)) / 2
    assert len(sink.of(EngineCalled)) == 2


async def test_jobs_at_once_do_not_mix(llama: LlamaServer, engine: Opener) -> None:
    executor = engine(llama)
    takers = [Pieces() for _ in range(4)]
    jobs = (executor.execute(chat(f"Job {n}", ALIAS, max_output=15), taker) for n, taker in enumerate(takers))
    answers = await asyncio.gather(*jobs)
    assert [answer.text for answer in answers if isinstance(answer, Generation)] == [taker.text for taker in takers]


async def test_a_deadline_stops_the_engine_s_work(llama: LlamaServer, engine: Opener, sink: RecordingSink) -> None:
    executor, pieces = engine(llama), Pieces()
    job = asyncio.ensure_future(executor.execute(chat("Never end", ALIAS, LONG), pieces))
    await wait_until(lambda: pieces.texts, timeout_s=20)
    job.cancel()
    with pytest.raises(asyncio.CancelledError):
        await job
    await llama.at_rest()
    await executor.execute(chat("And now", ALIAS, max_output=1))
    cut, answered = sink.of(EngineCalled)
    assert "ended before" in cut.error
    assert not answered.error


async def test_an_engine_that_freezes_is_given_up_and_works_on_when_it_thaws(
    mortal: LlamaServer, engine: Opener
) -> None:
    await asyncio.to_thread(mortal.start)
    executor, pieces = engine(mortal), Pieces()
    watched = Progressing(executor, ProgressPolicy(first_piece_s=20.0, silent_s=2.0), SystemClock())
    job = asyncio.ensure_future(watched.execute(chat("Never end", ALIAS, LONG), pieces))
    await wait_until(lambda: pieces.texts, timeout_s=20)
    mortal.freeze()
    try:
        with pytest.raises(EngineFailed, match="said nothing for 2 s"):
            await job
    finally:
        mortal.thaw()
    await mortal.at_rest()
    assert await watched.execute(chat("And now", ALIAS, max_output=1))


async def test_a_prompt_over_the_context_fails(llama: LlamaServer, engine: Opener, sink: RecordingSink) -> None:
    executor, pieces = engine(llama), Pieces()
    with pytest.raises(EngineFailed, match="longer than the model's context"):
        await executor.execute(chat("x" * (CONTEXT + 100), ALIAS), pieces)
    assert pieces.texts == []
    assert len(sink.of(EngineCalled)) == 1
    # on a connection of its own: the server closes that of the failed one a moment after its answer
    assert await engine(llama).execute(chat("Short", ALIAS, max_output=1))


async def test_what_the_server_quotes_is_not_shown(llama: LlamaServer, engine: Opener, sink: RecordingSink) -> None:
    bad = ChatPayload(ALIAS, (Message("martian", "my secret diary"),))
    with pytest.raises(EngineFailed, match="answered 500") as failed:
        await engine(llama).execute(bad)
    assert "secret diary" not in f"{failed.value!r} {sink.events!r}"


async def test_an_engine_that_dies_is_missing_and_found_again(
    mortal: LlamaServer, engine: Opener, sink: RecordingSink
) -> None:
    await asyncio.to_thread(mortal.start)
    executor, pieces = engine(mortal, recheck_s=0.0), Pieces()
    job = asyncio.ensure_future(executor.execute(chat("Never end", ALIAS, LONG), pieces))
    await wait_until(lambda: pieces.texts, timeout_s=20)
    mortal.kill()
    with pytest.raises(EngineFailed, match="broke off"):
        await job
    for _ in range(3):
        with pytest.raises(Declined, match="nothing answers"):
            await executor.execute(chat("Anybody there?", ALIAS, max_output=1))
    assert [changed.available for changed in sink.of(EngineChanged)] == [True, False]

    await asyncio.to_thread(mortal.start)
    assert await executor.execute(chat("And now", ALIAS, max_output=1))
    assert [changed.available for changed in sink.of(EngineChanged)] == [True, False, True]
    errors = [called.error for called in sink.of(EngineCalled)]
    assert ["broke off" in errors[0], "nothing answers" in errors[1], *errors[2:]] == [True, True, ""]


async def test_a_request_that_another_cuts_fails(odd_llama: LlamaServer, engine: Opener) -> None:
    executor, pieces = engine(odd_llama), Pieces()
    first = asyncio.ensure_future(executor.execute(chat("Never end", ALIAS, LONG), pieces))
    await wait_until(lambda: pieces.texts, timeout_s=20)
    assert await executor.execute(chat("Me first", ALIAS, max_output=3))
    with pytest.raises(EngineFailed, match="broke off"):
        await first


@pytest.mark.parametrize("key", ["", "sk-wrong-hunter2"])
async def test_a_wrong_key_is_told_with_its_remedy(
    odd_llama: LlamaServer, engine: Opener, sink: RecordingSink, key: str
) -> None:
    with pytest.raises(EngineFailed, match="check the engine's API key") as failed:
        await engine(odd_llama, api_key=Secret(key)).execute(chat("Let me in", ALIAS))
    assert "hunter2" not in f"{failed.value!r} {sink.events!r}"


async def test_its_models_are_listed(odd_llama: LlamaServer) -> None:
    policy = OpenAiPolicy("llama.cpp", odd_llama.base_url, Secret(KEY))
    library = OpenAiLibrary(policy, ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT))
    assert await library.stored() == (StoredModel(ALIAS),)
    assert await library.parallel() is None, "this server does not say that it runs one request at a time"
    await library.aclose()
