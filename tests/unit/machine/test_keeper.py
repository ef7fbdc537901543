from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest

from node.domain.errors import Declined, EngineFailed
from node.domain.events import Crash, EngineCalled, EngineChanged, ModelMoved, Notice
from node.domain.jobs import ChatPayload, Message, Payload
from node.domain.results import Generation
from node.machine.catalogue import CataloguePolicy
from node.machine.gpu import Gpu
from node.machine.keeper import KeeperPolicy, ModelKeeper
from node.machine.on_demand import OnDemand
from node.machine.sample import MachineSample
from node.ports.executor import Partials
from node.runtime.signals import Signal
from tests.support.virtual_time import VirtualClock, in_virtual_time
from tests.unit.machine.doubles import GB, MemoryLibrary, Told, a_sample, claimed, ended, gone, there

POLICY = KeeperPolicy(idle_s=60, reload_s=300, refresh_s=30, check_s=5)
PULLS = CataloguePolicy(allowed=("m", "n:7b", "q*"), pulls=True)


class Bench:
    """A keeper, its engine, and a machine whose memory is what the engine's models and ``others`` take."""

    def __init__(self, library: MemoryLibrary, policy: KeeperPolicy = POLICY) -> None:
        self.library = library
        self.told = Told()
        self.others = 0
        self.total = 10 * GB
        self.in_vram = False
        self.is_blind = False
        self.lags_s = 0.0
        self.keeper = ModelKeeper(library, policy, self.latest, VirtualClock(), self.told, random.Random(1))
        self.told.attach(self.keeper)

    def latest(self) -> MachineSample | None:
        if self.is_blind:
            return None
        models = self.library.in_memory.values()
        used = self.others + sum((model.vram_bytes if self.in_vram else model.bytes) or 0 for model in models)
        now = VirtualClock().monotonic()
        if self.in_vram:
            return a_sample(now, memory_used_ratio=0.99, gpus=(Gpu("card", self.total, used),))
        return a_sample(now, memory_used_ratio=used / self.total, memory_total_bytes=self.total)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Bench]:
        stop = Signal()
        task = asyncio.create_task(self.keeper.run(stop))
        await asyncio.sleep(1)
        try:
            yield self
        finally:
            stop.set()
            await task

    def moves(self, action: str) -> list[str]:
        return [event.model for event in self.told.of(ModelMoved) if event.action == action and not event.error]


class TestOffer:
    @in_virtual_time
    async def test_a_new_model_is_offered_by_the_next_listing(self) -> None:
        library = MemoryLibrary().have("a")
        async with Bench(library).running() as bench:
            assert bench.keeper.offered() == ("a",)
            library.have("b")
            await asyncio.sleep(34)
            assert bench.keeper.offered() == ("a", "b")
            assert bench.keeper.engine == "ollama"

    @in_virtual_time
    async def test_a_restart_of_the_engine_changes_nothing_and_a_long_absence_does(self) -> None:
        library, changes = MemoryLibrary().have("a"), []
        async with Bench(library).running() as bench:
            bench.keeper.catalogue.on_change(lambda: changes.append(bench.keeper.offered()))
            library.down = "connection refused"
            await asyncio.sleep(60)
            library.down = ""
            await asyncio.sleep(60)
            assert changes == []
            library.down = "connection refused"
            await asyncio.sleep(170)
            assert changes == [()]
            library.down = ""
            await asyncio.sleep(6)
            assert changes == [(), ("a",)]

    @in_virtual_time
    async def test_what_others_tell_of_the_engine_is_looked_into_at_once(self) -> None:
        library = MemoryLibrary()
        async with Bench(library).running() as bench:
            library.have("a")
            bench.told.emit(gone("ollama", "a job found it missing"))
            await asyncio.sleep(0.1)
            assert bench.keeper.offered() == ("a",)
            assert bench.told.of(EngineChanged)[-1] == there("ollama")

    @in_virtual_time
    async def test_a_model_that_was_removed_by_hand_is_offered_no_more_after_one_refused_job(self) -> None:
        library = MemoryLibrary().have("a", "b")
        async with Bench(library).running() as bench:
            await asyncio.sleep(2)
            del library.models["b"]
            bench.told.emit(EngineCalled("other", "b", 0.1, None, "no model", is_refusal=True))
            await asyncio.sleep(0.1)
            assert bench.keeper.offered() == ("a", "b")
            bench.told.emit(EngineCalled("ollama", "b", 0.1, None, "no model", is_refusal=True))
            await asyncio.sleep(0.1)
            assert bench.keeper.offered() == ("a",)

    @in_virtual_time
    async def test_a_run_of_refused_jobs_does_not_make_it_ask_and_ask(self) -> None:
        class Counting(MemoryLibrary):
            async def stored(self) -> Any:
                asked.append(VirtualClock().monotonic())
                return await super().stored()

        asked: list[float] = []
        async with Bench(Counting().have("a")).running() as bench:
            for _ in range(200):
                bench.told.emit(EngineCalled("ollama", "a", 0.1, None, "too long", is_refusal=True))
                await asyncio.sleep(0.1)
        assert 3 <= len(asked) <= 6

    @in_virtual_time
    async def test_an_engine_that_is_not_managed_is_listed_alone(self) -> None:
        library = MemoryLibrary(manages=False).have("a", "m")
        bench = Bench(library, replace(POLICY, preload=("m",), catalogue=PULLS))
        bench.others = 10 * GB
        async with bench.running():
            await asyncio.sleep(600)
            assert bench.keeper.offered() == ("m",)
            assert library.log == []
            with pytest.raises(Declined):
                await bench.keeper.ensure("n:7b")
            assert [notice.text for notice in bench.told.of(Notice)] == [
                "ollama loads and fetches no models when asked: models.preload and models.pull do not reach it"
            ]


class TestEnsure:
    @in_virtual_time
    async def test_fetches_what_is_allowed_by_name_and_offers_it(self) -> None:
        library = MemoryLibrary(remote={"m": GB})
        async with Bench(library, replace(POLICY, catalogue=PULLS)).running() as bench:
            assert not bench.keeper.catalogue.has("m")
            await bench.keeper.ensure("m")
            await bench.keeper.ensure("m:latest")
            assert library.log == ["pull m"]
            assert bench.keeper.offered() == ("m", "n:7b")

    @pytest.mark.parametrize("model", ["q:7b", "x"])
    def test_fetches_nothing_else(self, model: str) -> None:
        @in_virtual_time
        async def run() -> None:
            library = MemoryLibrary(remote={model: 1})
            async with Bench(library, replace(POLICY, catalogue=PULLS)).running() as bench:
                with pytest.raises(Declined, match=f"ollama has no model {model}"):
                    await bench.keeper.ensure(model)
            async with Bench(library, replace(POLICY, preload=("m",))).running() as bench:
                with pytest.raises(Declined):
                    await bench.keeper.ensure("m")
            assert library.log == []

        run()

    @in_virtual_time
    async def test_looks_again_before_it_fetches(self) -> None:
        library = MemoryLibrary(remote={"m": 1})
        async with Bench(library, replace(POLICY, catalogue=PULLS)).running() as bench:
            library.have("m")
            await bench.keeper.ensure("m")
            assert library.log == []

    @in_virtual_time
    async def test_an_engine_that_is_away_fetches_nothing(self) -> None:
        library = MemoryLibrary(down="gone")
        async with Bench(library, replace(POLICY, catalogue=PULLS)).running() as bench:
            with pytest.raises(EngineFailed, match="ollama does not answer, so m cannot be fetched"):
                await bench.keeper.ensure("m")

    @in_virtual_time
    async def test_what_cannot_be_fetched_is_offered_no_more_for_a_while(self) -> None:
        library = MemoryLibrary()
        async with Bench(library, replace(POLICY, catalogue=PULLS)).running() as bench:
            assert bench.keeper.offered() == ("m", "n:7b")
            with pytest.raises(EngineFailed, match="file does not exist"):
                await bench.keeper.ensure("m")
            assert bench.keeper.offered() == ("n:7b",)
            await asyncio.sleep(310)
            assert bench.keeper.offered() == ("m", "n:7b")

    @in_virtual_time
    async def test_the_end_of_the_watch_ends_downloads(self) -> None:
        library = MemoryLibrary(remote={"m": GB}, pull_s=1000)
        bench = Bench(library, replace(POLICY, catalogue=PULLS))
        async with bench.running():
            waiting = asyncio.create_task(bench.keeper.ensure("m"))
            await asyncio.sleep(5)
        with pytest.raises(EngineFailed, match="the download was ended"):
            await waiting


class TestPreload:
    @in_virtual_time
    async def test_loads_at_the_start_and_again_after_a_restart_of_the_engine(self) -> None:
        library = MemoryLibrary(sizes={"a": GB}).have("a", "b", "c")
        async with Bench(library, replace(POLICY, preload=("a", "b"))).running() as bench:
            assert bench.moves("load") == ["a", "b"]
            await asyncio.sleep(100)
            assert bench.moves("load") == ["a", "b"]
            library.in_memory.clear()
            await asyncio.sleep(6)
            assert bench.moves("load") == ["a", "b", "a", "b"]

    @in_virtual_time
    async def test_a_model_that_is_missing_is_told_with_the_remedy_once(self) -> None:
        library = MemoryLibrary(remote={"a": GB}).have("b")
        async with Bench(library, replace(POLICY, preload=("a", "b"))).running() as bench:
            await asyncio.sleep(2000)
            notices = [notice.text for notice in bench.told.of(Notice)]
            assert notices == [
                (
                    "a is to be preloaded: ollama has no model a, and it is not one to be fetched;"
                    " have ollama fetch it, or allow that with models.pull"
                )
            ]
            assert bench.moves("load") == ["b"]
            library.have("a")
            await asyncio.sleep(310)
            assert bench.moves("load") == ["b", "a"]

    @in_virtual_time
    async def test_a_model_that_is_missing_is_fetched_where_that_is_allowed(self) -> None:
        library = MemoryLibrary(remote={"a": GB})
        policy = replace(POLICY, preload=("a",), catalogue=CataloguePolicy(allowed=("b*",), pulls=True))
        async with Bench(library, policy).running() as bench:
            await asyncio.sleep(12)
            assert library.log == ["pull a", "load a"]
            assert bench.keeper.offered() == ()

    @in_virtual_time
    async def test_a_failed_load_is_told_and_tried_later(self) -> None:
        class Heavy(MemoryLibrary):
            async def load(self, model: str) -> None:
                self.log.append(f"load {model}")
                raise EngineFailed("it needs more memory than there is")

        library = Heavy().have("a")
        async with Bench(library, replace(POLICY, preload=("a",))).running() as bench:
            await asyncio.sleep(290)
            assert library.log == ["load a"]
            assert bench.told.of(ModelMoved)[0].error == "it needs more memory than there is"
            await asyncio.sleep(20)
            assert library.log == ["load a"] * 2

    @in_virtual_time
    async def test_an_engine_that_restarts_in_the_middle_of_a_load_gets_its_models_as_soon_as_it_is_back(self) -> None:
        library = MemoryLibrary(move_s=4).have("a", "b")
        async with Bench(library, replace(POLICY, preload=("a", "b"))).running() as bench:
            library.down = "connection refused"
            await asyncio.sleep(20)
            assert [event.error for event in bench.told.of(ModelMoved)] == ["connection refused"] * 2
            library.down = ""
            await asyncio.sleep(20)
            assert bench.moves("load") == ["a", "b"]

    @in_virtual_time
    async def test_an_engine_that_is_slow_once_is_not_taken_for_one_that_was_started_anew(self) -> None:
        class Heavy(MemoryLibrary):
            async def load(self, model: str) -> None:
                self.log.append(f"load {model}")
                raise EngineFailed("it needs more memory than there is")

        library = Heavy().have("a")
        async with Bench(library, replace(POLICY, preload=("a",))).running() as bench:
            for _ in range(4):
                library.answers_in_s = 20
                await bench.keeper.catalogue.refresh()
                assert not bench.keeper.catalogue.is_fresh
                library.answers_in_s = 0
                await asyncio.sleep(40)
            assert library.log == ["load a"]

    @in_virtual_time
    async def test_a_load_that_takes_for_ever_is_given_up(self) -> None:
        library = MemoryLibrary(move_s=10_000).have("a")
        async with Bench(library, replace(POLICY, preload=("a",), move_s=100)).running() as bench:
            await asyncio.sleep(102)
            assert bench.told.of(ModelMoved)[0].error == "ollama did not do it in 100 s"


class TestRelief:
    @staticmethod
    def holding(**sizes: int) -> MemoryLibrary:
        library = MemoryLibrary()
        for name, size in sizes.items():
            library.hold(f"{name}:1", size * GB, size * GB)
        return library

    @in_virtual_time
    async def test_below_the_threshold_nothing_goes(self) -> None:
        async with Bench(self.holding(a=4, b=4)).running() as bench:
            await asyncio.sleep(1000)
            assert bench.library.log == []

    @pytest.mark.parametrize("in_vram", [False, True])
    def test_the_least_recently_used_goes_and_no_more(self, in_vram: bool) -> None:
        @in_virtual_time
        async def run() -> None:
            bench = Bench(self.holding(a=3, b=3, c=3))
            bench.in_vram = in_vram
            async with bench.running():
                await asyncio.sleep(10)
                bench.keeper.used("a:1")
                await asyncio.sleep(1)
                bench.keeper.used("c:1")
                bench.told.emit(EngineCalled("vllm", "b:1", 1.0, 1))
                await asyncio.sleep(200)
                assert bench.library.log == ["unload b:1"]
                assert bench.moves("unload") == ["b:1"]

        run()

    @in_virtual_time
    async def test_what_was_used_lately_or_runs_stays(self) -> None:
        bench = Bench(self.holding(a=3, b=3, c=3))
        async with bench.running():
            bench.told.emit(claimed(1, "a:1"))
            with bench.keeper.using("b:1"):
                for _ in range(40):
                    bench.told.emit(EngineCalled("ollama", "c:1", 1.0, 1))
                    await asyncio.sleep(30)
                assert bench.library.log == []
            await asyncio.sleep(55)
            assert bench.library.log == ["unload c:1"]
            bench.others = 8 * GB
            bench.told.emit(ended(1))
            await asyncio.sleep(55)
            assert "unload a:1" not in bench.library.log
            await asyncio.sleep(15)
            assert "unload a:1" in bench.library.log

    @in_virtual_time
    async def test_a_model_that_a_job_takes_up_during_an_unload_stays(self) -> None:
        library = self.holding(a=4, b=4)
        bench = Bench(library)
        bench.others = 9 * GB
        library.on_move = lambda: bench.keeper.used("b:1")
        async with bench.running():
            await asyncio.sleep(80)
            assert library.log == ["unload a:1"]

    @in_virtual_time
    async def test_no_more_goes_before_a_later_look_at_the_memory(self) -> None:
        class Lagging(Bench):
            """Its samples show the memory as it was some seconds ago."""

            def latest(self) -> MachineSample | None:
                now = VirtualClock().monotonic()
                gone = [at for at in unloads if at + 20 <= now]
                used = 9 * GB - 3 * GB * len(gone)
                return a_sample(now - 20, memory_used_ratio=used / self.total, memory_total_bytes=self.total)

        unloads: list[float] = []
        library = self.holding(a=3, b=3, c=3)
        library.on_move = lambda: unloads.append(VirtualClock().monotonic())
        async with Lagging(library).running() as bench:
            await asyncio.sleep(300)
            assert len(bench.moves("unload")) == 1

    @in_virtual_time
    async def test_an_unload_that_fails_is_told_and_tried_again(self) -> None:
        class Stubborn(MemoryLibrary):
            async def unload(self, model: str) -> None:
                self.log.append(f"unload {model}")
                raise EngineFailed("no")

        library = Stubborn()
        library.hold("a", 9 * GB)
        async with Bench(library).running() as bench:
            await asyncio.sleep(65)
            assert bench.told.of(ModelMoved) == [ModelMoved("ollama", "a", "unload", 0.0, "no")]
            await asyncio.sleep(30)
            assert len(library.log) > 1

    @in_virtual_time
    async def test_a_preloaded_model_goes_when_all_else_is_too_much_and_comes_back_where_it_fits(self) -> None:
        library = MemoryLibrary(sizes={"p": 3 * GB}).have("p")
        bench = Bench(library, replace(POLICY, preload=("p",)))
        async with bench.running():
            library.hold("x:1", 2 * GB)
            bench.others = 4 * GB
            await asyncio.sleep(80)
            assert bench.moves("unload") == ["x:1"]
            bench.others = 6 * GB
            await asyncio.sleep(80)
            assert bench.moves("unload") == ["x:1"], "what is left is what the operator wants there"
            bench.others = 8 * GB + 1
            await asyncio.sleep(20)
            assert bench.moves("unload") == ["x:1", "p"]
            await asyncio.sleep(310)
            (notice,) = bench.told.of(Notice)
            assert notice.text == "p is to be preloaded, and waits for memory; see models.memory_threshold"
            bench.others = 7 * GB + 1
            await asyncio.sleep(310)
            assert bench.moves("load") == ["p"], "it has no room"
            bench.others = 7 * GB
            await asyncio.sleep(6)
            assert bench.moves("load") == ["p", "p"]

    @pytest.mark.parametrize("in_vram", [False, True])
    def test_a_preloaded_model_that_fills_the_memory_stays(self, in_vram: bool) -> None:
        @in_virtual_time
        async def run() -> None:
            library = MemoryLibrary().have("p")
            bench = Bench(library, replace(POLICY, preload=("p", "q")))
            bench.in_vram = in_vram
            library.hold("p", 9 * GB, 9 * GB)
            async with bench.running():
                await asyncio.sleep(200)
                library.hold("x:1", GB // 2, GB // 2)
                await asyncio.sleep(400)
                assert bench.moves("unload") == ["x:1"]
                library.have("q")
                await asyncio.sleep(310)
                assert bench.moves("load") == ["p", "q"], "another that is to be there does not wait for it to go"

        run()

    @in_virtual_time
    async def test_an_unload_that_takes_its_time_holds_up_no_listing(self) -> None:
        library = MemoryLibrary(move_s=500)
        library.hold("a", 9 * GB)
        async with Bench(library).running() as bench:
            await asyncio.sleep(90)
            library.have("b")
            await asyncio.sleep(34)
            assert bench.keeper.offered() == ("a", "b")
            assert library.log == ["unload a"], "one at a time"

    @in_virtual_time
    async def test_without_a_sample_nothing_goes(self) -> None:
        bench = Bench(self.holding(a=20))
        bench.is_blind = True
        async with bench.running():
            await asyncio.sleep(200)
            assert bench.library.log == []

    @in_virtual_time
    async def test_an_engine_that_does_not_tell_what_is_loaded_is_asked_again(self) -> None:
        class Mute(MemoryLibrary):
            async def loaded(self) -> Any:
                self.log.append("loaded")
                raise EngineFailed("no")

        library = Mute().have("a")
        bench = Bench(library)
        bench.others = 10 * GB
        async with bench.running():
            await asyncio.sleep(20)
            assert len(library.log) == 5

    @in_virtual_time
    async def test_names_that_askers_make_up_are_forgotten(self) -> None:
        async with Bench(MemoryLibrary().have("a")).running() as bench:
            for number in range(1000):
                bench.told.emit(claimed(number, f"made-up-{number}"))
                bench.told.emit(ended(number))
            await asyncio.sleep(40)
            assert len(bench.keeper._use._last) == 0


@in_virtual_time
async def test_a_defect_in_a_look_is_told_and_the_watch_goes_on() -> None:
    class Odd(MemoryLibrary):
        async def stored(self) -> Any:
            if self.down == "odd":
                raise ZeroDivisionError("what it says is of no shape")
            return await super().stored()

    library = Odd(down="odd").have("a")
    async with Bench(library).running() as bench:
        assert [crash.error for crash in bench.told.of(Crash)] == ["ZeroDivisionError"]
        library.down = ""
        await asyncio.sleep(5)
        assert bench.keeper.offered() == ("a",)


@in_virtual_time
async def test_a_defect_in_a_preload_is_told_once_in_a_while() -> None:
    class Odd(MemoryLibrary):
        async def load(self, model: str) -> None:
            raise ZeroDivisionError

    async with Bench(Odd().have("a"), replace(POLICY, preload=("a",))).running() as bench:
        await asyncio.sleep(290)
        assert len(bench.told.of(Crash)) == 1


@in_virtual_time
async def test_nothing_is_preloaded_by_download_before_the_disk_was_looked_at() -> None:
    library = MemoryLibrary(remote={"m": 1}, pull_s=1).have("b")
    bench = Bench(library, replace(POLICY, preload=("m", "b"), catalogue=PULLS))
    bench.is_blind = True
    async with bench.running():
        await asyncio.sleep(10)
        assert library.log == ["load b"]
        bench.is_blind = False
        await asyncio.sleep(7)
        assert library.log == ["load b", "pull m", "load m"]


class Echo:
    """An executor that answers with the model's name, after ``seconds``."""

    name = "echo"

    def __init__(self, seconds: float = 0.0, during: Callable[[], object] = lambda: None) -> None:
        self.seconds = seconds
        self.during = during
        self.closed = False

    async def execute(self, payload: Payload, partials: Partials | None = None) -> Generation:
        await asyncio.sleep(self.seconds)
        self.during()
        if partials is not None:
            await partials.push(payload.model)
        return Generation(payload.model, payload.model, self.name)

    async def aclose(self) -> None:
        self.closed = True


class Pieces:
    def __init__(self) -> None:
        self.pieces: list[str] = []

    async def push(self, text: str) -> None:
        self.pieces.append(text)


def asking(model: str) -> ChatPayload:
    return ChatPayload(model, (Message("user", "hello"),))


class TestOnDemand:
    @in_virtual_time
    async def test_fetches_what_may_be_fetched_and_leaves_the_rest_to_the_engine(self) -> None:
        library, pieces = MemoryLibrary(remote={"m": GB}), Pieces()
        async with Bench(library, replace(POLICY, catalogue=PULLS)).running() as bench:
            inner = Echo()
            executor = OnDemand(inner, bench.keeper)
            assert executor.name == "echo"
            assert (await executor.execute(asking("m"), pieces)).model == "m"
            assert (await executor.execute(asking("other"), pieces)).model == "other"
            assert library.log == ["pull m"]
            assert pieces.pieces == ["m", "other"]
            with pytest.raises(EngineFailed, match="could not be fetched"):
                await executor.execute(asking("n:7b"))
            await executor.aclose()
            assert inner.closed

    @in_virtual_time
    async def test_fetches_again_what_was_removed_by_hand(self) -> None:
        library = MemoryLibrary(remote={"m": GB}).have("m")

        class Forgetful(Echo):
            async def execute(self, payload: Payload, partials: Partials | None = None) -> Generation:
                tried.append(payload.model)
                if payload.model not in library.models:
                    raise Declined("no such model")
                return await super().execute(payload, partials)

        tried: list[str] = []
        async with Bench(library, replace(POLICY, catalogue=PULLS)).running() as bench:
            executor = OnDemand(Forgetful(), bench.keeper)
            library.models.clear()
            both = (executor.execute(asking("m")), executor.execute(asking("m")))
            assert [made.text for made in await asyncio.gather(*both) if isinstance(made, Generation)] == ["m", "m"]
            assert library.log == ["pull m"]
            assert tried == ["m"] * 4
            with pytest.raises(Declined):
                await executor.execute(asking("other"))
            assert tried[4:] == ["other"]

    @in_virtual_time
    async def test_passes_on_what_an_engine_declines_though_it_has_it(self) -> None:
        class Declining(Echo):
            async def execute(self, payload: Payload, partials: Partials | None = None) -> Generation:
                raise Declined("left alone")

        library = MemoryLibrary().have("m")
        async with Bench(library, replace(POLICY, catalogue=PULLS)).running() as bench:
            with pytest.raises(Declined, match="left alone"):
                await OnDemand(Declining(), bench.keeper).execute(asking("m"))
            library.down = "gone"
            with pytest.raises(Declined, match="left alone"):
                await OnDemand(Declining(), bench.keeper).execute(asking("m"))
            assert library.log == []

    @in_virtual_time
    async def test_a_model_that_runs_is_not_unloaded(self) -> None:
        library = MemoryLibrary()
        library.hold("a", 9 * GB)
        async with Bench(library).running() as bench:
            await OnDemand(Echo(500, lambda: library.log.append("done")), bench.keeper).execute(asking("a"))
            await asyncio.sleep(70)
            assert library.log == ["done", "unload a"]
