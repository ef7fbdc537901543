"""A fleet with everything around it, opened in order and closed in reverse."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from node.app.exchange_log import LoggedExecutor
from node.app.executors import build_executors
from node.app.links import GatewayLinks
from node.app.plan import FleetPlan
from node.app.telemetry import Telemetry
from node.gateway.deployment import ClientPolicy, Deployment
from node.gateway.deployment import Surroundings as ClientSurroundings
from node.gateway.httpx_transport import HttpxTransportFactory
from node.gateway.keys import PublishedKeys, TokenTimesReader, UnverifiedTokens, VerifiedTokens
from node.gateway.tls import client_context
from node.manager.manager import NodeManager
from node.monitors.auth_health import AuthHealthMonitor
from node.monitors.proxy_monitor import ProxyMonitor
from node.outbox.sender import Sender
from node.outbox.sqlite import SqliteOutbox
from node.ports.clock import Clock, Random
from node.ports.events import EventSink
from node.protocol.tokens import KeyReader
from node.runtime.signals import Signal
from node.runtime.system import SystemClock
from node.settings.policies import Policies, to_policies
from node.settings.sections.gateway import GatewaySettings
from node.worker.surroundings import Surroundings

OUTBOX_FILE: Final = Path("outbox/results.sqlite")
"""Where finished results are kept, below the state folder."""


@dataclass(frozen=True, slots=True)
class Fleet:
    """A fleet that is ready to run, and what can be asked of it."""

    plan: FleetPlan
    policies: Policies
    deployment: Deployment
    telemetry: Telemetry
    manager: NodeManager
    outbox: SqliteOutbox
    sender: Sender
    transports: HttpxTransportFactory
    proxies: ProxyMonitor
    stopping: Signal

    def drain(self) -> None:
        """Stop gracefully: see `NodeManager.drain`."""
        self.stopping.set()
        self.manager.drain()

    def abort(self) -> None:
        """Stop at once: see `NodeManager.abort`."""
        self.stopping.set()
        self.manager.abort()

    async def run(self) -> None:
        """Run all nodes to their ends; results are sent as long as any node lives, and a moment longer."""
        end, loop = Signal(), asyncio.get_running_loop()
        beside = [
            loop.create_task(self.sender.run(end), name="outbox sender"),
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
async def open_fleet(
    plan: FleetPlan, gateway_url: str, auth_url: str, telemetry: Telemetry, *, echo_url: str = ""
) -> AsyncIterator[Fleet]:
    """Put a fleet together for this gateway, ready to run within the block.

    Raises:
        InvalidInput: the CA file or a key is not usable.
        StorageInUse: another process uses the outbox.
        StorageUnavailable: the outbox cannot be opened.
    """
    policies = to_policies(plan.settings, echo_url=echo_url)
    gateway = plan.settings.gateway
    tls = client_context(gateway.ca_file)
    transports = HttpxTransportFactory(
        tls, max_reply_bytes=gateway.max_reply_bytes, trust_env=gateway.trust_env_proxies
    )
    deployment = Deployment(gateway_url, auth_url, gateway.node_version)
    clock, chance, events = SystemClock(), random.Random(plan.seed), telemetry.bus
    stopping = Signal()
    async with AsyncExitStack() as stack:
        outbox = await SqliteOutbox.open(plan.state_dir / OUTBOX_FILE, policies.outbox, clock, events)
        stack.push_async_callback(outbox.aclose)
        sender = Sender(outbox, clock, chance, events, policies.outbox)
        executor = build_executors(plan.settings, plan.prompts, tls, clock, chance, events)
        stack.push_async_callback(executor.aclose)
        if plan.settings.logging.prompts:
            executor = LoggedExecutor(executor, telemetry.logs.log_exchange)
        auth = AuthHealthMonitor(policies.auth, events, chance)
        stack.callback(auth.close)
        proxies = _proxy_pool(plan, policies, transports, clock, chance, events, stack)
        tokens = _token_reader(gateway, transports, clock, stack)
        around = Surroundings(
            links=GatewayLinks(
                transports,
                deployment,
                ClientPolicy(policies.retry, policies.timeouts, policies.session),
                ClientSurroundings(auth, clock, chance, events, tokens),
                stopping,
                telemetry.redactor.remember,
            ),
            executor=executor,
            sender=sender,
            auth=auth,
            proxies=proxies,
            clock=clock,
            random=chance,
            events=events,
            policy=policies.node,
            stop_policy=policies.stop,
        )
        manager = NodeManager(plan.nodes, around, policies.stagger)
        yield Fleet(plan, policies, deployment, telemetry, manager, outbox, sender, transports, proxies, stopping)


def _proxy_pool(
    plan: FleetPlan,
    policies: Policies,
    transports: HttpxTransportFactory,
    clock: Clock,
    chance: Random,
    events: EventSink,
    stack: AsyncExitStack,
) -> ProxyMonitor:
    assign = plan.settings.proxy.assign
    pool = ProxyMonitor(transports, policies.proxy, clock, chance, events, everybodys=plan.proxies, assign=assign)
    stack.push_async_callback(pool.aclose)
    return pool


def _token_reader(
    settings: GatewaySettings, transports: HttpxTransportFactory, clock: Clock, stack: AsyncExitStack
) -> TokenTimesReader:
    if settings.jwks_url:
        transport = transports.open(None)
        stack.push_async_callback(transport.aclose)
        return PublishedKeys(settings.jwks_url, transport, clock)
    if settings.jwt_key:
        return VerifiedTokens(KeyReader(settings.jwt_key.reveal()))
    return UnverifiedTokens()
