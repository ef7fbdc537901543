"""What waits to be sent, by node and source, and when each may go."""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Callable, Iterator
from typing import TypeAlias

from node.domain.ids import JobKey, NodeId, SourceId
from node.domain.results import FinishedJob
from node.domain.verdict import Verdict
from node.ports.source import JobSource


class Parcel:
    """A result on its way."""

    __slots__ = ("attempts", "finished", "placed", "records", "round", "session", "verdict")

    def __init__(self, finished: FinishedJob) -> None:
        self.finished = finished
        self.placed = True
        """Whether it waits in a queue or the timetable; while it does not, a task has it."""
        self.attempts = 0
        """How often it was handed to the source."""
        self.round = 0
        """The failures of its lane when it was last handed over."""
        self.session = 0
        """The session of its lane when it was last handed over."""
        self.verdict: Verdict | None = None
        """The source's last word, once there is one: all that is left to do is to record it."""
        self.records = 0
        """How often the disk did not take the verdict."""

    @property
    def key(self) -> JobKey:
        """Short for ``finished.key``."""
        return self.finished.key


class Lane:
    """What one node has for one source. It moves while the source is attached and the lane is not held.

    A failure narrows it to one parcel at a time and holds it for a while, the longer the more parcels fail one
    after the other, so that a source in trouble hears from a node once a while however much waits there. The
    next answer opens it again. A parcel that fails alone and over and over holds up the others but briefly.
    """

    __slots__ = (
        "failed",
        "failures",
        "node",
        "open_at",
        "parcels",
        "session",
        "source",
        "under_way",
        "waiting",
    )

    def __init__(self, node: NodeId) -> None:
        self.node = node
        self.source: JobSource | None = None
        self.session = 0
        """Counts the attachments."""
        self.parcels: dict[JobKey, Parcel] = {}
        self.waiting: deque[Parcel] | None = None
        """Those that go as soon as the lane moves. None for a node that had none yet: an empty deque takes 760 bytes."""
        self.under_way = 0
        self.failures = 0
        """Rounds that failed since the last answer; one parcel that fails over and over makes one."""
        self.failed: Parcel | None = None
        """The last that failed."""
        self.open_at = 0.0
        """Held until then; in the event loop's time."""

    @property
    def queue(self) -> deque[Parcel]:
        """Those that go as soon as the lane moves, to add to them."""
        if self.waiting is None:
            self.waiting = deque()
        return self.waiting

    def width(self, per_node: int) -> int:
        """How many may be under way."""
        return 1 if self.failures else per_node

    def answered(self) -> None:
        """The source gave a sensible answer: the lane is open."""
        self.failures = 0
        self.failed = None
        self.open_at = 0.0

    def fail(self, parcel: Parcel) -> None:
        """A parcel did not get through; what was under way together fails as one round."""
        if self.failed is not parcel:
            self.failures = max(self.failures, parcel.round + 1)
            self.failed = parcel

    def remove(self, parcel: Parcel) -> None:
        """A parcel is done with, wherever it still stands."""
        key = parcel.finished.key
        if self.parcels.get(key) is parcel:
            del self.parcels[key]


class Lanes:
    """All lanes, by node and source. A lane that has been is kept: there are as many as nodes × sources."""

    def __init__(self) -> None:
        self._lanes: dict[NodeId, dict[SourceId, Lane]] = {}

    def __iter__(self) -> Iterator[Lane]:
        for of_node in self._lanes.values():
            yield from of_node.values()

    def of(self, node: NodeId) -> list[Lane]:
        """A node's lanes."""
        return list(self._lanes.get(node, {}).values())

    def lane(self, node: NodeId, source_id: SourceId) -> Lane:
        """The lane of a node to a source, made when missing."""
        of_node = self._lanes.get(node)
        if of_node is None:
            of_node = self._lanes[node] = {}
        lane = of_node.get(source_id)
        if lane is None:
            lane = of_node[source_id] = Lane(node)
        return lane

    def is_flushed(self, node: NodeId) -> bool:
        """Whether a node has nothing left to send.

        What waits for a source that the node is not attached to counts only while it is attached to none:
        results of a gateway that is no longer in use are not waited for.
        """
        lanes = self.of(node)
        attached = any(lane.source is not None for lane in lanes)
        return not any(lane.parcels for lane in lanes if lane.source is not None or lane.under_way or not attached)


Due: TypeAlias = tuple[float, int, Lane, Parcel | None]


class Timetable:
    """Parcels and lanes by the time at which they are due, in the event loop's time.

    ``on_sooner`` is called when something is added that is due before all else.
    """

    def __init__(self, on_sooner: Callable[[], None]) -> None:
        self._on_sooner = on_sooner
        self._heap: list[Due] = []
        self._order = 0

    def add(self, at: float, lane: Lane, parcel: Parcel | None = None) -> None:
        """Note that a parcel, or else the lane itself, is due then."""
        self._order += 1
        heapq.heappush(self._heap, (at, self._order, lane, parcel))
        if self._heap[0][1] == self._order:
            self._on_sooner()

    def next_at(self) -> float | None:
        """When the next is due."""
        return self._heap[0][0] if self._heap else None

    def due(self, now: float) -> Iterator[tuple[Lane, Parcel | None]]:
        """Take out what is due, in order; what is added meanwhile and is due is taken too."""
        while self._heap and self._heap[0][0] <= now:
            _, _, lane, parcel = heapq.heappop(self._heap)
            yield lane, parcel
