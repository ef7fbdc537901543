"""A client at a scripted gateway, with everything that it is lent."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from node.domain.errors import NodeError
from node.domain.events import SessionChanged, StepEnded, StepRetried
from node.domain.identity import Hardware, Identity, NodeSpec
from node.domain.ids import AccountId, NodeId
from node.domain.policies import BackOff, RetryPolicy
from node.domain.secret import Secret
from node.domain.states import Session as SessionState
from node.gateway.client import GatewayClient
from node.gateway.deployment import ClientPolicy, Deployment, Surroundings
from node.gateway.keys import TokenTimesReader, UnverifiedTokens
from node.gateway.turnstile import Turnstile
from node.ports.calls import Call
from node.ports.gates import AuthPermit
from node.ports.transport import Reply
from node.protocol.routes import Step
from node.protocol.verdict import Judged, judge
from node.runtime.signals import Signal
from tests.support.events import RecordingSink
from tests.support.virtual_time import VirtualClock
from tests.unit.gateway.scripted_gateway import ScriptedGateway

NODE_SECRET = "hunter2-the-nodes-own"
MODELS = ("llama3.1:latest", "qwen3:8b")
SPEC = NodeSpec(
    Identity(NodeId("n1"), Secret(NODE_SECRET), AccountId("a1"), "pub"),
    Hardware(ram_mb=16000, cpu_cores=8, vram_mb=24000, gpu="RTX", os="Linux"),
    MODELS,
)
DEPLOYMENT = Deployment("https://gateway.example/", "https://auth.example", "0.0.4")
RETRY = RetryPolicy(attempts=4, elapsed_s=60.0, back_off=BackOff(base_s=1.0, cap_s=8.0))


@dataclass
class Gate:
    """An auth gate that is open, or opens when `opening` is set; it remembers what it was told."""

    told: list[str] = field(default_factory=list)
    opening: Signal = field(default_factory=Signal)
    closed: bool = False
    permits: int = 0

    @asynccontextmanager
    async def permit(self) -> AsyncIterator[AuthPermit]:
        if self.closed:
            await self.opening.wait()
        self.permits += 1
        yield self

    def answered(self) -> None:
        self.told.append("answered")

    def failed(self, reason: str) -> None:
        self.told.append(f"failed: {reason}")

    async def wait_healthy(self) -> None:
        if self.closed:
            await self.opening.wait()

    @property
    def healthy(self) -> bool:
        return not self.closed


def judge_poll(reply: Reply, renewed: bool) -> Judged:
    return judge(Step.POLL, reply.status, reply.headers, reply.body, renewed=renewed)


POLL = Call("poll", "GET", "/worker/get_job?node_version=0.0.4", 30.0, judge_poll)


class Bench:
    """A node's client and what surrounds it; `lost` counts how often it was told of a lost session."""

    def __init__(
        self,
        gateway: ScriptedGateway | None = None,
        policy: ClientPolicy | None = None,
        tokens: TokenTimesReader | None = None,
        turnstile: Turnstile | None = None,
    ) -> None:
        self.gateway = gateway or ScriptedGateway()
        self.gate = Gate()
        self.events = RecordingSink()
        self.stop = Signal()
        self.clock = VirtualClock()
        self.lost = 0
        chance = random.Random(7)
        self.remembered: list[Secret] = []
        surroundings = Surroundings(
            *(self.gate, self.clock, chance, self.events, tokens or UnverifiedTokens()),
            self.remembered.append,
            turnstile or Turnstile(),
        )
        policy = policy or ClientPolicy(retry=RETRY)
        self.client = GatewayClient(
            SPEC, self.gateway, DEPLOYMENT, policy, surroundings, self.stop, on_lost=self._on_lost
        )

    async def join(self) -> None:
        """Be in session, with the models announced."""
        await self.client.register()
        await self.client.announce(MODELS)

    async def poll(self) -> Judged:
        return await self.client.call(POLL)

    @property
    def states(self) -> list[SessionState]:
        return [event.state for event in self.events.of(SessionChanged)]

    @property
    def ended(self) -> list[tuple[str, int, bool]]:
        """The steps that ended: name, attempts, and whether it was well."""
        return [(event.step, event.attempts, not event.error) for event in self.events.of(StepEnded)]

    @property
    def retried(self) -> list[StepRetried]:
        return self.events.of(StepRetried)

    def assert_no_secret_was_told(self, *errors: NodeError) -> None:
        told = [repr(event) for event in self.events.events] + [f"{error} {error!r}" for error in errors]
        for secret in (NODE_SECRET, *self.gateway.tokens, *(asked.token for asked in self.gateway.asked)):
            assert not any(secret and secret in text for text in told)

    def _on_lost(self) -> None:
        self.lost += 1
