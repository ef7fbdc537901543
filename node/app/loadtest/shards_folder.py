"""Shards that meet in a shared folder: one of them carried out, and all of them judged afterwards."""

from __future__ import annotations

import asyncio
import contextlib
import json
import secrets
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Final

from node import __version__
from node.app.control_file import read_control_file
from node.app.loadtest.control import LoadControl
from node.app.loadtest.gateway import opened_gateway, opened_transport, transports
from node.app.loadtest.judging import Evidence, judge_run
from node.app.loadtest.orders import Orders
from node.app.loadtest.plan import LoadTestPlan
from node.app.loadtest.policies import sandbox_policy
from node.app.loadtest.shards_run import run_shard
from node.app.loadtest.shards_task import ShardGateway, ShardWork
from node.app.ownership import check_own
from node.domain.errors import InputFault, InvalidInput, NodeError, ShardsFailed
from node.domain.secret import Secret
from node.executors.prompt_book import PromptBook
from node.loadtest.driver.identities import Identities, MadeIdentities, RosterIdentities
from node.loadtest.driver.outcome import LoadOutcome
from node.loadtest.driver.policy import DriverPolicy
from node.loadtest.driver.public_counts import total_job_count
from node.loadtest.driver.target import Target
from node.loadtest.plan.model import Plan
from node.loadtest.plan.scenario import Scenario, Schedule, Shard
from node.loadtest.shards.folder import JOBS_AFTER, Facts, ShardFolder
from node.loadtest.shards.folder_link import FolderLink, FolderPolicy
from node.loadtest.shards.merging import Gathered, merged
from node.loadtest.shards.messages import Finished, Order, Report
from node.manager.shutdown import ShutdownSignals
from node.observability.redaction import Redactor
from node.runtime.system import SystemClock, SystemIds
from node.runtime.tasks import TaskOwner
from node.settings.model import Settings

_COUNT_S: Final = 10.0
"""What a gateway may take to tell how many jobs it was given: the others may wait for this shard's record."""


@dataclass(frozen=True, slots=True)
class FolderShard:
    """One shard of a run, which meets the others in a folder.

    The first SIGINT or SIGTERM ends its load, the second all of it, the third the process with
    ``exit_code_at_third_signal``; in each case but the last it leaves its record.
    """

    plan: LoadTestPlan
    shard: Shard
    folder: ShardFolder
    policy: FolderPolicy
    say: Callable[[str], object]
    exit_code_at_third_signal: int

    async def run(self) -> bool:
        """Carry it out and leave the record in the folder; whether it was cut short by a signal.

        Raises:
            ShardsFailed: it has not begun, or has no record.
            StorageError: something could not be written.
            TransportError: the gateway does not answer.
        """
        orders = Orders()
        clock = SystemClock()
        tasks = TaskOwner(lambda crash: self.say(f"{crash.task}: {crash.error}"))
        with (
            ShutdownSignals(orders.stop, orders.abort, self.exit_code_at_third_signal),
            ThreadPoolExecutor(1, "shard-folder") as io,
        ):
            try:
                facts = await self._facts(clock.wall())
            except NodeError as error:
                # The others would wait for it.
                failure = json.dumps({"reason": str(error)}).encode()
                self.folder.write(self.shard.index, "failed.json", failure)
                raise
            link = FolderLink(self.folder, self.shard.index, facts, self.policy, clock, io)
            orders.on_stop = link.give_up
            writing = tasks.start(link.write_loop(), "files of the shard")
            held = _HeldRecord(link)
            try:
                await run_shard(self._work(), held, orders.obeyed_by)
                if held.record is not None:
                    jobs_after = None if orders.is_aborted else await self._jobs_if_told()
                    link.tell(Finished(record={**held.record.record, JOBS_AFTER: jobs_after}))
            finally:
                link.close()
                await writing
                await tasks.cancel()
        if link.storage_error is not None:
            raise link.storage_error
        if link.failure or not link.has_finished:
            raise ShardsFailed(link.failure or "it was stopped before it began")
        return orders.is_stopped

    async def _facts(self, now: float) -> Facts:
        plan = self.plan
        return Facts(
            version=__version__,
            count=self.shard.count,
            plan=plan.scenario.plan.model_dump(mode="json"),
            gateway=plan.settings.gateway.url,
            exclusive=plan.exclusive,
            are_nodes_new=plan.roster is None,
            # Whoever comes late to an agreed start would count jobs of the run itself.
            jobs_before=await self._jobs_so_far() if (self.policy.start_at or now) >= now else None,
        )

    async def _jobs_so_far(self) -> int | None:
        gateway = self.plan.settings.gateway
        handshake = read_control_file(self.plan.state_dir, gateway.url)
        async with opened_transport(transports(self.plan.settings)) as transport:
            if handshake is not None:
                return await LoadControl(transport, handshake).submitted()
            return await total_job_count(Target(transport, gateway.url, self.plan.api_key), DriverPolicy())

    async def _jobs_if_told(self) -> int | None:
        with contextlib.suppress(NodeError, TimeoutError):
            async with asyncio.timeout(_COUNT_S):
                return await self._jobs_so_far()
        return None

    def _work(self) -> ShardWork:
        plan, gateway = self.plan, self.plan.settings.gateway
        models = plan.schedule.models_of
        identities: Identities = MadeIdentities(SystemIds().new()[:8], plan.key, models)
        if plan.roster is not None:
            identities = RosterIdentities(plan.roster, models)
        handshake = read_control_file(plan.state_dir, gateway.url)
        return ShardWork(
            settings=plan.settings,
            scenario=plan.scenario,
            shard=self.shard,
            gateway=ShardGateway(gateway.url, gateway.effective_auth_url, handshake, is_bundled=False),
            identities=identities,
            prompts=plan.prompts,
            api_key=plan.api_key,
        )


class _HeldRecord:
    """See `node.loadtest.shards.pool.ShardLink`: ``link``, but for the record, which waits here for what belongs to it."""

    def __init__(self, link: FolderLink) -> None:
        self._link = link
        self.record: Finished | None = None

    def tell(self, report: Report) -> None:
        if isinstance(report, Finished):
            self.record = report
        else:
            self._link.tell(report)

    async def next_order(self) -> Order | None:
        return await self._link.next_order()


@dataclass(frozen=True, slots=True)
class FolderJudge:
    """All shards of a folder, to be judged as one run, after `Gathered` was read from there."""

    gathered: Gathered
    facts: Facts
    plan: LoadTestPlan
    redactor: Redactor
    say: Callable[[str], object]

    async def judge(self) -> LoadOutcome:
        """Ask the gateway, audit and judge.

        Raises:
            TransportError: the gateway does not answer.
        """
        tasks = TaskOwner(lambda crash: self.say(f"{crash.task}: {crash.error}"))
        # Where no shard left a record: when the first was heard of, which the folder tells at any time.
        signs = [one.at for one in self.gathered.lost if one.at]
        record = merged(self.gathered, min(signs, default=SystemClock().wall()))
        async with AsyncExitStack() as stack:
            policy = sandbox_policy(self.plan.schedule, ())
            opened = opened_gateway(self.plan, policy, self.redactor, self.say, tasks)
            evidence = Evidence(
                scenario=self.plan.scenario,
                gateway=await stack.enter_async_context(opened),
                developer=await stack.enter_async_context(opened_transport(transports(self.plan.settings))),
                api_key=self.plan.api_key,
                audit=self.plan.audit_policy,
                jobs_before=self.facts.jobs_before,
                jobs_after=self.gathered.jobs_after,
                are_nodes_new=self.facts.are_nodes_new,
                defects=self.gathered.defects,
            )
            return await judge_run(record, evidence, DriverPolicy())


def plan_of(facts: Facts, settings: Settings, api_key: Secret) -> LoadTestPlan:
    """The plan that shards have carried out, for its judge; ``settings`` name the gateway.

    Raises:
        InvalidInput: the plan cannot be read.
        NotAllowed: the gateway is neither on loopback nor declared as the operator's own.
    """
    check_own([settings.gateway.url], settings.gateway.owned)
    try:
        scenario = Scenario(Plan.model_validate(facts.plan))
    except ValueError as error:
        raise InvalidInput([InputFault("DIR", "its plan cannot be read", "merge with the version that ran")]) from error
    return LoadTestPlan(
        settings=settings,
        scenario=scenario,
        schedule=Schedule(scenario),
        roster=None,
        prompts=PromptBook.of(()),
        bugs=(),
        api_key=api_key,
        key=Secret(secrets.token_urlsafe(32)),
        exclusive=facts.exclusive,
        state_dir=settings.state_dir,
    )
