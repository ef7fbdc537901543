"""One node in production, from its start to its end."""

from __future__ import annotations

import contextlib
import os
import random
import secrets
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from typing import Final, TextIO

from node.app.assembly import Fleet, Ground, assembled
from node.app.control import ControlHandle, control_handle
from node.app.display import Display
from node.app.engine_watch import EngineWatch
from node.app.engines import EngineBuilder, Engines, first_look
from node.app.exchange_log import LoggedExecutor
from node.app.fleet import outbox_file, token_reader
from node.app.hold_watch import HoldWatch
from node.app.machine_watch import MachineWatch, machine_watch
from node.app.masked_executor import MaskedExecutor
from node.app.node_status import NodeFacts, NodeStatus
from node.app.outlets import OutletGround, outlets
from node.app.production_plan import Claim, ProductionPlan
from node.app.stop_orders import StopOrders
from node.app.summary import Outcome
from node.app.telemetry import Listening, Telemetry, open_telemetry
from node.domain.events import LifeChanged
from node.domain.policies import StaggerPolicy, StopPolicy
from node.domain.secret import Secret
from node.gateway.deployment import Deployment
from node.gateway.httpx_transport import HttpxTransportFactory
from node.gateway.tls import client_context
from node.machine.engine_gates import EngineGate
from node.machine.gpu import GpuSource
from node.machine.offer import EngineOffer
from node.manager.shutdown import ShutdownSignals
from node.observability.health_server import HealthPolicy, HealthServer
from node.observability.live_metrics import MachineCollector, StatusCollector
from node.observability.profiling import Gauges, JobProfiler
from node.observability.redaction import Redactor
from node.observability.sd_notify import SystemdNotifier
from node.outbox.sqlite import SqliteOutbox
from node.ports.executor import Executor
from node.ports.gates import ClaimGate
from node.runtime.signals import Signal
from node.runtime.system import SystemClock
from node.runtime.tasks import TaskOwner
from node.settings.policies import Policies, to_policies

_AT_ONCE: Final = StaggerPolicy(min_s=0.0, max_s=0.0, spacing_s=0.0, jitter_s=0.0)


@dataclass(frozen=True, slots=True)
class GatewayAddress:
    """The gateway of a run; ``echo_url`` is its own IP echo, empty where it has none."""

    url: str
    auth_url: str
    echo_url: str = ""


@dataclass(slots=True)
class _Steering:
    """Implements `node.ports.control.Control` on a fleet of one node."""

    fleet: Fleet
    drain_all: Callable[[], None]

    def pause(self) -> None:
        for node in self.fleet.manager.nodes.values():
            node.pause()

    def resume(self) -> None:
        for node in self.fleet.manager.nodes.values():
            node.resume()

    def drain(self) -> None:
        self.drain_all()


@dataclass(frozen=True, slots=True)
class _Parts:
    """What runs, and what watches it. ``look`` asks the engines once what they have, and then again and again."""

    facts: NodeFacts
    fleet: Fleet
    machine: MachineWatch
    engines: EngineWatch
    gates: Sequence[ClaimGate]
    look: Callable[[], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Production:
    """One run of ``python main.py node`` with an identity that this process holds.

    The first SIGINT or SIGTERM drains, the second aborts, the third ends the process with
    ``exit_code_at_third_signal``. ``console`` gets what the log has of troubles and of the node's life.
    """

    plan: ProductionPlan
    claim: Claim
    display: Display
    redactor: Redactor
    gpus: GpuSource
    exit_code_at_third_signal: int
    console: TextIO | None = None

    async def run(self, gateway: GatewayAddress) -> Outcome:
        """Run to the end, whatever ends it.

        Raises:
            InvalidInput: the CA file, the health port or an extra cannot be used.
            StorageInUse, StorageUnavailable: the outbox cannot be used.
        """
        settings = self.plan.settings
        orders = StopOrders(self.display, settings.stop)
        spec, folder = self.claim.spec, self.claim.folder
        about = Listening(
            [spec.node_id], settings.logging, folder, self.plan.log_folder(spec), self.plan.worker, is_alone=True
        )
        async with open_telemetry(about, self.console, self.redactor) as telemetry:
            tasks = TaskOwner(telemetry.bus.emit)
            with ShutdownSignals(orders.drain, orders.abort, self.exit_code_at_third_signal):
                try:
                    return await self._run(gateway, telemetry, tasks, orders)
                finally:
                    await tasks.cancel()

    async def _run(
        self, gateway: GatewayAddress, telemetry: Telemetry, tasks: TaskOwner, orders: StopOrders
    ) -> Outcome:
        settings, bus, clock, chance = self.plan.settings, telemetry.bus, SystemClock(), random.Random()
        tls = client_context(settings.gateway.ca_file)
        transports = HttpxTransportFactory(
            tls, max_reply_bytes=settings.gateway.max_reply_bytes, trust_env=settings.gateway.trust_env_proxies
        )
        async with AsyncExitStack() as stack:
            ground = OutletGround(telemetry, transports, clock, chance, self.plan.worker)
            samples = await stack.enter_async_context(outlets(settings, ground, orders.patience_s))
            watch = await stack.enter_async_context(machine_watch(settings, self.claim.folder, self.gpus, bus, clock))
            bus.attach(JobProfiler(samples, clock, Gauges(time.process_time, watch.lag.worst_since_s), bus))
            builder = EngineBuilder(
                *(self.plan.engines, settings, tls, clock, chance, bus, watch.latest),
                falls_back=self.plan.falls_back,
            )
            slots = await builder.slots()
            self.display.say(slots.sentence())
            engines = builder.build(slots)
            catalogues = [keeper.catalogue for keeper in engines.keepers]
            offer = EngineOffer(catalogues)
            gate = EngineGate(list(engines.raw), clock, offer.models_of)
            known = EngineWatch(gate, catalogues, bus)
            for listener in (gate, known):
                bus.attach(listener)
            look = await stack.enter_async_context(_kept(engines, offer, telemetry, self.display))
            policies = self._policies(gateway, slots.node)
            outbox = await SqliteOutbox.open(outbox_file(self.claim.folder), policies.outbox, clock, bus)
            stack.push_async_callback(outbox.aclose)
            executor: Executor = MaskedExecutor(engines.executor, telemetry.redactor.redact)
            stack.push_async_callback(executor.aclose)
            if settings.logging.prompts:
                executor = LoggedExecutor(executor, telemetry.logs.log_exchange)
            deployment = Deployment(gateway.url, gateway.auth_url, settings.gateway.node_version)
            gates = (*watch.gates, gate)
            fleet_ground = Ground(
                *(clock, chance, bus, transports, outbox, executor),
                tokens=token_reader(settings.gateway, transports, clock, stack),
                assign="auto" if self.claim.spec.proxy is not None else "none",
                remember=telemetry.redactor.remember,
                redact=telemetry.redactor.redact,
                claim_gates=gates,
                offer=offer,
                traces=samples,
            )
            fleet = await stack.enter_async_context(assembled([self.claim.spec], policies, deployment, fleet_ground))
            facts = NodeFacts(self.claim.spec.node_id, self.plan.worker, slots.node, settings.health.ready_poll_s)
            parts = _Parts(facts, fleet, watch, known, gates, look)
            return await self._work(parts, telemetry, tasks, orders)

    async def _work(self, parts: _Parts, telemetry: Telemetry, tasks: TaskOwner, orders: StopOrders) -> Outcome:
        fleet = parts.fleet
        self._tell_left_overs(fleet)
        stop, systemd = Signal(), SystemdNotifier.from_environment(os.environ)
        watching = tasks.start(self.display.watch(fleet, telemetry, stop), "display")
        tasks.start(systemd.run_watchdog(stop), "watchdog")
        holds = HoldWatch(parts.facts.node, parts.gates, SystemClock(), telemetry.bus)
        telemetry.bus.attach(holds)
        tasks.start(holds.run(stop), "holds")

        def drain() -> None:
            self.display.say(_draining(telemetry.monitor.snapshot().jobs_running, fleet.deadline.policy))
            systemd.stopping("draining")
            fleet.drain()

        orders.obeyed_by(drain, fleet.abort)
        async with self._watched(parts, telemetry, orders):
            telemetry.bus.subscribe(LifeChanged, lambda event: systemd.status(f"the node is {event.after.value}"))
            systemd.ready("the node is starting")
            try:
                await parts.look()
                await fleet.run()
            finally:
                stop.set()
                await watching
        monitor = telemetry.monitor
        return Outcome(
            gateway=fleet.deployment.gateway_url,
            view=monitor.snapshot(),
            nodes=monitor.nodes(),
            ledger=None,
            unsent=fleet.outbox.count(),
            dead=sum(1 for _ in fleet.outbox.dead()),
            orphans=0,
            aborted=orders.aborted,
        )

    @contextlib.asynccontextmanager
    async def _watched(self, parts: _Parts, telemetry: Telemetry, orders: StopOrders) -> AsyncIterator[None]:
        """Serve health, metrics and control within the block, where that is wanted."""
        settings, facts, watch = self.plan.settings, parts.facts, parts.machine
        status = NodeStatus(facts, telemetry.monitor, parts.fleet.outbox, parts.engines, SystemClock())
        telemetry.bus.attach(status)
        telemetry.metrics.observe(StatusCollector(status))
        telemetry.metrics.observe(MachineCollector(watch.figures))
        if not settings.health.enabled:
            yield
            return
        token = Secret(secrets.token_urlsafe(32))
        self.redactor.register(token)
        server = HealthServer(
            HealthPolicy(settings.health.host, settings.health.port, token),
            status,
            _Steering(parts.fleet, orders.drain),
            telemetry.metrics.exposition,
            lag_s=lambda: watch.lag.max_s,
            on_crash=telemetry.bus.emit,
            redact=telemetry.redactor.redact,
        )
        async with server:
            handle = ControlHandle.of_this_process(facts.node, facts.worker, server.url, token)
            with control_handle(self.claim.folder, handle):
                self.display.say(f"Health, metrics and control are at {server.url}.")
                yield

    def _policies(self, gateway: GatewayAddress, slots: int) -> Policies:
        settings = self.plan.settings
        policies = to_policies(settings, echo_url=gateway.echo_url)
        node = replace(policies.node, slots=slots, burst=policies.node.burst or settings.worker.batch_size)
        stagger = replace(_AT_ONCE, return_cycles=policies.stagger.return_cycles)
        return replace(policies, node=node, stagger=stagger)

    def _tell_left_overs(self, fleet: Fleet) -> None:
        if waiting := fleet.outbox.count():
            self.display.say(f"{waiting} finished results of an earlier run are in the outbox; they are sent first.")


def _draining(jobs: int, policy: StopPolicy) -> str:
    again = "Ctrl+C or SIGTERM again stops at once."
    if not jobs:
        return f"Draining: no job is under way, and the node leaves, within {policy.drain_s:g} s at most. {again}"
    have = "1 job has" if jobs == 1 else f"{jobs} jobs have"
    working_s = policy.drain_s - policy.leave_s
    return f"Draining: {have} {working_s:g} s to finish, and results {policy.leave_s:g} s more to be sent. {again}"


@contextlib.asynccontextmanager
async def _kept(
    engines: Engines, offer: EngineOffer, telemetry: Telemetry, display: Display
) -> AsyncIterator[Callable[[], Awaitable[None]]]:
    """Look after the engines' models within the block, from when what it gives is called.

    That asks all engines what they have, for some seconds, so that there is an offer before the first node starts.
    """
    stop, tasks = Signal(), TaskOwner(telemetry.bus.emit)
    for keeper in engines.keepers:
        telemetry.bus.attach(keeper)

    async def begin() -> None:
        for silent in await first_look(engines, offer):
            display.say(f"{silent}. It is looked for again and again.")
        for keeper in engines.keepers:
            tasks.start(keeper.run(stop), f"models of {keeper.engine}")

    try:
        yield begin
    finally:
        stop.set()
        await tasks.join()
        for library in engines.libraries:
            await library.aclose()
