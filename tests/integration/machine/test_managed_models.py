"""Models that are fetched, kept and given up, over a socket: what happens where two things happen at once."""

from __future__ import annotations

import asyncio
import json
import random
import ssl
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from node.domain.errors import EngineFailed
from node.domain.events import ModelMoved, ModelPulling
from node.domain.results import Generation
from node.executors.ollama import OllamaExecutor, OllamaPolicy
from node.executors.ollama_library import OllamaLibrary
from node.machine.catalogue import CataloguePolicy
from node.machine.gpu import Gpu
from node.machine.keeper import KeeperPolicy, ModelKeeper
from node.machine.on_demand import OnDemand
from node.machine.puller import PullPolicy
from node.machine.sample import MachineSample
from node.ports.executor import Executor
from node.runtime.signals import Signal
from node.runtime.system import SystemClock
from tests.integration.machine.managed_ollama import MODEL_BYTES, ManagedOllama, started
from tests.integration.production.world import until, world
from tests.support.waiting import wait_until
from tests.unit.executors.doubles import Pieces, chat
from tests.unit.executors.ollama_server import answering, stalling
from tests.unit.machine.doubles import Told, a_sample

QUICK = KeeperPolicy(idle_s=0.3, refresh_s=0.2, retry_s=0.1, check_s=0.05, reload_s=600)


class Bench:
    """A keeper for a server, an executor before it, and a card that is as full as the server's models make it."""

    def __init__(self, server: ManagedOllama, policy: KeeperPolicy, card_bytes: int) -> None:
        self.server = server
        self.card_bytes = card_bytes
        self.free_bytes = 10**12
        self.told, self.clock = Told(), SystemClock()
        engine, tls = OllamaPolicy(server.url, kept=policy.preload), ssl.create_default_context()
        self.library = OllamaLibrary(engine, tls)
        self.keeper = ModelKeeper(self.library, policy, self.latest, self.clock, self.told, random.Random(1))
        self.executor: Executor = OnDemand(OllamaExecutor(engine, self.clock, self.told, tls), self.keeper)
        self.told.attach(self.keeper)

    def latest(self) -> MachineSample:
        used = MODEL_BYTES * len(self.server.in_memory)
        card = Gpu("card", self.card_bytes, used)
        return a_sample(self.clock.monotonic(), disk_free_bytes=self.free_bytes, gpus=(card,))

    async def answer(self, model: str, taker: Pieces | None = None) -> str:
        made = await self.executor.execute(chat("Hello", model), taker)
        assert isinstance(made, Generation)
        return made.text

    def moves(self) -> list[tuple[str, str]]:
        return [(event.action, event.model) for event in self.told.of(ModelMoved) if not event.error]


@asynccontextmanager
async def bench(server: ManagedOllama, policy: KeeperPolicy = QUICK, card_bytes: int = 1000) -> AsyncIterator[Bench]:
    async with AsyncExitStack() as stack:
        made, stop = Bench(await started(stack, server), policy, card_bytes), Signal()
        stack.push_async_callback(made.executor.aclose)
        stack.push_async_callback(made.library.aclose)
        loop = asyncio.create_task(made.keeper.run(stop))
        try:
            yield made
        finally:
            stop.set()
            await loop


async def test_a_job_that_comes_while_its_model_is_unloaded_runs() -> None:
    server = ManagedOllama("a:1b", "b:1b")
    server.free.clear()
    server.in_memory |= {"a:1b": None, "b:1b": None}
    async with bench(server, card_bytes=100) as it:
        await wait_until(lambda: "unload a:1b" in server.log, what="memory is short")
        assert await it.answer("a:1b") == "Well."
        server.free.set()
        await wait_until(lambda: ("unload", "a:1b") in it.moves())
        assert await it.answer("a:1b") == "Well."
        assert "a:1b" in server.in_memory


async def test_a_model_with_a_job_is_not_unloaded_however_short_memory_is() -> None:
    server = ManagedOllama("a:1b", "b:1b")
    server.in_memory |= {"a:1b": None, "b:1b": None}
    server.answers = stalling("It begins")
    async with bench(server, card_bytes=60) as it:
        jobs = [asyncio.create_task(it.answer(model, Pieces())) for model in ("a:1b", "b:1b")]
        await wait_until(lambda: server.running >= 2)
        await asyncio.sleep(4 * QUICK.idle_s)
        assert "unload a:1b" not in server.log
        assert "unload b:1b" not in server.log
        for job in jobs:
            job.cancel()
        await asyncio.gather(*jobs, return_exceptions=True)
        await wait_until(lambda: {"unload a:1b", "unload b:1b"} & set(server.log), what="they are idle then")


async def test_an_engine_that_restarts_gets_its_preloaded_models_again() -> None:
    server = ManagedOllama("a:1b", "b:1b", "c:1b")
    async with bench(server, replace(QUICK, preload=("a:1b", "b:1b"))) as it:
        await wait_until(lambda: set(server.in_memory) == {"a:1b", "b:1b"})
        assert await it.answer("a:1b") == "Well."
        assert set(server.in_memory.values()) == {-1}, "a job does not let it go"
        await server.restart()
        await wait_until(lambda: set(server.in_memory) == {"a:1b", "b:1b"}, what="they are loaded again")
        assert it.moves().count(("load", "a:1b")) == 2


async def test_a_download_that_the_disk_has_no_room_for_is_ended_on_the_wire() -> None:
    server = ManagedOllama("a:1b", remote=("new:1b",))
    policy = replace(
        QUICK, catalogue=CataloguePolicy(allowed=("a:1b", "new:1b"), pulls=True), pull=PullPolicy(min_free_bytes=1)
    )
    async with bench(server, policy) as it:
        it.free_bytes = MODEL_BYTES - 6
        await wait_until(lambda: it.keeper.offered() == ("a:1b", "new:1b"))
        with pytest.raises(EngineFailed, match=r"new:1b could not be fetched: it needs .* more, and the disk has"):
            await it.answer("new:1b")
        await wait_until(lambda: server.left == 1, what="the engine is told to stop")
        assert it.keeper.offered() == ("a:1b",), "it is not asked for again soon"
        assert it.told.of(ModelPulling)[-1].model == "new:1b"


async def test_jobs_for_a_model_that_is_fetched_share_one_download(tmp_path: Path) -> None:
    server = ManagedOllama("here:1b", remote=("new:1b",))
    allowed = {"ALLOWED_MODELS": "here:1b,new:1b", "LLM_NODE_MODELS__PULL": "true"}
    async with AsyncExitStack() as stack:
        await started(stack, server)
        ground = await stack.enter_async_context(world(tmp_path))
        wanted = {"OLLAMA_BASE_URL": server.url, "LLM_NODE_MODELS__PULL_FREE_GB": "0", **allowed}
        node = await stack.enter_async_context(ground.node(wanted))
        jobs = [await ground.submit("new:1b") for _ in range(3)]

        async def waiting() -> bool:
            return (await node.status())["slots"]["used"] == 3 and "pull new:1b" in server.log

        await until(waiting, "three jobs wait for the download")
        assert (await ground.answer("here:1b")).status == "success", "others run meanwhile"
        server.arrived.set()
        answers = [await ground.answered(job) for job in jobs]
        assert [(answer.status, answer.model_name) for answer in answers] == [("success", "new:1b")] * 3
        assert server.log.count("pull new:1b") == 1


async def test_a_model_that_is_removed_while_jobs_wait_for_it_is_told_and_offered_no_more(tmp_path: Path) -> None:
    server = ManagedOllama("a:1b", "b:1b")
    server.answers = stalling("It begins")
    async with AsyncExitStack() as stack:
        await started(stack, server)
        ground = await stack.enter_async_context(world(tmp_path))
        settings = {"OLLAMA_BASE_URL": server.url, "LLM_NODE_ENGINES__PER_MODEL": "*=1", "WORKER_TIMEOUT": "2000"}
        node = await stack.enter_async_context(ground.node(settings))
        jobs = [await ground.submit("a:1b") for _ in range(3)]
        await wait_until(lambda: server.log == ["chat a:1b"], what="one runs, and two wait")

        async def all_here() -> bool:
            return (await node.status())["slots"]["used"] == 3

        await until(all_here, "all are claimed")
        server.models.remove("a:1b")
        answers = [await ground.answered(job) for job in jobs]
        assert [answer.status for answer in answers] == ["error"] * 3
        errors = [json.loads(answer.result)["error"] for answer in answers]
        assert any("not done within" in error for error in errors)
        server.answers = answering("Well.")

        async def withdrawn() -> bool:
            return list(ground.offered()) == ["b:1b"]

        await until(withdrawn, "the gateway is told")
        assert (await ground.answer("b:1b")).status == "success"
