"""A load test from its start to its outcome."""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from dataclasses import dataclass, replace
from typing import Protocol

from node.app.loadtest.assembly import LoadGateway
from node.app.loadtest.gateway import opened_gateway, opened_transport, transports
from node.app.loadtest.judging import Evidence, judge_run
from node.app.loadtest.orders import Orders, unless_aborted
from node.app.loadtest.plan import LoadTestPlan
from node.app.loadtest.policies import sandbox_policy
from node.app.loadtest.real_run import real_run
from node.app.loadtest.shards import LedRecord, ShardedRun, Shards, own_cores
from node.app.loadtest.steered_run import Steerable, SteeredRun
from node.domain.events import Crash
from node.loadtest.driver.identities import Identities, MadeIdentities, RosterIdentities
from node.loadtest.driver.outcome import LoadOutcome
from node.loadtest.driver.policy import DriverPolicy
from node.loadtest.driver.public_counts import total_job_count
from node.loadtest.driver.run import LoadRun
from node.loadtest.driver.target import Target
from node.loadtest.driver.verdict import Verdict
from node.loadtest.live.watched import WatchedRun
from node.loadtest.plan.quantities import duration_text
from node.observability.bus import EventBus
from node.observability.last_resort import to_stderr
from node.observability.redaction import Redactor
from node.ports.transport import Transport
from node.runtime.garbage import relaxed_collection, set_aside
from node.runtime.open_files import more_open_files
from node.runtime.system import SystemIds
from node.runtime.tasks import TaskOwner


class LoadDisplay(Protocol):
    """What shows a load test to people while it lasts."""

    def say(self, text: str) -> None:
        """Tell something that matters."""
        ...

    async def begin(self, run: WatchedRun) -> None:
        """Show this run, which is ready and has sent nothing yet, from now on.

        Raises:
            InvalidInput: it cannot be shown as was asked for.
        """
        ...

    def leave(self) -> None:
        """Leave the terminal as it was found: the program may end at any moment. What is said is printed all the same."""
        ...


def told(display: LoadDisplay) -> Orders:
    """Orders that the display tells of as they come."""

    def abort() -> None:
        display.leave()
        display.say("Stopping at once.")

    return Orders(
        lambda: display.say("Stopping: no more jobs; what is under way is awaited for some seconds."),
        abort,
    )


@dataclass(frozen=True, slots=True)
class LoadTest:
    """One run of ``python main.py loadtest PLAN``.

    ``orders`` end its load, or everything, at any time, those from before its start included. A ``gateway`` that is
    given is its caller's; without one the run opens its own. With ``waits`` it begins when somebody who watches orders
    it to. With ``shards`` the nodes live there, and not in this process.
    """

    plan: LoadTestPlan
    display: LoadDisplay
    redactor: Redactor
    orders: Orders
    policy: DriverPolicy
    gateway: LoadGateway | None = None
    waits: bool = False
    shards: Shards | None = None

    async def run(self) -> LoadOutcome | None:
        """Run to the end and judge; None when everything was ordered to end.

        Raises:
            SandboxFailed: the bundled gateway did not start.
            TransportError: the gateway does not answer.
            InvalidInput: the CA file cannot be used, or the run not be shown.
            ShardsFailed: a process or machine that it was to run on could not begin.
        """
        bus = EventBus(lambda line: to_stderr(self.redactor.redact(line)))
        crashes: list[Crash] = []
        bus.subscribe(Crash, crashes.append)
        with relaxed_collection(), more_open_files():
            tasks = TaskOwner(bus.emit)
            try:
                async with AsyncExitStack() as stack:
                    gateway = await stack.enter_async_context(self._opened_gateway(tasks))
                    return await self._run(gateway, bus, crashes, stack)
            finally:
                await tasks.cancel()

    def _opened_gateway(self, tasks: TaskOwner) -> AbstractAsyncContextManager[LoadGateway]:
        if self.gateway is not None:
            return contextlib.nullcontext(self.gateway)
        policy = sandbox_policy(self.plan.schedule, self.plan.bugs)
        return opened_gateway(self.plan, policy, self.redactor, self.display.say, tasks)

    async def _run(
        self, gateway: LoadGateway, bus: EventBus, crashes: list[Crash], stack: AsyncExitStack
    ) -> LoadOutcome | None:
        plan, orders = self.plan, self.orders
        developer = await stack.enter_async_context(opened_transport(transports(plan.settings)))
        run, carry_out = self._runner(gateway, bus, developer, stack)
        steered = SteeredRun(run, gateway.url, bus, waits=self.waits)
        if isinstance(run, LoadRun):
            steered.on_tick(_WhenUp(run).tick)
        orders.obeyed_by(steered)
        await self.display.begin(steered)
        await steered.ordered()
        jobs_before = await self._jobs_so_far(gateway, developer)
        led = await carry_out()
        record = led.record
        if orders.is_aborted:
            return None
        self.display.say("Asking the gateway what it has …")
        evidence = Evidence(
            scenario=plan.scenario,
            gateway=gateway,
            developer=developer,
            api_key=plan.api_key,
            audit=plan.audit_policy,
            jobs_before=jobs_before,
            are_nodes_new=plan.roster is None,
            bugs=tuple(map(str, plan.bugs)),
            defects=(*led.defects, *(f"{crash.task}: {crash.error}" for crash in crashes)),
        )
        outcome = await unless_aborted(judge_run(record, evidence, self.policy), "judge the run", orders)
        if outcome is None:
            return None
        steered.judged(outcome.verdict, outcome.outcomes)
        notes = [*led.notes, *self._crowd_notes(outcome)]
        if record.paused_s:
            told = duration_text(round(record.paused_s, 1))
            notes.append(f"it was paused for {told}: rates and percentiles over time include that")
        return replace(outcome, notes=(*outcome.notes, *notes))

    def _crowd_notes(self, outcome: LoadOutcome) -> Iterator[str]:
        if outcome.verdict is not Verdict.VOID or self.shards is None:
            return
        if crowd := self.shards.crowd(own_cores(), with_sandbox=self.plan.uses_sandbox):
            yield f"{crowd} took turns: with fewer processes, or more cores, it may not be void"

    def _runner(
        self, gateway: LoadGateway, bus: EventBus, developer: Transport, stack: AsyncExitStack
    ) -> tuple[Steerable, Callable[[], Awaitable[LedRecord]]]:
        """The run, ready to be watched and steered, and what carries it out."""
        if self.shards is not None:
            sharded = ShardedRun(self.plan, self.shards, self.display.say)
            return sharded, lambda: sharded.run(gateway)
        run = self._run_here(gateway, bus, developer, stack)

        async def carry_out() -> LedRecord:
            return LedRecord(await run.run())

        return run, carry_out

    def _run_here(self, gateway: LoadGateway, bus: EventBus, developer: Transport, stack: AsyncExitStack) -> LoadRun:
        return real_run(
            work=self.plan,
            identities=self._identities(),
            gateway=gateway,
            developer=developer,
            bus=bus,
            policy=self.policy,
            stack=stack,
        )

    async def _jobs_so_far(self, gateway: LoadGateway, developer: Transport) -> int | None:
        if gateway.control is not None:
            return await gateway.control.submitted()
        return await total_job_count(Target(developer, gateway.url, self.plan.api_key), self.policy)

    def _identities(self) -> Identities:
        models = self.plan.schedule.models_of
        if self.plan.roster is not None:
            return RosterIdentities(self.plan.roster, models)
        return MadeIdentities(SystemIds().new()[:8], self.plan.key, models)


class _WhenUp:
    """Sets the fleet aside from the garbage collector, once, when all of it is up."""

    def __init__(self, run: LoadRun) -> None:
        self._run = run
        self._is_set_aside = False

    def tick(self) -> None:
        if not self._is_set_aside and self._run.muster.count().running >= self._run.schedule.population.peak > 0:
            self._is_set_aside = True
            set_aside()
