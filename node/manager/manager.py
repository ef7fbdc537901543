"""The manager: a fleet from its start to its end."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType

from node.domain.identity import NodeSpec
from node.domain.ids import NodeId
from node.domain.policies import StaggerPolicy
from node.domain.states import Life
from node.manager.stagger import start_offsets
from node.manager.supervisor import Supervisor
from node.runtime.tasks import TaskOwner
from node.worker.node import WorkerNode
from node.worker.surroundings import Surroundings


class NodeManager:
    """Owns the nodes of a roster, one task each, and is run once. No two rows may have one ``node_id``."""

    def __init__(self, roster: Sequence[NodeSpec], around: Surroundings, stagger: StaggerPolicy) -> None:
        self._around = around
        self._nodes = {spec.node_id: WorkerNode(spec, around) for spec in roster}
        self._offsets = start_offsets(roster, stagger, around.random)
        self._tasks = TaskOwner(around.events.emit)

    @property
    def nodes(self) -> Mapping[NodeId, WorkerNode]:
        """The nodes by name, in the roster's order; read-only."""
        return MappingProxyType(self._nodes)

    @property
    def last_start_s(self) -> float:
        """Seconds from the fleet's start to that of its last node; 0 for an empty fleet."""
        return max(self._offsets.values(), default=0.0)

    async def run(self) -> None:
        """Start all nodes, each at its time, and return when every life is over: see `drain` and `abort`.

        A defect in a node is told as a `Crash` and raises nothing here. A cancellation aborts all nodes and is
        passed on when they have ended.
        """
        supervisor = Supervisor(self._around)
        for node_id, node in self._nodes.items():
            work = supervisor.supervise(node, self._offsets[node_id])
            self._tasks.start(work, name=f"node {node_id}")
        try:
            await self._tasks.join()
        finally:
            await self._tasks.cancel()

    def drain(self) -> None:
        """Have all nodes stop gracefully, within ``StopPolicy.drain_s``; returns at once, `run` when they have."""
        for node in self._nodes.values():
            node.drain()

    def abort(self) -> None:
        """Have all nodes stop now, open jobs answered with an error; returns at once, `run` when they have."""
        for node in self._nodes.values():
            node.abort()

    def failed(self) -> tuple[NodeId, ...]:
        """The nodes whose life ended since their secret or identity was refused."""
        return tuple(node_id for node_id, node in self._nodes.items() if node.life is Life.FAILED)
