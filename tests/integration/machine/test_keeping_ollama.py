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
from node.machine.offer import EngineOffer
from node.machine.puller import PullPolicy
from node.machine.sample import MachineReader
from node.machine.sampler import MachineSampler, SamplerPolicy
from node.runtime.signals import Signal
from node.runtime.system import SystemClock
from tests.integration.machine.managed_ollama import MODEL_BYTES, ManagedOllama
from tests.support.waiting import wait_until
from tests.unit.machine.doubles import FixedGpus, Told

CARD_BYTES = 100


class EngineGpus(FixedGpus):
    """A card that is as full as the engine's models make it."""

    def __init__(self, engine: ManagedOllama) -> None:
        super().__init__()
        self.engine = engine

    def read(self) -> GpuReading:
        return GpuReading((Gpu("card", CARD_BYTES, MODEL_BYTES * len(self.engine.in_memory)),))


async def test_a_node_s_models_from_an_engine_s_start_to_its_end(tmp_path: Path) -> None:
    engine = ManagedOllama("big:latest", "odd:7b", remote=("small:1b",))
    engine.arrived.set()
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
    gate = EngineGate(("ollama",), clock, offer.models_of)
    told.attach(keeper)
    told.attach(gate)
    loops = [asyncio.create_task(loop) for loop in (sampler.run(stop), keeper.run(stop))]
    try:
        await wait_until(lambda: gate.closed_because, what="an engine that is not there closes the gate")
        await engine.start()
        await wait_until(lambda: not gate.closed_because, what="the engine is found")
        await wait_until(lambda: offer.models_of("ollama") == ("big:latest", "small:1b"))
        assert told.of(ModelPulling)[0].engine == "ollama"
        await wait_until(lambda: "small:1b" in engine.in_memory, what="both are loaded")
        engine.in_memory["odd:7b"] = None
        await wait_until(lambda: "unload" in [event.action for event in told.of(ModelMoved)], what="memory is short")
        moves = [(event.action, event.model, event.error) for event in told.of(ModelMoved)]
        assert moves[:4] == [
            ("load", "big", ""),
            ("pull", "small:1b", ""),
            ("load", "small:1b", ""),
            ("unload", "odd:7b", ""),
        ], "and those that are to stay do"
        await engine.stop()
        await wait_until(lambda: gate.closed_because and not offer.models_of("ollama"), what="the engine is missed")
        assert [event.available for event in told.of(EngineChanged)] == [False, True, False]
    finally:
        stop.set()
        await asyncio.gather(*loops)
        await library.aclose()
        await engine.stop()
        executor.shutdown()
