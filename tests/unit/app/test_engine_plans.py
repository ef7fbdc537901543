"""What the settings ask of engines, and what a job goes through on its way to one."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from node.app.engines import plan_engines
from node.domain.errors import Declined, EngineFailed, EngineRefused, InvalidInput, Refused
from node.domain.events import BreakerChanged, FellBack, RuleBroken
from node.domain.results import Generation
from node.executors.routing import Route
from tests.support.events import RecordingSink
from tests.support.waiting import wait_until
from tests.unit.app.engine_bench import built, settings, tagged
from tests.unit.executors import ollama_server as ollama
from tests.unit.executors import openai_server as openai
from tests.unit.executors.doubles import chat
from tests.unit.executors.ollama_server import OllamaServer, ollama_server
from tests.unit.executors.openai_server import OpenAiServer, openai_server


@pytest.mark.parametrize(
    ("environ", "names"),
    [
        ({}, ["ollama"]),
        ({"OLLAMA_BASE_URL": "http://127.0.0.1:1"}, ["ollama"]),
        ({"OPENAI_BASE_URL": "http://127.0.0.1:2/v1"}, ["openai"]),
        ({"OPENAI_BASE_URL": "http://127.0.0.1:2/v1", "OLLAMA_API_URL": "http://127.0.0.1:1"}, ["ollama", "openai"]),
        ({"OPENAI_BASE_URL": "http://127.0.0.1:2/v1", "LLM_NODE_ENGINES__LIST": "g=ollama:http://127.0.0.1:3"}, ["g"]),
    ],
)
def test_the_engines_are_those_that_are_named(tmp_path: Path, environ: dict[str, str], names: list[str]) -> None:
    plan = plan_engines(settings(tmp_path, environ), tmp_path)
    assert [name for name, _, _ in plan.entries] == names


def test_the_settings_file_that_comes_along_names_no_engine(tmp_path: Path) -> None:
    file = Path(__file__).parents[3] / "config" / "node.toml"
    for ollama_too in (False, True):
        text = file.read_text()
        if ollama_too:
            text = text.replace("http://127.0.0.1:11434", "http://127.0.0.1:1")
        (tmp_path / "node.toml").write_text(text)
        plan = plan_engines(settings(tmp_path, {"OPENAI_BASE_URL": "http://127.0.0.1:2/v1"}), tmp_path)
        assert [name for name, _, _ in plan.entries] == (["ollama", "openai"] if ollama_too else ["openai"])


def test_a_plan_holds_what_was_written(tmp_path: Path) -> None:
    (tmp_path / "deny.txt").write_text("# what is not answered\n\n(?i)forbidden\n")
    loaded = settings(
        tmp_path,
        engines__list="a=ollama:http://127.0.0.1:1,b=openai:http://127.0.0.1:2/v1",
        engines__routes="llama*=b+a",
        engines__per_model="big*=1",
        engines__fallbacks="big:70b=small:8b",
        rules__deny_file="deny.txt",
        worker__slots=3,
    )
    plan = plan_engines(loaded, tmp_path)
    assert plan.routes == (Route("llama*", ("b", "a")),)
    assert (plan.limits[0].pattern, plan.limits[0].limit) == ("big*", 1)
    assert plan.fallbacks[0].alternatives == ("small:8b",)
    assert plan.rules.deny == ("(?i)forbidden",)
    assert plan.slots == 3
    assert plan_engines(settings(tmp_path), tmp_path).slots == 0


def test_all_that_is_wrong_is_told_at_once(tmp_path: Path) -> None:
    (tmp_path / "deny.txt").write_text("fine\n# a comment\n\n(unclosed\n(a+)+b\n")
    loaded = settings(
        tmp_path,
        engines__list="a=ollama:http://127.0.0.1:1,a=ollama:http://127.0.0.1:2,b=ollama:http://127.0.0.1:3",
        engines__routes="no-equals,llama*=a+nowhere",
        engines__per_model="big*=none,big*=0",
        engines__fallbacks="big:70b=big*",
        rules__deny_file="deny.txt",
        rules__allow_file="missing.txt",
    )
    with pytest.raises(InvalidInput) as caught:
        plan_engines(loaded, tmp_path)
    faults = caught.value.faults
    told = {(fault.place, fault.line) for fault in faults}
    assert told == {
        ("engines.list", None),
        ("engines.routes", None),
        ("engines.per_model", None),
        ("engines.fallbacks", None),
        ("deny.txt", 4),
        ("deny.txt", 5),
        ("missing.txt", None),
    }
    problems = str(caught.value)
    assert "two engines are called a" in problems
    assert "there is no engine 'nowhere'" in problems
    assert "the engines are a, a, b" in problems
    assert [fault.place for fault in faults].count("engines.routes") == 2
    assert [fault.place for fault in faults].count("engines.per_model") == 2


async def by_model(exchange: ollama.Exchange) -> None:
    """Fails for models that are called bad, and answers for all others."""
    bad = exchange.chat["model"].startswith("bad")
    await (ollama.refusing(500, "it broke") if bad else ollama.answering("Fine."))(exchange)


@pytest.mark.parametrize("falls_back", [False, True])
async def test_other_models_run_only_where_that_is_allowed(tmp_path: Path, falls_back: bool) -> None:
    events = RecordingSink()
    async with ollama_server(by_model) as server:
        server.tags = tagged("bad:1b", "good:1b")
        wanted = {"engines__fallbacks": "bad:1b=good:1b", "engines__retries": 0, "ollama__url": server.url}
        async with built(tmp_path, events, falls_back=falls_back, **wanted) as engines:
            if not falls_back:
                with pytest.raises(EngineFailed, match="it broke"):
                    await engines.executor.execute(chat("Hi", "bad:1b"))
                assert not events.of(FellBack)
                return
            made = await engines.executor.execute(chat("Hi", "bad:1b"))
            assert isinstance(made, Generation)
            assert (made.model, made.text) == ("good:1b", "Fine.")
            assert [(event.asked, event.tried) for event in events.of(FellBack)] == [("bad:1b", "good:1b")]


@pytest.mark.parametrize("enabled", ["true", "false"])
async def test_the_breaker_can_be_set_off(tmp_path: Path, enabled: str) -> None:
    events = RecordingSink()
    environ = {"ENABLE_CIRCUIT_BREAKER": enabled, "CIRCUIT_BREAKER_THRESHOLD": "2", "OLLAMA_MAX_RETRIES": "0"}
    async with ollama_server(by_model) as server:
        server.tags = tagged("bad:1b", "good:1b")
        async with built(tmp_path, events, environ=environ, ollama__url=server.url) as engines:
            for _ in range(2):
                with pytest.raises(EngineFailed):
                    await engines.executor.execute(chat("Hi", "bad:1b"))
            left_alone = enabled == "true"
            with pytest.raises(Declined if left_alone else EngineFailed):
                await engines.executor.execute(chat("Hi", "bad:1b"))
            assert len(server.requests) == (2 if left_alone else 3)
            assert [event.state for event in events.of(BreakerChanged)] == (["open"] if left_alone else [])
            assert isinstance(await engines.executor.execute(chat("Hi", "good:1b")), Generation)


async def test_what_failed_before_its_first_piece_is_tried_again(tmp_path: Path) -> None:
    async with ollama_server() as server:
        server.tags = tagged("m:1b")
        server.scripts.extend([ollama.refusing(500, "not yet"), ollama.answering("Now.")])
        async with built(tmp_path, RecordingSink(), engines__retries=1, ollama__url=server.url) as engines:
            made = await engines.executor.execute(chat("Hi", "m:1b"))
    assert isinstance(made, Generation)
    assert made.text == "Now."
    assert len(server.requests) == 2


async def test_each_try_counts_for_the_breaker_and_an_open_one_ends_the_tries(tmp_path: Path) -> None:
    events = RecordingSink()
    async with ollama_server(by_model) as server:
        server.tags = tagged("bad:1b")
        wanted = {"engines__retries": 5, "breaker__failures": 2, "ollama__url": server.url}
        async with built(tmp_path, events, **wanted) as engines:
            with pytest.raises(Declined, match="left alone"):
                await engines.executor.execute(chat("Hi", "bad:1b"))
    assert len(server.requests) == 2
    assert [event.state for event in events.of(BreakerChanged)] == ["open"]


async def test_an_engine_that_goes_silent_is_given_up_and_that_counts(tmp_path: Path) -> None:
    events = RecordingSink()
    async with ollama_server(ollama.stalling("It was")) as server:
        server.tags = tagged("m:1b")
        wanted = {"engines__silent_s": 0.1, "breaker__failures": 1, "ollama__url": server.url}
        async with built(tmp_path, events, **wanted) as engines:
            with pytest.raises(EngineFailed, match="said nothing for"):
                await engines.executor.execute(chat("Hi", "m:1b"))
    assert [event.state for event in events.of(BreakerChanged)] == ["open"]


async def test_waiting_for_a_slot_is_no_silence(tmp_path: Path) -> None:
    async def slow(exchange: ollama.Exchange) -> None:
        await asyncio.sleep(0.2)
        await ollama.answering("Done.")(exchange)

    async with ollama_server(slow) as server:
        server.tags = tagged("m:1b")
        wanted = {"engines__first_piece_s": 0.7, "worker__slots": 1, "engines__retries": 0, "ollama__url": server.url}
        async with built(tmp_path, RecordingSink(), **wanted) as engines:
            made = await asyncio.gather(*(engines.executor.execute(chat("Hi", "m:1b")) for _ in range(5)))
    assert len(made) == 5
    assert server.peak == 1


async def test_waiting_for_a_download_holds_up_no_other_job(tmp_path: Path) -> None:
    arrived = asyncio.Event()

    async def fetching(exchange: ollama.Exchange) -> None:
        if exchange.path != "/api/pull":
            await ollama.answering("Done.")(exchange)
            return
        await exchange.head()
        await exchange.line({"status": "pulling manifest"})
        await arrived.wait()
        server.tags = tagged("here:1b", "new:1b")
        await exchange.line({"status": "success"})
        await exchange.end()

    async with ollama_server(fetching) as server:
        server.tags = tagged("here:1b")
        wanted = {"models__pull": "true", "models__allowed": "here:1b,new:1b", "models__pull_free_gb": 0}
        wanted |= {"worker__slots": 1, "ollama__url": server.url, "engines__retries": 0}
        async with built(tmp_path, RecordingSink(), **wanted) as engines:
            waiting = [asyncio.create_task(engines.executor.execute(chat("Hi", "new:1b"))) for _ in range(3)]
            await wait_until(lambda: "/api/pull" in server.paths)
            assert isinstance(await engines.executor.execute(chat("Hi", "here:1b")), Generation)
            assert not any(job.done() for job in waiting)
            arrived.set()
            made = await asyncio.gather(*waiting)
    assert [each.model for each in made] == ["new:1b"] * 3
    assert server.paths.count("/api/pull") == 1


@pytest.mark.parametrize("enabled", ["true", "false"])
async def test_jobs_do_not_let_a_preloaded_model_go(tmp_path: Path, enabled: str) -> None:
    environ = {"MODEL_PRELOAD_LIST": "m:1b", "MODEL_PRELOAD_ENABLED": enabled}
    async with ollama_server() as server:
        server.tags = tagged("m:1b", "other:1b")
        wanted = {"ollama__url": server.url, "ollama__keep_alive": "5m"}
        async with built(tmp_path, RecordingSink(), environ=environ, **wanted) as engines:
            for model in ("m:1b", "other:1b"):
                await engines.executor.execute(chat("Hi", model))
    assert [request.chat["keep_alive"] for request in server.requests] == [-1 if enabled == "true" else "5m", "5m"]


async def test_a_model_has_a_limit_of_its_own(tmp_path: Path) -> None:
    async def slow(exchange: ollama.Exchange) -> None:
        await asyncio.sleep(0.05)
        await ollama.answering("Done.")(exchange)

    async with ollama_server(slow) as server:
        server.tags = tagged("m:1b")
        wanted = {"engines__per_model": "m*=2", "worker__slots": 8, "ollama__url": server.url}
        async with built(tmp_path, RecordingSink(), **wanted) as engines:
            await asyncio.gather(*(engines.executor.execute(chat("Hi", "m:1b")) for _ in range(6)))
    assert server.peak == 2


async def test_rules_come_before_everything_else(tmp_path: Path) -> None:
    (tmp_path / "deny.txt").write_text("(?i)forbidden\n")
    events = RecordingSink()
    async with ollama_server() as server:
        server.tags = tagged("m:1b", "other:1b")
        wanted = {"rules__deny_file": "deny.txt", "engines__fallbacks": "m:1b=other:1b", "ollama__url": server.url}
        async with built(tmp_path, events, falls_back=True, **wanted) as engines:
            with pytest.raises(Refused):
                await engines.executor.execute(chat("Something FORBIDDEN", "m:1b"))
            assert not server.requests
            assert len(events.of(RuleBroken)) == 1
            assert not events.of(FellBack)


async def test_what_an_engine_refuses_is_not_repeated(tmp_path: Path) -> None:
    async with openai_server(openai.refusing(400, {"error": {"message": "no such thing"}})) as server:
        server.tags = openai.models("m")
        async with built(tmp_path, RecordingSink(), openai__url=f"{server.url}/v1") as engines:
            with pytest.raises(EngineRefused):
                await engines.executor.execute(chat("Hi", "m"))
    assert len(server.requests) == 1


async def test_a_model_goes_to_the_engine_that_has_it(tmp_path: Path) -> None:
    one, two = OllamaServer(ollama.answering("One.")), OpenAiServer(openai.answering("Two."))
    one.tags, two.tags = tagged("of-one:1b"), openai.models("of-two")
    await one.start()
    await two.start()
    listed = f"one=ollama:{one.url},two=openai:{two.url}/v1"
    try:
        async with built(tmp_path, RecordingSink(), engines__list=listed) as engines:
            assert list(engines.raw) == ["one", "two"]
            assert {keeper.engine: keeper.offered() for keeper in engines.keepers} == {
                "one": ("of-one:1b",),
                "two": ("of-two",),
            }
            for model, text, name in (("of-one:1b", "One.", "one"), ("of-two", "Two.", "two")):
                made = await engines.executor.execute(chat("Hi", model))
                assert isinstance(made, Generation)
                assert (made.text, made.model, made.executor) == (text, model, name)
            with pytest.raises(Declined, match="nobodys"):
                await engines.executor.execute(chat("Hi", "nobodys"))
    finally:
        await one.stop()
        await two.stop()


async def test_an_override_runs_whatever_is_asked_for(tmp_path: Path) -> None:
    async with ollama_server() as server:
        server.tags = tagged("m:1b")
        wanted = {"ollama__url": server.url, "ollama__model_override": "m:1b"}
        async with built(tmp_path, RecordingSink(), **wanted) as engines:
            made = await engines.executor.execute(chat("Hi", "another:7b"))
    assert isinstance(made, Generation)
    assert made.model == "m:1b"
