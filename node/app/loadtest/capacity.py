"""The search for a gateway's capacity, put together: one gateway, and a load test on it for each step."""

from __future__ import annotations

from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from typing import Final

from node.app.loadtest.capacity_result import CapacityOrder, CapacityResult
from node.app.loadtest.capacity_search import CapacityDisplay, CapacitySearch, Ran
from node.app.loadtest.gateway import opened_gateway
from node.app.loadtest.load_test import LoadTest
from node.app.loadtest.orders import Orders
from node.app.loadtest.plan import LoadTestPlan
from node.app.loadtest.policies import sandbox_policy
from node.loadtest.driver.policy import DriverPolicy
from node.loadtest.plan.model import Plan
from node.loadtest.plan.scenario import Scenario, Schedule
from node.observability.bus import EventBus
from node.observability.last_resort import to_stderr
from node.observability.redaction import Redactor
from node.runtime.tasks import TaskOwner

_KEPT_JOBS: Final = 500_000


@dataclass(frozen=True, slots=True)
class CapacityTest:
    """``python main.py loadtest capacity PLAN``: one gateway, a load test on it for each step.

    ``orders`` to stop end the search, which tells what it knows; those to abort end its step at once as well. They may
    come at any time, between two steps too. ``sandbox_rate_per_s`` throttles the bundled gateway.
    """

    plan: LoadTestPlan
    order: CapacityOrder
    display: CapacityDisplay
    redactor: Redactor
    orders: Orders
    policy: DriverPolicy
    sandbox_rate_per_s: float | None = None

    async def run(self) -> CapacityResult:
        """Search to the end.

        Raises:
            SandboxFailed: the bundled gateway did not start.
            TransportError: the gateway does not answer.
            InvalidInput: the CA file cannot be used, or the plan has nothing to scale.
        """
        most_nodes = None if self.plan.roster is None else len(self.plan.roster)
        search = CapacitySearch(self.plan.scenario.plan, self.order, self.display, most_nodes)
        search.search()
        bus = EventBus(lambda line: to_stderr(self.redactor.redact(line)))
        tasks = TaskOwner(bus.emit)
        policy = sandbox_policy(self.plan.schedule, self.plan.bugs)
        # The audit of a step reads the jobs of that step alone; what was before may be forgotten meanwhile.
        policy = replace(
            policy,
            rate_per_s=self.sandbox_rate_per_s or policy.rate_per_s,
            keep_results=_KEPT_JOBS,
            keep_results_s=20 * self.order.step_s + policy.lease_s,
        )
        try:
            async with AsyncExitStack() as stack:
                gateway = await stack.enter_async_context(
                    opened_gateway(self.plan, policy, self.redactor, self.display.say, tasks)
                )

                async def run(plan: Plan) -> Ran:
                    scenario = Scenario(plan)
                    test = LoadTest(
                        replace(self.plan, scenario=scenario, schedule=Schedule(scenario)),
                        self.display,
                        self.redactor,
                        self.orders,
                        self.policy,
                        gateway=gateway,
                    )
                    return Ran(await test.run(), self.orders.is_stopped)

                return await search.run(run)
        finally:
            await tasks.cancel()
