"""What keeps a fleet from falling upon its gateway at once when that comes back."""

from __future__ import annotations

from typing import Final

from node.domain.ids import NodeId
from node.ports.clock import Random

_JITTER: Final = 0.5
"""Share of a gap by which it is shortened or lengthened."""


class Turnstile:
    """Lets the nodes of a process come back one after the other, in the order in which they ask.

    A node that starts anew, or registers anew because its token was denied, costs its gateway several requests where
    a poll costs one; an outage makes every node do so at the same time. A node's first start is not held up: those
    are staggered already.
    """

    def __init__(self, gap_s: float = 0.0) -> None:
        """``gap_s`` is the mean time between two nodes; 0 holds nobody up."""
        self._gap_s = gap_s
        self._started: set[NodeId] = set()
        self._next_at = float("-inf")

    def wait_s(self, node: NodeId, now: float, random: Random) -> float:
        """Seconds until this node's turn, 0 for now; to ask is to take the turn. ``now`` is the loop's time."""
        if node not in self._started:
            self._started.add(node)
            return 0.0
        turn_at = max(now, self._next_at)
        self._next_at = turn_at + self._gap_s * random.uniform(1 - _JITTER, 1 + _JITTER)
        return turn_at - now
