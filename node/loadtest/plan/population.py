"""How many nodes there are to be when, and the orders to start and stop them.

Nodes are numbered from 0; those with the lowest numbers start first and stop last, so that at any time the nodes that
run are those with numbers below the target.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from enum import Enum
from typing import NamedTuple

from node.loadtest.plan.curve import Curve, Segment


class Order(Enum):
    """What a node is told by the plan. A stop is a graceful one; faults are told apart."""

    START = "start"
    STOP = "stop"


class NodeOrder(NamedTuple):
    """An order to the node of this number, at a time in seconds from the start of the run."""

    at_s: float
    order: Order
    node: int


class Population:
    """The target number of nodes over a run, from the curve of a plan."""

    def __init__(self, curve: Curve) -> None:
        self._curve = curve
        self.peak = _rounded(curve.peak)
        self.breaks = curve.breaks

    def target(self, at_s: float) -> int:
        """How many nodes there are to be at a time."""
        return _rounded(self._curve.value(at_s))

    def lowest(self, from_s: float, to_s: float) -> int:
        """The least target from one time to a later one."""
        return _rounded(self._curve.lowest(from_s, to_s))

    def orders(self) -> Iterator[NodeOrder]:
        """All orders in the order of their times; at the end of the run as many nodes are left as the last level."""
        running = 0
        for segment in self._curve.segments:
            yield from _jump(segment.start_s, running, _rounded(segment.begin))
            yield from _along(segment)
            running = _rounded(segment.end)


def _jump(at_s: float, running: int, wanted: int) -> Iterator[NodeOrder]:
    for node in range(running, wanted):
        yield NodeOrder(at_s, Order.START, node)
    for node in reversed(range(wanted, running)):
        yield NodeOrder(at_s, Order.STOP, node)


def _along(segment: Segment) -> Iterator[NodeOrder]:
    """Each node when the line is half way between the numbers without and with it, which is where rounding turns."""
    first, last = _rounded(segment.begin), _rounded(segment.end)
    for node in range(first, last):
        yield NodeOrder(segment.time_of_value(node + 0.5), Order.START, node)
    for node in reversed(range(last, first)):
        yield NodeOrder(segment.time_of_value(node + 0.5), Order.STOP, node)


def _rounded(level: float) -> int:
    return math.floor(level + 0.5)
