"""When each node of a fleet starts."""

from __future__ import annotations

from collections.abc import Sequence

from node.domain.identity import NodeSpec
from node.domain.ids import AccountId, NodeId
from node.domain.policies import StaggerPolicy
from node.ports.clock import Random


def start_offsets(roster: Sequence[NodeSpec], policy: StaggerPolicy, random: Random) -> dict[NodeId, float]:
    """Seconds from the fleet's start to each node's, in the roster's order; its node ids must differ.

    Accounts are spread evenly from ``min_s`` to ``max_s``, in an order drawn from ``random``; the nodes of
    an account follow its first one ``spacing_s`` apart, each up to ``jitter_s`` later. A single account starts
    at ``min_s``. The result depends on nothing but the arguments and the state of ``random``.
    """
    accounts = list(dict.fromkeys(spec.identity.account_id for spec in roster))
    begin = dict(zip(_shuffled(accounts, random), _spread(len(accounts), policy), strict=True))
    place: dict[AccountId, int] = {}
    offsets = {}
    for spec in roster:
        account = spec.identity.account_id
        index = place.get(account, 0)
        place[account] = index + 1
        jitter = random.uniform(0, policy.jitter_s)
        offsets[spec.node_id] = begin[account] + index * policy.spacing_s + jitter
    return offsets


def _spread(count: int, policy: StaggerPolicy) -> list[float]:
    if count == 1:
        return [policy.min_s]
    step = (policy.max_s - policy.min_s) / max(1, count - 1)
    return [policy.min_s + index * step for index in range(count)]


def _shuffled(accounts: list[AccountId], random: Random) -> list[AccountId]:
    order = [(random.random(), index) for index in range(len(accounts))]
    return [accounts[index] for _, index in sorted(order)]
