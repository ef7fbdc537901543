"""What a node is given to live with."""

from __future__ import annotations

from dataclasses import dataclass, field

from node.domain.policies import NodePolicy, StopPolicy
from node.ports.clock import Clock, Random
from node.ports.events import EventSink
from node.ports.executor import Executor
from node.ports.gates import AuthGate, ClaimGate, ProxyPool
from node.ports.membership import LinkFactory
from node.ports.offer import Declared, Offer
from node.ports.outbox import ResultSender
from node.ports.traces import Traces, Untraced


@dataclass(frozen=True, slots=True)
class Surroundings:
    """The ports and policies that all nodes of a fleet share."""

    links: LinkFactory
    executor: Executor
    sender: ResultSender
    auth: AuthGate
    proxies: ProxyPool
    clock: Clock
    random: Random
    events: EventSink
    policy: NodePolicy = field(default_factory=NodePolicy)
    stop_policy: StopPolicy = field(default_factory=StopPolicy)
    claim_gates: tuple[ClaimGate, ...] = ()
    offer: Offer = field(default_factory=Declared)
    traces: Traces = field(default_factory=Untraced)
