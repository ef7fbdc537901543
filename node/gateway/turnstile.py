"""What keeps a fleet from falling upon its gateway at once when that comes back."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from node.domain.ids import NodeId
from node.ports.clock import Random

_JITTER: Final = 0.5
"""Share of a gap by which it is shortened or lengthened."""

_HURRIED_GAP_S: Final = 0.15
"""Mean seconds between two nodes that have results to send, where that of the others is longer."""


class Turnstile:
    """Lets the nodes of a process come back one after the other, in the order in which they ask.

    A node that starts anew, or registers anew because its token was denied, costs its gateway several requests where
    a poll costs one; an outage makes every node do so at the same time. A node's first start is not held up: those
    are staggered already. Where the line is slow, nodes with results to send have one of their own, for which the
    other waits: a result that comes after its lease has ended is work done in vain.
    """

    def __init__(self, gap_s: float = 0.0, has_results: Callable[[NodeId], bool] = lambda _: False) -> None:
        """``gap_s`` is the mean time between two nodes; 0 holds nobody up."""
        self._gap_s = gap_s
        self._has_results = has_results
        self._started: set[NodeId] = set()
        self._next_at = float("-inf")
        self._next_hurried_at = float("-inf")

    def wait_s(self, node: NodeId, now: float, random: Random) -> float:
        """Seconds until this node's turn, 0 for now; to ask is to take the turn. ``now`` is the loop's time."""
        if node not in self._started:
            self._started.add(node)
            return 0.0
        share = random.uniform(1 - _JITTER, 1 + _JITTER)
        if self._gap_s > _HURRIED_GAP_S and self._has_results(node):
            turn_at = max(now, self._next_hurried_at)
            self._next_hurried_at = turn_at + _HURRIED_GAP_S * share
            self._next_at = max(now, self._next_at) + _HURRIED_GAP_S * share
        else:
            turn_at = max(now, self._next_at)
            self._next_at = turn_at + self._gap_s * share
        return turn_at - now
