"""How engines that are put together get along with trouble: what is passed on, repeated, counted and told."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from node.app.engines import plan_engines
from node.domain.errors import Declined, EngineFailed, ExecutorError, InvalidInput
from node.domain.events import BreakerChanged, EngineCalled, EngineChanged
from node.domain.results import Generation
from node.executors.engine_calls import EngineAbsent
from node.executors.progress import EngineSilent
from node.runtime.system import SystemClock
from tests.support.events import RecordingSink
from tests.support.waiting import wait_until
from tests.unit.app.engine_bench import built, settings, tagged
from tests.unit.executors import ollama_server as ollama
from tests.unit.executors import openai_server as openai
from tests.unit.executors.doubles import chat
from tests.unit.executors.ollama_server import OllamaServer, ollama_server
from tests.unit.executors.openai_server import openai_server


@asynccontextmanager
async def twins() -> AsyncIterator[tuple[OllamaServer, OllamaServer, str]]:
    """Two servers with the same model, and what settings call them."""
    async with ollama_server() as one, ollama_server() as two:
        one.tags = two.tags = tagged("m:1b")
        yield one, two, f"one=ollama:{one.url},two=ollama:{two.url}"


async def test_jobs_are_spread_over_engines_with_the_same_model(tmp_path: Path) -> None:
    async with twins() as (one, two, listed):
        one.default = two.default = ollama.stalling("It begins")
        wanted = {"engines__list": listed, "worker__slots": 2}
        async with built(tmp_path, RecordingSink(), **wanted) as engines:
            jobs = [asyncio.create_task(engines.executor.execute(chat("Hi", "m:1b"))) for _ in range(4)]
            await wait_until(lambda: one.running + two.running >= 4)
            assert (one.running, two.running) == (2, 2)
            for job in jobs:
                job.cancel()
            await asyncio.wait(jobs)


@pytest.mark.parametrize("status", [500, 503])
async def test_what_one_engine_fails_at_another_runs(tmp_path: Path, status: int) -> None:
    async with twins() as (one, two, listed):
        one.default = ollama.refusing(status, "not me")
        async with built(tmp_path, RecordingSink(), engines__list=listed) as engines:
            made = [await engines.executor.execute(chat("Hi", "m:1b")) for _ in range(3)]
        assert {each.executor for each in made} == {"two"}
        assert len(one.requests) == len(two.requests) == 3, "nothing was repeated"


async def test_an_engine_that_is_started_anew_gets_the_job_that_met_it_away(tmp_path: Path) -> None:
    events, server = RecordingSink(), OllamaServer()
    server.tags = tagged("m:1b")
    url = server.reserve()
    async with built(tmp_path, events, ollama__url=url, engines__retries=20) as engines:
        job = asyncio.create_task(engines.executor.execute(chat("Hi", "m:1b")))
        await wait_until(lambda: bool(events.of(EngineChanged)))
        await server.start()
        try:
            assert isinstance(await job, Generation)
        finally:
            await server.stop()
    assert [change.available for change in events.of(EngineChanged)] == [False, True]


async def test_who_runs_jobs_knows_that_the_engine_is_back_as_soon_as_it_is_listed(tmp_path: Path) -> None:
    events, server = RecordingSink(), OllamaServer()
    server.tags = tagged("m:1b")
    wanted = {"ollama__url": server.reserve(), "ollama__recheck_s": 3600, "engines__retries": 0}
    async with built(tmp_path, events, **wanted) as engines:
        for _ in range(2):
            with pytest.raises(EngineAbsent):
                await engines.executor.execute(chat("Hi", "m:1b"))
        await server.start()
        try:
            await engines.keepers[0].catalogue.refresh()
            assert events.of(EngineChanged)[-1].available
            assert isinstance(await engines.executor.execute(chat("Hi", "m:1b")), Generation)
        finally:
            await server.stop()


async def test_an_engine_whose_list_answers_and_whose_chat_is_not_there_is_left_alone(tmp_path: Path) -> None:
    events = RecordingSink()
    async with openai_server(openai.refusing(404, "<html>not found</html>")) as server:
        server.tags = openai.models("m")
        wanted = {"openai__url": f"{server.url}/v1", "breaker__failures": 3, "engines__retries": 0}
        async with built(tmp_path, events, **wanted) as engines:
            for _ in range(3):
                with pytest.raises(EngineFailed, match="has no /chat/completions"):
                    await engines.executor.execute(chat("Hi", "m"))
                await engines.keepers[0].catalogue.refresh()
            with pytest.raises(Declined, match="left alone"):
                await engines.executor.execute(chat("Hi", "m"))
    assert [call.is_refusal for call in events.of(EngineCalled)] == [False] * 3
    assert [event.state for event in events.of(BreakerChanged)] == ["open"]
    assert all(change.available for change in events.of(EngineChanged)), "it is not told to come and go"


async def test_thinking_is_no_silence(tmp_path: Path) -> None:
    async def thinking(exchange: ollama.Exchange) -> None:
        await exchange.head()
        for _ in range(8):
            await exchange.line({**exchange.piece("", thinking="hm "), "done": False})
            await asyncio.sleep(0.1)
        await exchange.line({**exchange.piece("42"), "done": False})
        await exchange.line({**exchange.piece(""), "done": True, "done_reason": "stop"})
        await exchange.end()

    async with ollama_server(thinking) as server:
        server.tags = tagged("m:1b")
        wanted = {"ollama__url": server.url, "engines__first_piece_s": 0.5, "engines__silent_s": 0.5}
        async with built(tmp_path, RecordingSink(), **wanted) as engines:
            made = await engines.executor.execute(chat("Hi", "m:1b"))
    assert isinstance(made, Generation)
    assert made.text == "42"
    assert len(server.requests) == 1


async def test_silence_ends_before_the_job_and_is_not_asked_for_again(tmp_path: Path) -> None:
    events, clock = RecordingSink(), SystemClock()
    environ = {"WORKER_TIMEOUT": "1000", "CIRCUIT_BREAKER_THRESHOLD": "1"}
    async with ollama_server(ollama.stalling()) as server:
        server.tags = tagged("m:1b")
        async with built(tmp_path, events, environ=environ, ollama__url=server.url) as engines:
            began = clock.monotonic()
            with pytest.raises(EngineSilent, match=r"ollama said nothing for 0\.8 s"):
                await engines.executor.execute(chat("Hi", "m:1b"))
            assert clock.monotonic() - began >= 0.8
    assert len(server.requests) == 1
    assert [event.state for event in events.of(BreakerChanged)] == ["open"]


async def test_models_that_are_not_allowed_are_not_run(tmp_path: Path) -> None:
    environ = {"ALLOWED_MODELS": "tiny:*"}
    async with ollama_server() as server:
        server.tags = tagged("tiny:1b", "big:7b")
        async with built(tmp_path, RecordingSink(), environ=environ, ollama__url=server.url) as engines:
            with pytest.raises(Declined, match="ollama does not offer big:7b"):
                await engines.executor.execute(chat("Hi", "big:7b"))
            assert isinstance(await engines.executor.execute(chat("Hi", "tiny:1b")), Generation)
    assert [request.chat["model"] for request in server.requests] == ["tiny:1b"]


def test_nor_may_they_stand_in_for_others(tmp_path: Path) -> None:
    loaded = settings(tmp_path, {"ALLOWED_MODELS": "big:70b,ok:*"}, engines__fallbacks="big:70b=ok:1b+small:8b")
    with pytest.raises(InvalidInput) as caught:
        plan_engines(loaded, tmp_path)
    assert [str(fault) for fault in caught.value.faults] == [
        "engines.fallbacks: small:8b is not among models.allowed — allow it, or leave it out"
    ]


@pytest.mark.parametrize("there", [False, True])
async def test_who_asks_is_told_no_address(tmp_path: Path, there: bool) -> None:
    events = RecordingSink()
    async with openai_server(openai.refusing(404, "<html>not found</html>")) as server:
        server.tags, url = openai.models("m"), f"{server.url}/v1"
        if not there:
            await server.stop()
        async with built(tmp_path, events, openai__url=url, engines__retries=0, breaker__failures=1) as engines:
            for _ in range(3):
                with pytest.raises(ExecutorError) as raised:
                    await engines.executor.execute(chat("Hi", "m"))
                assert "127.0.0.1" not in raised.value.told
                assert "openai" in raised.value.told
    told = [call.error for call in events.of(EngineCalled)] + [change.reason for change in events.of(EngineChanged)]
    assert any(url in text for text in told), "the operator is"
