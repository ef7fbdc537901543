"""A fleet put together from its parts, whichever clock, network and disk they stand on."""

from __future__ import annotations

import asyncio
import contextlib
import math
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field

from node.app.links import GatewayLinks
from node.domain.identity import NodeSpec
from node.domain.policies import StopPolicy
from node.domain.proxies import ProxyAddress
from node.domain.secret import Secret
from node.gateway.deployment import ClientPolicy, Deployment
from node.gateway.deployment import Surroundings as ClientSurroundings
from node.gateway.keys import TokenTimesReader, UnverifiedTokens
from node.gateway.turnstile import Turnstile
from node.manager.manager import NodeManager
from node.monitors.auth_health import AuthHealthMonitor
from node.monitors.proxy_monitor import Assign, ProxyMonitor
from node.outbox.sender import Sender
from node.ports.clock import Clock, Random
from node.ports.events import EventSink
from node.ports.executor import Executor
from node.ports.gates import ClaimGate
from node.ports.offer import Declared, Offer
from node.ports.outbox import Outbox
from node.ports.traces import Traces, Untraced
from node.ports.transport import TransportFactory
from node.runtime.signals import Signal
from node.settings.policies import Policies
from node.worker.surroundings import Surroundings


@dataclass(frozen=True, slots=True)
class Ground:
    """What a fleet stands on. It closes none of it.

    ``proxies`` are everybody's, ``assign`` says who uses them (see `ProxyMonitor`); ``remember`` is told of every
    secret that the gateway gives away, before anything else is, and ``redact`` masks it in what the outbox keeps.
    """

    clock: Clock
    random: Random
    events: EventSink
    transports: TransportFactory
    outbox: Outbox
    executor: Executor
    tokens: TokenTimesReader = field(default_factory=UnverifiedTokens)
    proxies: Sequence[ProxyAddress] = ()
    assign: Assign = "auto"
    remember: Callable[[Secret], None] = lambda _: None
    redact: Callable[[str], str] = str
    claim_gates: tuple[ClaimGate, ...] = ()
    offer: Offer = field(default_factory=Declared)
    traces: Traces = field(default_factory=Untraced)


class Deadline:
    """When a stop must be over; the earliest counts."""

    def __init__(self, policy: StopPolicy, clock: Clock) -> None:
        self.policy = policy
        self._clock = clock
        self._at = math.inf

    def be_over_in(self, seconds: float) -> None:
        """Be over so many seconds from now at the latest."""
        self._at = min(self._at, self._clock.monotonic() + seconds)

    def left_s(self) -> float:
        """Seconds until then, 0 or more; without an end while nobody stops the fleet."""
        return max(0.0, self._at - self._clock.monotonic())


@dataclass(frozen=True, slots=True)
class Fleet:
    """A fleet that is ready to run, and what can be asked of it; ``stopping`` is set by the first order to stop."""

    deployment: Deployment
    manager: NodeManager
    outbox: Outbox
    sender: Sender
    auth: AuthHealthMonitor
    proxies: ProxyMonitor
    stopping: Signal
    deadline: Deadline

    def drain(self) -> None:
        """Stop gracefully: see `NodeManager.drain`."""
        self.stopping.set()
        self.deadline.be_over_in(self.deadline.policy.drain_s)
        self.manager.drain()

    def abort(self) -> None:
        """Stop at once: see `NodeManager.abort`."""
        self.stopping.set()
        self.deadline.be_over_in(self.deadline.policy.abort_s)
        self.manager.abort()

    async def run(self) -> None:
        """Run all nodes to their ends; results are sent as long as any node lives, and a moment longer.

        A cancellation aborts all nodes and is passed on when they have ended; so is a defect that ends the sending
        or the proxy checks.
        """
        end, loop = Signal(), asyncio.get_running_loop()
        beside = [
            loop.create_task(self.sender.run(end, self.deadline.left_s), name="outbox sender"),
            loop.create_task(self.proxies.run(end), name="proxy checks"),
        ]

        def ended(_: object) -> None:
            # Nodes whose results nobody sends must not work on: what ends one of these too early ends the run.
            if not end.is_set:
                self.abort()

        for task in beside:
            task.add_done_callback(ended)
        try:
            await self.manager.run()
        finally:
            end.set()
            await asyncio.gather(*beside)


@contextlib.asynccontextmanager
async def assembled(
    nodes: Sequence[NodeSpec], policies: Policies, deployment: Deployment, ground: Ground
) -> AsyncIterator[Fleet]:
    """Wire a fleet of these nodes, ready to run within the block; nothing is sent before `Fleet.run`."""
    clock, chance, events = ground.clock, ground.random, ground.events
    stopping = Signal()
    turnstile = Turnstile(
        policies.stagger.return_gap_s(policies.node.poll_cycle_s, len(nodes)),
        has_results=lambda node: ground.outbox.count(node) > 0,
    )
    async with AsyncExitStack() as stack:
        sender = Sender(ground.outbox, clock, chance, events, policies.outbox)
        auth = AuthHealthMonitor(policies.auth, events, chance)
        stack.callback(auth.close)
        proxies = ProxyMonitor(
            ground.transports,
            policies.proxy,
            clock,
            chance,
            events,
            everybodys=ground.proxies,
            assign=ground.assign,
        )
        stack.push_async_callback(proxies.aclose)
        around = Surroundings(
            links=GatewayLinks(
                ground.transports,
                deployment,
                ClientPolicy(policies.retry, policies.timeouts, policies.session),
                ClientSurroundings(
                    *(auth, clock, chance, events, ground.tokens, ground.remember),
                    redact=ground.redact,
                    turnstile=turnstile,
                ),
                stopping,
            ),
            executor=ground.executor,
            sender=sender,
            auth=auth,
            proxies=proxies,
            clock=clock,
            random=chance,
            events=events,
            policy=policies.node,
            stop_policy=policies.stop,
            claim_gates=ground.claim_gates,
            offer=ground.offer,
            traces=ground.traces,
        )
        manager = NodeManager(nodes, around, policies.stagger)
        yield Fleet(deployment, manager, ground.outbox, sender, auth, proxies, stopping, Deadline(policies.stop, clock))
