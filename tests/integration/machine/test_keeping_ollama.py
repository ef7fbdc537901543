"""The keeper of models with the real library, over a socket, and with a sampler on a thread."""

from __future__ import annotations

import asyncio
import random
import ssl
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from node.domain.events import EngineChanged, ModelMoved, ModelPulling
from node.executors.ollama_library import OllamaLibrary
from node.executors.ollama_policy import OllamaPolicy
from node.machine.catalogue import CataloguePolicy
from node.machine.engine_gates import EngineGate
from node.machine.gpu import Gpu, GpuReading
from node.machine.keeper import KeeperPolicy, ModelKeeper
from node.domain.model_names import full_name
from node.machine.offer import EngineOffer
from node.machine.puller import PullPolicy
from node.machine.sample import MachineReader
from node.machine.sampler import MachineSampler, SamplerPolicy
from node.runtime.signals import Signal
from node.runtime.system import SystemClock
from tests.support.waiting import wait_until
from tests.unit.executors.ollama_server import Exchange, OllamaServer, Script, listing, moving, pulling, refusing
from tests.unit.machine.doubles import FixedGpus, Told

CARD_BYTES = 100
MODEL_BYTES = 45


class Engine(OllamaServer):
    """An Ollama server that has models, holds some in memory, and can fetch one more."""

    def __init__(self, *models: str, remote: str) -> None:
        super().__init__(self.changing)
        self.models = list(models)
        self.in_memory: list[str] = []
        self.remote = remote

    def listed(self, path: str) -> Script | None:
        if path == "/api/tags":
            return listing(*({"model": name, "size": MODEL_BYTES} for name in self.models))
        if path == "/api/ps":
            sizes = {"size": MODEL_BYTES, "size_vram": MODEL_BYTES}
            return listing(*({"model": name, **sizes} for name in self.in_memory))
        return None

    async def changing(self, exchange: Exchange) -> None:
        model = full_name(exchange.chat["model"])
        if exchange.path == "/api/pull" and model == self.remote:
            self.models.append(model)
            part = {"status": "pulling aa", "digest": "aa", "total": MODEL_BYTES, "completed": 5}
            await pulling({"status": "pulling manifest"}, part, {"status": "success"})(exchange)
        elif exchange.path == "/api/chat" and model in self.models:
            if exchange.chat["keep_alive"]:
                self.in_memory.append(model)
            else:
                self.in_memory.remove(model)
            await moving(exchange)
        else:
            await refusing(404, f"model '{model}' not found")(exchange)


class EngineGpus(FixedGpus):
    """A card that is as full as the engine's models make it."""

    def __init__(self, engine: Engine) -> None:
        super().__init__()
        self.engine = engine

    def read(self) -> GpuReading:
        return GpuReading((Gpu("card", CARD_BYTES, MODEL_BYTES * len(self.engine.in_memory)),))


async def test_a_node_s_models_from_an_engine_s_start_to_its_end(tmp_path: Path) -> None:
    engine = Engine("big:latest", "odd:7b", remote="small:1b")
    url = engine.reserve()
    told, clock, stop = Told(), SystemClock(), Signal()
    library = OllamaLibrary(OllamaPolicy(url), ssl.create_default_context())
    executor = ThreadPoolExecutor(1)
    sampler = MachineSampler(
        SamplerPolicy(0.05, 0.05), MachineReader(tmp_path, EngineGpus(engine)), executor, clock, told
    )
    policy = KeeperPolicy(
        preload=("big", "small:1b"),
        memory_threshold=0.8,
        idle_s=0.3,
        refresh_s=0.2,
        retry_s=0.1,
        check_s=0.05,
        catalogue=CataloguePolicy(allowed=("big", "small:*"), pulls=True, grace_s=0.5),
        pull=PullPolicy(min_free_bytes=1),
    )
    keeper = ModelKeeper(library, policy, lambda: sampler.latest, clock, told, random.Random(1))
    offer = EngineOffer((keeper.catalogue,))
    gate = EngineGate(("ollama",), offer.models_of)
    told.attach(keeper)
    told.attach(gate)
    loops = [asyncio.create_task(loop) for loop in (sampler.run(stop), keeper.run(stop))]
    try:
        await wait_until(lambda: gate.closed_because, what="an engine that is not there closes the gate")
        await engine.start()
        await wait_until(lambda: not gate.closed_because, what="the engine is found")
        await wait_until(lambda: offer.models_of("ollama") == ("big:latest", "small:1b"))
        assert told.of(ModelPulling)[0].engine == "ollama"
        await wait_until(lambda: "unload" in [event.action for event in told.of(ModelMoved)], what="memory is short")
        moves = [(event.action, event.model, event.error) for event in told.of(ModelMoved)]
        assert moves[:4] == [
            ("load", "big", ""),
            ("pull", "small:1b", ""),
            ("load", "small:1b", ""),
            ("unload", "big:latest", ""),
        ]
        await engine.stop()
        await wait_until(lambda: gate.closed_because and not offer.models_of("ollama"), what="the engine is missed")
        assert [event.available for event in told.of(EngineChanged)] == [False, True, False]
    finally:
        stop.set()
        await asyncio.gather(*loops)
        await library.aclose()
        await engine.stop()
        executor.shutdown()
