"""One life of one node: a production `WorkerNode`, and what falls silent with it when it crashes.

A node that is ended without goodbye says nothing more to anybody: its connections are closed, what it held in memory is
gone, and the generator's own books hear no event of it. The task that led it has ends to tidy up all the same; they
meet stand-ins that do nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from node.domain.events import Event
from node.domain.identity import NodeSpec
from node.domain.ids import JobKey, NodeId, SourceId
from node.domain.proxies import ProxyAddress
from node.domain.results import FinishedJob
from node.loadtest.driver.behaviour import Behaviour
from node.loadtest.driver.engine import engine_of_node
from node.loadtest.driver.line import Line, LineTransport
from node.loadtest.driver.load_source import Desk, LoadSource
from node.manager.supervisor import Supervisor
from node.ports.calls import SessionCalls
from node.ports.clock import Clock
from node.ports.events import EventSink
from node.ports.executor import Executor
from node.ports.membership import Link, LinkFactory, Membership
from node.ports.outbox import Keeping, Outbox, ResultSender
from node.ports.source import JobSource
from node.ports.transport import Transport
from node.worker.node import WorkerNode
from node.worker.surroundings import Surroundings


class Joint(NamedTuple):
    """A link to the gateway, and the session that it stands on, for requests that no link makes."""

    link: Link
    calls: SessionCalls


class Joiner(Protocol):
    """Makes links; the composition root has one."""

    def join(self, spec: NodeSpec, transport: Transport, events: EventSink, on_lost: Callable[[], None]) -> Joint:
        """A link on this transport, which it takes over; nothing is sent yet. See `node.ports.membership.LinkFactory`."""
        ...


@dataclass(frozen=True, slots=True)
class Ground:
    """What all lives of a process share.

    ``surround`` makes what a node is given of the parts that are each life's own. ``outbox`` is that of the sender.
    """

    surround: Callable[[LinkFactory, ResultSender, EventSink, Executor], Surroundings]
    clock: Clock
    events: EventSink
    sender: ResultSender
    executor: Executor
    joiner: Joiner
    line: Line
    outbox: Outbox
    desk: Desk


class Life:
    """One life of the node that the plan calls ``place``; ``number`` counts its lives from 0.

    It begins with `start` and ends by itself, `drain` or `crash`.
    """

    __slots__ = (
        *(
            "_around",
            "_behaviour",
            "_ground",
            "_number",
            "_on_end",
            "_sender",
            "_spec",
            "_task",
            "_transport",
            "_voice",
        ),
        *("is_stopping", "node", "place"),
    )

    def __init__(self, place: int, spec: NodeSpec, number: int, behaviour: Behaviour, ground: Ground) -> None:
        self.place = place
        self.is_stopping = False
        """Whether it was told to end in good order."""
        self._spec = spec
        self._number = number
        self._behaviour = behaviour
        self._ground = ground
        self._voice = _Voice(ground.events)
        self._sender = _LifeSender(ground.sender, behaviour)
        self._transport: LineTransport | None = None
        self._task: asyncio.Task[None] | None = None
        self._on_end: Callable[[Life], None] = _ignore_end
        self._around = ground.surround(self, self._sender, self._voice, engine_of_node(ground.executor, behaviour))
        self.node = WorkerNode(spec, self._around)

    @property
    def node_id(self) -> NodeId:
        """Whose life it is."""
        return self._spec.node_id

    def start(self, on_end: Callable[[Life], None]) -> None:
        """Begin; ``on_end`` is called when all of it is over, after a crash, too."""
        self._on_end = on_end
        work = Supervisor(self._around).supervise(self.node, 0.0)
        self._task = self._ground.desk.tasks.start(work, f"node {self.node_id}", self._ended)

    def drain(self) -> None:
        """End in good order; see `WorkerNode.drain`."""
        self.is_stopping = True
        self.node.drain()

    def abort(self) -> None:
        """End at once, telling what can be told; see `WorkerNode.abort`."""
        self.is_stopping = True
        self.node.abort()

    def crash(self) -> None:
        """End without goodbye: nothing goes out or is told from now on."""
        self._voice.fall_silent()
        self._sender.die()
        self._ground.sender.detach(self.node_id)
        if self._transport is not None:
            self._ground.line.sever(self._transport)
        if self._task is not None:
            self._task.cancel()

    def _ended(self) -> None:
        self._on_end(self)

    def open(self, spec: NodeSpec, proxy: ProxyAddress | None, on_lost: Callable[[], None]) -> _LoadLink:
        """See `node.ports.membership.LinkFactory.open`."""
        self._transport = self._ground.line.open(proxy)
        link, calls = self._ground.joiner.join(spec, self._transport, self._voice, on_lost)
        name = link.source.source_id
        # What an earlier life of the node has in the sender must not go out in this one's name.
        own = SourceId(f"{name}#{self._number}") if self._number else name
        source = LoadSource(link.source, calls, own, self._behaviour, self._voice, self._ground.desk)
        return _LoadLink(link, source)


def _ignore_end(_: Life) -> None:
    """Stands where nobody has asked to be told."""


class _LoadLink:
    """See `node.ports.membership.Link`."""

    __slots__ = ("_link", "source")

    def __init__(self, link: Link, source: JobSource) -> None:
        self._link = link
        self.source = source

    @property
    def membership(self) -> Membership:
        return self._link.membership

    async def aclose(self) -> None:
        await self._link.aclose()


class _Voice:
    """One life's `EventSink`."""

    __slots__ = ("_emit",)

    def __init__(self, events: EventSink) -> None:
        self._emit: Callable[[Event], None] = events.emit

    def emit(self, event: Event, /) -> None:
        self._emit(event)

    def fall_silent(self) -> None:
        self._emit = _ignore


def _ignore(_: Event) -> None:
    """Stands for a bus that a dead node does not reach."""


class _LifeSender:
    """One life's use of the sender. See `node.ports.outbox.ResultSender`.

    A result that must never be sent counts as kept, so that the job's slot is free again.
    """

    __slots__ = ("_behaviour", "_is_dead", "_sender")

    def __init__(self, sender: ResultSender, behaviour: Behaviour) -> None:
        self._sender = sender
        self._behaviour = behaviour
        self._is_dead = False

    def die(self) -> None:
        self._is_dead = True

    @property
    def accepting(self) -> bool:
        return self._sender.accepting

    def keeping(self, key: JobKey) -> Keeping:
        return self._sender.keeping(key)

    async def put(self, finished: FinishedJob, on_kept: Callable[[], object] = lambda: None) -> None:
        if self._is_dead or self._behaviour.is_silent:
            on_kept()
        else:
            await self._sender.put(finished, on_kept)

    def put_now(self, finished: FinishedJob, /) -> bool:
        return self._is_dead or self._behaviour.is_silent or self._sender.put_now(finished)

    def keep_trying(self, finished: FinishedJob, on_kept: Callable[[], object]) -> None:
        if not self._is_dead:
            self._sender.keep_trying(finished, on_kept)

    async def send_again(self, key: JobKey) -> None:
        if not self._is_dead:
            await self._sender.send_again(key)

    def attach(self, node: NodeId, source: JobSource) -> None:
        if not self._is_dead:
            self._sender.attach(node, source)

    def detach(self, node: NodeId) -> None:
        # A later life of the node may be attached already.
        if not self._is_dead:
            self._sender.detach(node)

    async def flushed(self, node: NodeId, timeout_s: float) -> bool:
        return self._is_dead or await self._sender.flushed(node, timeout_s)


async def forget_results(outbox: Outbox, nodes: set[NodeId]) -> None:
    """Drop all results of these nodes, as a crash does to what is in memory: none of them is sent any more."""
    for finished in list(outbox.pending()):
        if finished.key.node in nodes:
            await outbox.drop(finished.key)
