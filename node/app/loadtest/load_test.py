"""A load test from its start to its outcome."""

from __future__ import annotations

import contextlib
import random
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from typing import Final, Protocol

from node.app.control_file import read_control_file
from node.app.executors import build_executors
from node.app.loadtest.assembly import LoadBase, LoadGateway, assembled_run
from node.app.loadtest.control import LoadControl
from node.app.loadtest.judging import Evidence, judge_run
from node.app.loadtest.plan import LoadTestPlan
from node.app.loadtest.policies import sandbox_policy
from node.domain.events import Crash
from node.gateway.fast.transport import FastTransportFactory
from node.gateway.httpx_transport import HttpxTransportFactory
from node.gateway.tls import client_context
from node.loadtest.driver.engine import PlannedEngine
from node.loadtest.driver.identities import Identities, MadeIdentities, RosterIdentities
from node.loadtest.driver.outcome import LoadOutcome
from node.loadtest.driver.policy import DriverPolicy
from node.loadtest.driver.public_counts import total_job_count
from node.loadtest.driver.run import LoadRun, Phase
from node.loadtest.driver.target import Target
from node.loadtest.figures.figures import Count
from node.loadtest.plan.model import Engine
from node.manager.shutdown import ShutdownSignals
from node.observability.bus import EventBus
from node.observability.last_resort import to_stderr
from node.observability.redaction import Redactor
from node.ports.clock import Clock
from node.ports.executor import Executor
from node.ports.transport import Request, Transport, TransportFactory
from node.protocol.routes import Step
from node.runtime.garbage import relaxed_collection, set_aside
from node.runtime.system import SystemClock, SystemIds
from node.runtime.tasks import TaskOwner
from node.sandbox.process import SandboxProcess
from node.settings.policies import to_policies

_PING_S: Final = 10.0


@dataclass(frozen=True, slots=True)
class Progress:
    """How a run stands, told once a second; ``elapsed_s`` is of the plan, rates are of the last second."""

    phase: Phase
    elapsed_s: float
    nodes: int
    planned_nodes: int
    submitted_per_s: float
    accepted_per_s: float
    submitted: int
    accepted: int
    in_flight: int


class LoadDisplay(Protocol):
    """What shows a load test to people while it lasts; every method returns at once."""

    def say(self, text: str) -> None:
        """Tell something that matters."""
        ...

    def show(self, progress: Progress) -> None:
        """Show how it stands."""
        ...


@dataclass(slots=True)
class _Orders:
    """What signals ask for, kept until there is a run that can obey."""

    display: LoadDisplay
    run: LoadRun | None = None
    is_stopped: bool = False
    is_aborted: bool = False

    def obeyed_by(self, run: LoadRun) -> None:
        self.run = run
        if self.is_aborted:
            run.abort()
        elif self.is_stopped:
            run.stop()

    def stop(self) -> None:
        self.is_stopped = True
        self.display.say("Stopping: no more jobs; what is under way is awaited for some seconds.")
        if self.run is not None:
            self.run.stop()

    def abort(self) -> None:
        self.is_aborted = True
        self.display.say("Stopping at once.")
        if self.run is not None:
            self.run.abort()


@dataclass(frozen=True, slots=True)
class LoadTest:
    """One run of ``python main.py loadtest PLAN``.

    The first SIGINT or SIGTERM ends the load, the second everything, the third the process, with
    ``exit_code_at_third_signal``.
    """

    plan: LoadTestPlan
    display: LoadDisplay
    redactor: Redactor
    exit_code_at_third_signal: int
    policy: DriverPolicy

    async def run(self) -> LoadOutcome | None:
        """Run to the end and judge; None when it was ended by a second signal.

        Raises:
            SandboxFailed: the bundled gateway did not start.
            TransportError: the gateway does not answer.
            InvalidInput: the CA file cannot be used.
        """
        orders = _Orders(self.display)
        bus = EventBus(lambda line: to_stderr(self.redactor.redact(line)))
        crashes: list[Crash] = []
        bus.subscribe(Crash, crashes.append)
        with ShutdownSignals(orders.stop, orders.abort, self.exit_code_at_third_signal), relaxed_collection():
            tasks = TaskOwner(bus.emit)
            try:
                async with AsyncExitStack() as stack:
                    gateway = await self._gateway(stack, tasks)
                    outcome = await self._run(gateway, bus, orders, crashes, stack)
            finally:
                await tasks.cancel()
        return None if orders.is_aborted else outcome

    async def _gateway(self, stack: AsyncExitStack, tasks: TaskOwner) -> LoadGateway:
        settings = self.plan.settings.gateway
        transport = await stack.enter_async_context(_opened(self._transports()))
        if not self.plan.uses_sandbox:
            # Whoever mistyped an address should know at once, and not by the figures of a whole run.
            await transport.exchange(Request(Step.PING.route.method, settings.url + Step.PING.route.path), _PING_S)
            handshake = read_control_file(self.plan.state_dir, settings.url)
            control = None
            if handshake is not None:
                self.redactor.register(handshake.control_token)
                control = LoadControl(transport, handshake)
            return LoadGateway(settings.url, settings.effective_auth_url, control, is_bundled=False)
        policy = sandbox_policy(self.plan.schedule, self.plan.bugs)
        process = await SandboxProcess.start(policy, tasks, on_line=lambda line: self.display.say(f"sandbox: {line}"))
        stack.push_async_callback(process.stop)
        handshake = process.handshake
        self.redactor.register(handshake.control_token)
        self.display.say(f"No gateway is configured: a sandbox gateway runs at {handshake.url}.")
        tasks.start(self._watch(process), "watch the sandbox")
        return LoadGateway(handshake.url, handshake.url, LoadControl(transport, handshake), is_bundled=True)

    async def _watch(self, process: SandboxProcess) -> None:
        if code := await process.wait():
            self.display.say(f"The sandbox gateway has ended with exit code {code}.")

    async def _run(
        self, gateway: LoadGateway, bus: EventBus, orders: _Orders, crashes: list[Crash], stack: AsyncExitStack
    ) -> LoadOutcome:
        plan, clock = self.plan, SystemClock()
        chance = random.Random(plan.scenario.plan.seed)
        executor = self._executor(chance, clock, bus)
        stack.push_async_callback(executor.aclose)
        developer = await stack.enter_async_context(_opened(self._transports()))
        base = LoadBase(
            clock=clock,
            random=chance,
            bus=bus,
            transports=self._transports(),
            executor=executor,
            identities=self._identities(),
            developer=developer,
            cpu_s=time.process_time,
            policies=to_policies(plan.settings),
            node_version=plan.settings.gateway.node_version,
        )
        run = stack.enter_context(assembled_run(plan.schedule, gateway, base, plan.api_key, self.policy))
        run.on_tick = _Reporter(self.display, run).tick
        jobs_before = await self._jobs_so_far(gateway, developer)
        orders.obeyed_by(run)
        record = await run.run()
        self.display.say("Asking the gateway what it has …")
        evidence = Evidence(
            scenario=plan.scenario,
            gateway=replace(gateway, control=None) if orders.is_aborted else gateway,
            developer=developer,
            api_key=plan.api_key,
            audit=plan.audit_policy,
            jobs_before=jobs_before,
            are_nodes_new=plan.roster is None,
            bugs=tuple(map(str, plan.bugs)),
            defects=tuple(f"{crash.task}: {crash.error}" for crash in crashes),
        )
        return await judge_run(record, evidence, self.policy)

    async def _jobs_so_far(self, gateway: LoadGateway, developer: Transport) -> int | None:
        if gateway.control is not None:
            return await gateway.control.submitted()
        return await total_job_count(Target(developer, gateway.url, self.plan.api_key), self.policy)

    def _transports(self) -> TransportFactory:
        """Connections that nobody else shares: what is cut off for nodes is not for those who watch."""
        gateway = self.plan.settings.gateway
        tls, most = client_context(gateway.ca_file), gateway.max_reply_bytes
        stock = HttpxTransportFactory(tls, max_reply_bytes=most, trust_env=gateway.trust_env_proxies)
        return FastTransportFactory(tls, stock, max_reply_bytes=most, trust_env=gateway.trust_env_proxies)

    def _executor(self, chance: random.Random, clock: Clock, bus: EventBus) -> Executor:
        engine = self.plan.scenario.plan.engine
        if isinstance(engine, Engine):
            return PlannedEngine(engine, chance)
        settings = self.plan.settings
        return build_executors(
            settings, self.plan.prompts, client_context(settings.gateway.ca_file), clock, chance, bus
        )

    def _identities(self) -> Identities:
        models = self.plan.schedule.models_of
        if self.plan.roster is not None:
            return RosterIdentities(self.plan.roster, models)
        return MadeIdentities(SystemIds().new()[:8], self.plan.key, models)


class _Reporter:
    """Tells the display once a second how the run stands, and sets the fleet aside from the collector when it is up."""

    def __init__(self, display: LoadDisplay, run: LoadRun) -> None:
        self._display = display
        self._run = run
        self._is_set_aside = False

    def tick(self) -> None:
        run = self._run
        counts, series = run.figures.counts, run.figures.series
        levels = series.levels("nodes.running")
        nodes = round(levels[-1] or 0) if levels else 0
        if not self._is_set_aside and nodes >= run.schedule.population.peak > 0:
            self._is_set_aside = True
            set_aside()
        submitted, accepted = series.rates(Count.SUBMITTED), series.rates(Count.ACCEPTED)
        self._display.show(
            Progress(
                phase=run.phase,
                elapsed_s=run.elapsed_s,
                nodes=nodes,
                planned_nodes=run.schedule.target(max(0.0, run.elapsed_s)),
                submitted_per_s=submitted[-1] if submitted else 0.0,
                accepted_per_s=accepted[-1] if accepted else 0.0,
                submitted=counts[Count.SUBMITTED],
                accepted=counts[Count.ACCEPTED],
                in_flight=run.submitter.in_flight,
            )
        )


@contextlib.asynccontextmanager
async def _opened(transports: TransportFactory) -> AsyncIterator[Transport]:
    transport = transports.open(None)
    try:
        yield transport
    finally:
        await transport.aclose()
