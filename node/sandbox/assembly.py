"""A whole sandbox, put together: rules, application, feeder, faults; with or without a server."""

from __future__ import annotations

import contextlib
import random
import secrets
from collections.abc import AsyncIterator, Callable
from concurrent.futures import Executor
from dataclasses import dataclass, field

from starlette.types import ASGIApp

from node.domain.events import Crash
from node.domain.secret import Secret
from node.ports.clock import Clock, Ids, Random
from node.runtime.signals import Signal
from node.runtime.system import SystemClock, SystemIds
from node.runtime.tasks import TaskOwner
from node.sandbox.app import create_app
from node.sandbox.broker import MemoryBroker
from node.sandbox.buggy.parts import BuggyParts
from node.sandbox.bugs import Bugs
from node.sandbox.control_routes import Controlled, ControlRoutes
from node.sandbox.faults import Faults, FaultyApp
from node.sandbox.gateway import Gateway
from node.sandbox.journal import Journal, NullJournal, Recorded
from node.sandbox.parts import honest_parts
from node.sandbox.policy import SandboxPolicy, WorkloadPolicy
from node.sandbox.server import ServerHandle, serving
from node.sandbox.sqlite_journal import SqliteJournal
from node.sandbox.workload import Feeder


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a sandbox takes from outside, so that it can run in virtual time from a seed.

    ``secret`` is what tokens are signed with where no data folder holds another; ``control_token`` guards
    ``/sandbox/*``; ``on_crash`` is told of tasks that died of a defect; ``executor`` runs the database's work and
    may be None for a thread of its own.
    """

    clock: Clock
    random: Random
    ids: Ids
    secret: Secret
    control_token: Secret
    on_crash: Callable[[Crash], object] = field(default=lambda _crash: None)
    executor: Executor | None = None


def system_surroundings(policy: SandboxPolicy, on_crash: Callable[[Crash], object]) -> Surroundings:
    """The machine's clock, random secrets, and chance from the policy's seed if it has one."""
    return Surroundings(
        clock=SystemClock(),
        random=random.Random(policy.seed),
        ids=SystemIds(),
        secret=Secret(secrets.token_hex(32)),
        control_token=policy.control_token or Secret(secrets.token_urlsafe(24)),
        on_crash=on_crash,
    )


@dataclass(frozen=True, slots=True)
class Sandbox:
    """A gateway that runs: its rules, its ASGI application, its feeder and its faults.

    ``closing`` is set when it is about to end, and ends what waits in it.
    """

    gateway: Gateway
    app: ASGIApp
    feeder: Feeder
    faults: Faults
    control_token: Secret
    closing: Signal

    def quiesce(self) -> None:
        """Stop the feeder and end all waits, those of requests included, so that they are answered soon.

        Returns at once; there is no way back.
        """
        self.closing.set()
        self.feeder.stop()
        self.gateway.dismiss()


@contextlib.asynccontextmanager
async def sandbox(policy: SandboxPolicy, around: Surroundings) -> AsyncIterator[Sandbox]:
    """A sandbox that runs within the block, reached by its ASGI application; the policy's address is not used.

    Raises:
        StorageInUse: another gateway holds the data folder.
        StorageUnavailable: the data folder cannot be read or written.
    """
    journal, recorded = await _open_journal(policy, around)
    bugs = Bugs(policy.bugs, around.random)
    gateway = Gateway(
        policy,
        recorded.secret,
        broker=MemoryBroker(),
        journal=journal,
        clock=around.clock,
        ids=around.ids,
        on_crash=around.on_crash,
        make_parts=BuggyParts(bugs) if policy.bugs else honest_parts,
    )
    closing = Signal()
    tasks = TaskOwner(around.on_crash)
    feeder = Feeder(gateway, policy.workload or WorkloadPolicy(), around.clock, around.random, around.on_crash)
    faults = Faults(around.random, policy.faults)
    control = ControlRoutes(Controlled(gateway, feeder, faults, bugs), around.control_token, policy)
    app = create_app(gateway, max_request_bytes=policy.max_request_bytes, more=control.routes())
    running = Sandbox(
        gateway, FaultyApp(app, faults, gateway.limits, closing), feeder, faults, around.control_token, closing
    )
    try:
        await gateway.start(recorded)
        tasks.start(feeder.run(), name="sandbox-feeder")
        tasks.start(gateway.keep_house(closing), name="sandbox-house")
        yield running
    finally:
        running.quiesce()
        await tasks.join()
        await gateway.aclose()


@contextlib.asynccontextmanager
async def served_sandbox(policy: SandboxPolicy, around: Surroundings) -> AsyncIterator[tuple[Sandbox, ServerHandle]]:
    """A sandbox that listens on the policy's address within the block.

    At its end requests under way have the policy's ``stop_grace_s`` to be answered.

    Raises:
        InvalidInput: the address cannot be had.
        StorageInUse, StorageUnavailable: as for `sandbox`.
    """
    tasks = TaskOwner(around.on_crash)
    async with sandbox(policy, around) as running:
        try:
            async with serving(
                running.app,
                tasks,
                host=policy.host,
                port=policy.port,
                keep_alive_s=policy.keep_alive_s,
                grace_s=policy.stop_grace_s,
            ) as handle:
                try:
                    yield running, handle
                finally:
                    running.quiesce()
        finally:
            await tasks.join()


async def _open_journal(policy: SandboxPolicy, around: Surroundings) -> tuple[Journal, Recorded]:
    if policy.data_dir is None:
        return NullJournal(), Recorded(secret=around.secret)
    return await SqliteJournal.open(policy.data_dir, around.secret, executor=around.executor)
