"""A load test put together from its parts, whichever clock and network they stand on."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from node.app.links import GatewayLink
from node.app.loadtest.control import LoadControl
from node.app.loadtest.policies import client_policy, node_policy, outbox_policy, stop_policy, turnstile
from node.domain.identity import NodeSpec
from node.domain.secret import Secret
from node.gateway.client import GatewayClient
from node.gateway.deployment import ClientPolicy, Deployment
from node.gateway.deployment import Surroundings as ClientSurroundings
from node.loadtest.audit.book import Book
from node.loadtest.audit.watch import Watch
from node.loadtest.driver.ears import Ears
from node.loadtest.driver.identities import Identities
from node.loadtest.driver.life import Ground, Joint
from node.loadtest.driver.line import Line
from node.loadtest.driver.load_source import Desk
from node.loadtest.driver.muster import Muster
from node.loadtest.driver.policy import DriverPolicy
from node.loadtest.driver.run import Kit, LoadRun
from node.loadtest.driver.target import Target
from node.loadtest.figures.health import Health
from node.loadtest.figures.recorder import Recorder, steady_wall
from node.loadtest.plan.scenario import Schedule
from node.monitors.auth_health import AuthHealthMonitor
from node.monitors.node_monitor import NodeMonitor
from node.monitors.open_gates import DirectOnly
from node.observability.bus import EventBus
from node.outbox.memory import MemoryOutbox
from node.outbox.sender import Sender
from node.ports.clock import Clock, Random
from node.ports.events import EventSink
from node.ports.executor import Executor
from node.ports.membership import LinkFactory
from node.ports.outbox import ResultSender
from node.ports.transport import Transport, TransportFactory
from node.runtime.signals import Signal
from node.runtime.tasks import TaskOwner
from node.settings.policies import Policies
from node.sources.gateway import GatewaySource
from node.worker.surroundings import Surroundings


@dataclass(frozen=True, slots=True)
class LoadGateway:
    """The gateway of a run; ``control`` is there where it is a sandbox on this machine, ``is_bundled`` where it is the run's own."""

    url: str
    auth_url: str
    control: LoadControl | None
    is_bundled: bool


@dataclass(frozen=True, slots=True)
class LoadBase:
    """What a run stands on; it closes none of it.

    ``transports`` are the nodes' alone, since they are cut at times; ``developer`` is the submissions'. ``cpu_s`` gives
    the CPU time that this process has used.
    """

    clock: Clock
    random: Random
    bus: EventBus
    transports: TransportFactory
    executor: Executor
    identities: Identities
    developer: Transport
    cpu_s: Callable[[], float]
    policies: Policies
    node_version: str


@contextlib.contextmanager
def assembled_run(
    schedule: Schedule,
    gateway: LoadGateway,
    base: LoadBase,
    api_key: Secret,
    policy: DriverPolicy,
) -> Iterator[LoadRun]:
    """Wire a run, ready within the block; nothing is sent before `LoadRun.run`."""
    plan, clock, bus = schedule.plan, base.clock, base.bus
    now, book = steady_wall(clock), Book()
    monitor = NodeMonitor(clock)
    ears = Ears(Recorder(now, plan.nodes.poll_cycle_s), Watch(book, now), Health(), Muster(monitor))
    for subscriber in (ears.recorder, ears.watch, monitor, ears.muster):
        bus.attach(subscriber)
    tasks = TaskOwner(bus.emit)
    outbox = MemoryOutbox(outbox_policy(plan, base.policies), clock)
    sender = Sender(outbox, clock, base.random, bus, outbox_policy(plan, base.policies))
    auth = AuthHealthMonitor(base.policies.auth, bus, base.random)
    around = ClientSurroundings(
        auth, clock, base.random, bus, turnstile=turnstile(schedule, base.policies.stagger, outbox)
    )
    deployment = Deployment(gateway.url, gateway.auth_url, base.node_version)
    kit = Kit(
        ground=Ground(
            surround=_surroundings(schedule, base, auth, policy),
            clock=clock,
            events=bus,
            sender=sender,
            executor=base.executor,
            joiner=_Joiner(deployment, client_policy(plan, base.policies), around),
            line=Line(base.transports, tasks),
            outbox=outbox,
            desk=Desk(tasks, ears.watch.sent, clock),
        ),
        identities=base.identities,
        sender=sender,
        target=Target(base.developer, gateway.url, api_key),
        ears=ears,
        book=book,
        now=now,
        cpu_s=base.cpu_s,
        expire_tokens=_cannot_expire if gateway.control is None else gateway.control.expire_tokens,
        on_sandbox=gateway.is_bundled,
        policy=policy,
    )
    try:
        yield LoadRun(schedule, kit)
    finally:
        auth.close()


def _surroundings(
    schedule: Schedule, base: LoadBase, auth: AuthHealthMonitor, policy: DriverPolicy
) -> Callable[[LinkFactory, ResultSender, EventSink, Executor], Surroundings]:
    node, stop, proxies = node_policy(schedule.plan), stop_policy(policy), DirectOnly()

    def surround(links: LinkFactory, sender: ResultSender, events: EventSink, executor: Executor) -> Surroundings:
        return Surroundings(
            links=links,
            executor=executor,
            sender=sender,
            auth=auth,
            proxies=proxies,
            clock=base.clock,
            random=base.random,
            events=events,
            policy=node,
            stop_policy=stop,
        )

    return surround


class _Joiner:
    """See `node.loadtest.driver.life.Joiner`. ``around`` is every node's but for the events."""

    def __init__(self, deployment: Deployment, policy: ClientPolicy, around: ClientSurroundings) -> None:
        self._deployment = deployment
        self._policy = policy
        self._around = around
        self._never = Signal()

    def join(self, spec: NodeSpec, transport: Transport, events: EventSink, on_lost: Callable[[], None]) -> Joint:
        around = replace(self._around, events=events)
        client = GatewayClient(spec, transport, self._deployment, self._policy, around, self._never, on_lost)
        source = GatewaySource(client, events, self._deployment.node_version, self._policy.timeouts)
        return Joint(GatewayLink(client, source), client)


async def _cannot_expire() -> bool:
    """Stands for the order to expire all tokens where nobody takes it."""
    return False
