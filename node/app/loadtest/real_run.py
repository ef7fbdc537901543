"""The part of a load test that this process carries out, on its machine's own clock and network."""

from __future__ import annotations

import random
import time
from contextlib import AsyncExitStack
from typing import Protocol

from node.app.executors import build_executors
from node.app.loadtest.assembly import LoadBase, LoadGateway, assembled_run
from node.app.loadtest.gateway import transports
from node.domain.secret import Secret
from node.executors.prompt_book import PromptBook
from node.gateway.tls import client_context
from node.loadtest.driver.engine import PlannedEngine
from node.loadtest.driver.identities import Identities
from node.loadtest.driver.policy import DriverPolicy
from node.loadtest.driver.run import LoadRun
from node.loadtest.plan.model import Engine
from node.loadtest.plan.scenario import Schedule
from node.observability.bus import EventBus
from node.ports.clock import Clock
from node.ports.executor import Executor
from node.ports.transport import Transport
from node.runtime.system import SystemClock
from node.settings.model import Settings
from node.settings.policies import to_policies


class Work(Protocol):
    """What there is to do, of the whole plan or of one shard."""

    @property
    def settings(self) -> Settings:
        """With the gateway's address."""
        ...

    @property
    def schedule(self) -> Schedule:
        """The part that is carried out."""
        ...

    @property
    def prompts(self) -> PromptBook:
        """For engines that answer with stored texts."""
        ...

    @property
    def api_key(self) -> Secret:
        """The developer's."""
        ...


def real_run(
    *,
    work: Work,
    identities: Identities,
    gateway: LoadGateway,
    developer: Transport,
    bus: EventBus,
    policy: DriverPolicy,
    stack: AsyncExitStack,
) -> LoadRun:
    """Wire it, ready until ``stack`` is closed. What is drawn at random comes from the plan's seed, and the shard's index.

    Raises:
        InvalidInput: the CA file cannot be used.
    """
    settings, shard = work.settings, work.schedule.shard
    seed = work.schedule.plan.seed
    clock, chance = SystemClock(), random.Random(seed if shard.count == 1 else f"{seed}/{shard.index}")
    executor = _executor(work, clock, chance, bus)
    stack.push_async_callback(executor.aclose)
    base = LoadBase(
        clock=clock,
        random=chance,
        bus=bus,
        transports=transports(settings),
        executor=executor,
        identities=identities,
        developer=developer,
        cpu_s=time.process_time,
        policies=to_policies(settings),
        node_version=settings.gateway.node_version,
    )
    return stack.enter_context(assembled_run(work.schedule, gateway, base, work.api_key, policy))


def _executor(work: Work, clock: Clock, chance: random.Random, bus: EventBus) -> Executor:
    engine = work.schedule.plan.engine
    if isinstance(engine, Engine):
        return PlannedEngine(engine, chance, work.schedule.shard.index)
    tls = client_context(work.settings.gateway.ca_file)
    return build_executors(work.settings, work.prompts, tls, clock, chance, bus)
