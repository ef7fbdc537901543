"""The fleet of a run: built as the settings ask, on this machine's clock, network and disk."""

from __future__ import annotations

import contextlib
import random
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, Final

from node.app.assembly import Fleet, Ground, assembled
from node.app.exchange_log import LoggedExecutor
from node.app.executors import build_executors
from node.app.plan import FleetPlan
from node.app.telemetry import Telemetry
from node.domain.errors import StorageUnavailable
from node.domain.events import LifeChanged
from node.domain.ids import NodeId
from node.domain.states import Life
from node.gateway.deployment import Deployment
from node.gateway.fast.transport import FastTransportFactory
from node.gateway.httpx_transport import HttpxTransportFactory
from node.gateway.keys import PublishedKeys, TokenTimesReader, UnverifiedTokens, VerifiedTokens
from node.gateway.tls import client_context
from node.outbox.sqlite import SqliteOutbox
from node.ports.clock import Clock
from node.ports.transport import TransportFactory
from node.protocol.tokens import KeyReader
from node.runtime.garbage import relaxed_collection, set_aside
from node.runtime.system import SystemClock
from node.settings.policies import to_policies
from node.settings.sections.gateway import GatewaySettings

_FEW: Final = 50
"""Nodes that are not worth it to be set aside by themselves."""

OUTBOX_FILE: Final = Path("outbox/results.sqlite")
"""Where finished results are kept, below the state folder."""


class SettledFleet:
    """A subscriber that has the garbage collector leave a fleet alone, within `relaxed_collection`.

    While the fleet comes up it does so each time that the number of nodes that have run has doubled; the last time
    when all have.
    """

    def __init__(self, nodes: int) -> None:
        self._nodes = nodes
        self._next = min(_FEW, nodes)
        self._seen: set[NodeId] = set()

    def handlers(self) -> Mapping[type[Any], Callable[[Any], object]]:
        """What to call for which kind of event, as an event bus asks for it."""
        return {LifeChanged: self._on_life}

    def _on_life(self, event: LifeChanged) -> None:
        if event.after is not Life.RUNNING or self._next > self._nodes:
            return
        self._seen.add(event.node)
        if len(self._seen) >= self._next:
            set_aside()
            self._next = min(2 * self._next, self._nodes) if self._next < self._nodes else self._nodes + 1


@contextlib.asynccontextmanager
async def open_fleet(
    plan: FleetPlan, gateway_url: str, auth_url: str, telemetry: Telemetry, *, echo_url: str = ""
) -> AsyncIterator[Fleet]:
    """Put a fleet together for this gateway, ready to run within the block.

    ``echo_url`` is the sandbox's own, empty where another gateway is used.

    Raises:
        InvalidInput: the CA file is not usable.
        StorageInUse: another process uses the outbox.
        StorageUnavailable: the outbox cannot be opened.
    """
    settings, policies = plan.settings, to_policies(plan.settings, echo_url=echo_url)
    gateway = settings.gateway
    tls = client_context(gateway.ca_file)
    most, trust_env = gateway.max_reply_bytes, gateway.trust_env_proxies
    stock = HttpxTransportFactory(tls, max_reply_bytes=most, trust_env=trust_env)
    transports = FastTransportFactory(tls, stock, max_reply_bytes=most, trust_env=trust_env)
    clock, chance, events = SystemClock(), random.Random(plan.seed), telemetry.bus
    async with AsyncExitStack() as stack:
        stack.enter_context(relaxed_collection())
        stack.callback(events.attach(SettledFleet(len(plan.nodes))))
        outbox = await SqliteOutbox.open(outbox_file(plan.state_dir), policies.outbox, clock, events)
        stack.push_async_callback(outbox.aclose)
        executor = build_executors(settings, plan.prompts, tls, clock, chance, events)
        stack.push_async_callback(executor.aclose)
        if settings.logging.prompts:
            executor = LoggedExecutor(executor, telemetry.logs.log_exchange)
        ground = Ground(
            clock=clock,
            random=chance,
            events=events,
            transports=transports,
            outbox=outbox,
            executor=executor,
            tokens=token_reader(gateway, transports, clock, stack),
            proxies=plan.proxies,
            assign=settings.proxy.assign,
            remember=telemetry.redactor.remember,
            redact=telemetry.redactor.redact,
        )
        deployment = Deployment(gateway_url, auth_url, gateway.node_version)
        yield await stack.enter_async_context(assembled(plan.nodes, policies, deployment, ground))


def outbox_file(state_dir: Path) -> Path:
    """The outbox's file, in a folder that is its owner's alone: what is in it tells the developers' keys."""
    path = state_dir / OUTBOX_FILE
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        path.parent.chmod(0o700)
    except OSError as error:
        raise StorageUnavailable(f"{path.parent}: {error.strerror}") from error
    return path


def token_reader(
    settings: GatewaySettings, transports: TransportFactory, clock: Clock, stack: AsyncExitStack
) -> TokenTimesReader:
    """What reads tokens, as settings want them verified; ``stack`` closes what it opens."""
    if settings.jwks_url:
        transport = transports.open(None)
        stack.push_async_callback(transport.aclose)
        return PublishedKeys(settings.jwks_url, transport, clock)
    if settings.jwt_key:
        return VerifiedTokens(KeyReader(settings.jwt_key.reveal()))
    return UnverifiedTokens()
