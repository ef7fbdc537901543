"""What a gateway's rules are made of, as an honest one has them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from node.sandbox.broker import Broker
from node.sandbox.dispatch import Dispatcher
from node.sandbox.ground import Ground
from node.sandbox.issuer import Issuer
from node.sandbox.leases import Leases
from node.sandbox.ledger import Ledger
from node.sandbox.nodes import Nodes
from node.sandbox.settlement import Settlement


@dataclass(frozen=True, slots=True)
class Parts:
    """The parts, which share their nodes, leases, ledger and broker."""

    issuer: Issuer
    nodes: Nodes
    leases: Leases
    ledger: Ledger
    broker: Broker
    settlement: Settlement
    dispatch: Dispatcher


PartsMaker: TypeAlias = Callable[[Ground], Parts]
"""Makes the parts of one gateway; `node.sandbox.buggy.parts.BuggyParts` makes such as have bugs."""


def honest_parts(ground: Ground) -> Parts:
    """The parts of a gateway that does what it says."""
    policy = ground.policy
    nodes = Nodes(policy, ground.secret)
    leases, ledger = Leases(), Ledger(policy.keep_rows)
    settlement = Settlement(ground, ledger=ledger, leases=leases)
    settling = settlement.is_under_way
    return Parts(
        issuer=Issuer(ground.secret, policy.token_lifetime_s, ground.clock, ground.ids),
        nodes=nodes,
        leases=leases,
        ledger=ledger,
        broker=ground.broker,
        settlement=settlement,
        dispatch=Dispatcher(ground, nodes=nodes, ledger=ledger, leases=leases, is_settling=settling),
    )
