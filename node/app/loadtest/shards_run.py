"""One shard of a load test, from its task to its record."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AsyncExitStack
from typing import Final

from node.app.loadtest.assembly import LoadGateway
from node.app.loadtest.control import LoadControl
from node.app.loadtest.gateway import opened_transport, transports
from node.app.loadtest.real_run import real_run
from node.app.loadtest.shards_task import ShardWork, read_task
from node.domain.errors import NodeError
from node.domain.events import Crash
from node.loadtest.driver.policy import DriverPolicy
from node.loadtest.driver.run import LoadRun
from node.loadtest.shards.following import carry_out, standing_of
from node.loadtest.shards.messages import Failed, Finished, Ready
from node.loadtest.shards.news import Newsroom
from node.loadtest.shards.pool import ShardLink
from node.loadtest.shards.record import to_document
from node.observability.bus import EventBus
from node.observability.redaction import Redactor
from node.ports.transport import Request, Transport
from node.protocol.routes import Step
from node.runtime.garbage import relaxed_collection, set_aside
from node.runtime.open_files import more_open_files
from node.runtime.system import SystemClock
from node.runtime.tasks import TaskOwner

_PING_S: Final = 10.0


async def run_task(task: bytes, link: ShardLink) -> None:
    """See `node.loadtest.shards.pool.ShardProgram`: ``task`` is what `node.app.loadtest.shards_task.task_of` made."""
    try:
        work = read_task(task)
    except ValueError as error:
        link.tell(Failed(reason=str(error)))
        return
    await run_shard(work, link, lambda _: None)


async def run_shard(
    work: ShardWork, link: ShardLink, on_run: Callable[[LoadRun], object], policy: DriverPolicy | None = None
) -> None:
    """Carry a shard's part out and tell the record; ``on_run`` gets the run, for orders from elsewhere.

    What keeps it from beginning is told as `Failed`.
    """
    crashes: list[Crash] = []
    bus = EventBus()
    bus.subscribe(Crash, crashes.append)
    tasks = TaskOwner(bus.emit)
    try:
        async with AsyncExitStack() as stack:
            stack.enter_context(relaxed_collection())
            stack.enter_context(more_open_files())
            run = await _ready_run(work, bus, policy or DriverPolicy(), stack)
            run.on_tick = _Teller(run, link).tick
            on_run(run)
            ready = Ready(nodes=work.node_names, wall=SystemClock().wall())
            record = await carry_out(run, link, ready, tasks)
    except NodeError as error:
        link.tell(Failed(reason=_redacted(str(error), work)))
    else:
        if record is not None:
            defects = tuple(f"{crash.task}: {crash.error}" for crash in crashes)
            link.tell(Finished(record=to_document(record, defects)))
    finally:
        await tasks.cancel()


async def _ready_run(work: ShardWork, bus: EventBus, policy: DriverPolicy, stack: AsyncExitStack) -> LoadRun:
    """The run, wired, and its gateway seen to answer; ``stack`` closes what it stands on."""
    developer = await stack.enter_async_context(opened_transport(transports(work.settings)))
    ping = Step.PING.route
    await developer.exchange(Request(ping.method, work.gateway.url + ping.path), _PING_S)
    gateway = LoadGateway(
        work.gateway.url, work.gateway.auth_url, _control(work, developer), is_bundled=work.gateway.is_bundled
    )
    return real_run(
        work=work,
        identities=work.identities,
        gateway=gateway,
        developer=developer,
        bus=bus,
        policy=policy,
        stack=stack,
    )


def _control(work: ShardWork, transport: Transport) -> LoadControl | None:
    handshake = work.gateway.handshake
    if handshake is None:
        return None
    return LoadControl(transport, handshake) if work.shard.index == 0 else _LeftToTheFirst(transport, handshake)


class _LeftToTheFirst(LoadControl):
    """A sandbox's control for all shards but the first: what befalls all nodes is ordered once."""

    async def expire_tokens(self) -> bool:
        """See `LoadControl.expire_tokens`."""
        return True


class _Teller:
    """Tells once a second how the shard stands, and sets its nodes aside from the collector when they are up."""

    def __init__(self, run: LoadRun, link: ShardLink) -> None:
        self._run = run
        self._link = link
        self._news = Newsroom(run.figures)
        self._is_set_aside = False

    def tick(self) -> None:
        standing = standing_of(self._run, self._news)
        if not self._is_set_aside and standing.running >= self._run.schedule.size > 0:
            self._is_set_aside = True
            set_aside()
        self._link.tell(standing)


def _redacted(text: str, work: ShardWork) -> str:
    redactor = Redactor()
    redactor.register(work.api_key)
    if work.gateway.handshake is not None:
        redactor.register(work.gateway.handshake.control_token)
    return redactor.redact(text)
