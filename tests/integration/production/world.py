"""A node in production on this loop, wired by the program's own composition root, with a sandbox and engines beside it."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from node.app.assembly import Fleet
from node.app.control import ControlClient, ControlHandle, read_handles
from node.app.production import GatewayAddress, Production
from node.app.production_plan import claim_identity, plan_production
from node.app.summary import Outcome
from node.app.telemetry import Telemetry, redactor_for
from node.domain.identity import Hardware
from node.gateway.httpx_transport import HttpxTransportFactory
from node.machine.gpu import Gpu
from node.protocol.messages import InputMessage, JobRequest
from node.runtime.signals import Signal
from node.sandbox.assembly import Sandbox, served_sandbox, system_surroundings
from node.sandbox.gateway import Gateway
from node.sandbox.ledger import Answer, JobRecord
from node.sandbox.policy import SandboxPolicy
from node.settings.load import load
from tests.unit.executors.ollama_server import Exchange, OllamaServer, Script, answering, listing, refusing
from tests.unit.machine.doubles import FixedGpus

MACHINE = Hardware(ram_mb=1024, cpu_cores=2, vram_mb=0, gpu="none", os="linux")

OWN = {"NODE_ID": "n1", "NODE_SECRET": "hush-hush", "ACCOUNT_ID": "a1", "NODE_PUB_KEY": "0xabc"}
QUICK = {
    "health.port": 0,
    "node.poll_cycle_s": 0.1,
    "models.refresh_s": 1,
    "ollama.recheck_s": 0.2,
    "openai.recheck_s": 0.2,
    "gates.sample_s": 0.5,
    "stop.drain_s": 10,
}


class Said:
    """A display that remembers."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def say(self, text: str) -> None:
        self.lines.append(text)

    async def watch(self, fleet: Fleet, telemetry: Telemetry, stop: Signal) -> None:
        await stop.wait()


class Ollama(OllamaServer):
    """Has the models that the test says at any moment, and answers for each of them."""

    def __init__(self, *models: str) -> None:
        super().__init__(self.chatting)
        self.models = list(models)

    def listed(self, path: str) -> Script | None:
        if path == "/api/tags":
            return listing(*({"model": name, "size": 1} for name in self.models))
        return super().listed(path)

    async def chatting(self, exchange: Exchange) -> None:
        model = exchange.chat["model"]
        script = answering("Well, ", model) if model in self.models else refusing(404, f"model '{model}' not found")
        await script(exchange)


@contextlib.asynccontextmanager
async def ollama(*models: str) -> AsyncIterator[Ollama]:
    server = Ollama(*models)
    await server.start()
    try:
        yield server
    finally:
        await server.stop()


@dataclass
class NodeRun:
    """A node that runs."""

    task: asyncio.Task[Outcome]
    control: ControlClient
    said: Said
    state_dir: Path

    async def status(self) -> Mapping[str, Any]:
        return await self.control.status()

    async def ends(self) -> Outcome:
        """Drain it, and wait for its end."""
        await self.control.order("drain")
        return await self.task


@dataclass
class World:
    """A gateway on a port of its own, and a folder."""

    sandbox: Sandbox
    url: str
    folder: Path
    max_output: int = 20

    @property
    def gateway(self) -> Gateway:
        return self.sandbox.gateway

    def offered(self) -> Sequence[str]:
        """What nodes have announced."""
        return self.gateway.network().models

    async def submit(self, model: str, prompt: str = "Hello") -> JobRecord:
        order = JobRequest(
            model=model, messages=[InputMessage(role="user", content=prompt)], max_output=self.max_output
        )
        return await self.gateway.submit(order, self.gateway.check_key("developer"))

    async def answer(self, model: str, prompt: str = "Hello") -> Answer:
        """Submit a job, and what a node answered."""
        return await self.answered(await self.submit(model, prompt))

    async def answered(self, job: JobRecord) -> Answer:
        assert await self.gateway.wait(job, 15), "nobody answers"
        assert job.answer is not None
        return job.answer

    @contextlib.asynccontextmanager
    async def node(
        self, environ: Mapping[str, str] | None = None, *cards: Gpu, **flags: object
    ) -> AsyncIterator[NodeRun]:
        """A node that runs within the block and is drained at its end, with settings as ``section__key``."""
        given = {**QUICK, **{name.replace("__", "."): value for name, value in flags.items()}}
        variables = {**OWN, "API_GATEWAY_URL": self.url, **(environ or {})}
        loaded = load(config_file=None, profile=None, flags=given, environ=variables, cwd=self.folder)
        plan = plan_production(loaded, self.folder, MACHINE)
        claim = claim_identity(plan)
        said = Said()
        run = Production(plan, claim, said, redactor_for(plan.secrets()), FixedGpus(*cards), 130)
        try:
            task = asyncio.create_task(run.run(GatewayAddress(self.url, self.url)), name="node")
            transport = HttpxTransportFactory(ssl.create_default_context()).open(None)
            try:
                handle = await until_found(plan.state_dir, claim.spec.node_id, task)
                node = NodeRun(task, ControlClient(handle, transport), said, plan.state_dir)
                yield node
                if not task.done():
                    await node.ends()
            finally:
                task.cancel()
                await asyncio.wait([task])
                await transport.aclose()
        finally:
            claim.release()


@contextlib.asynccontextmanager
async def world(folder: Path, policy: SandboxPolicy | None = None) -> AsyncIterator[World]:
    policy = policy or SandboxPolicy()
    async with served_sandbox(policy, system_surroundings(policy, _defect)) as (sandbox, handle):
        yield World(sandbox, handle.url, folder)


async def until_found(
    state_dir: Path, node: str, task: asyncio.Task[Outcome], timeout_s: float = 10.0
) -> ControlHandle:
    async with asyncio.timeout(timeout_s):
        while True:
            if task.done():
                raise AssertionError(f"the node ended: {task.result()}")
            for handle in read_handles(state_dir):
                if handle.node == node:
                    return handle
            await asyncio.sleep(0.01)


async def until(condition: Callable[[], Awaitable[object]], what: str, timeout_s: float = 10.0) -> None:
    """As `wait_until`, for conditions that have to be asked for."""
    loop = asyncio.get_running_loop()
    end = loop.time() + timeout_s
    while not await condition():
        assert loop.time() < end, f"not in {timeout_s} s: {what}"
        await asyncio.sleep(0.02)


def _defect(crash: object) -> None:
    raise AssertionError(crash)
