"""Brings a node back, for ever: the loop around one node's life."""

from __future__ import annotations

from node.domain.states import Life
from node.ports.events import EventSink
from node.runtime.tasks import crash
from node.worker.node import WorkerNode
from node.worker.surroundings import Surroundings


class Supervisor:
    """Leads nodes from their start to their end. Not even a defect ends a node that should be working."""

    def __init__(self, around: Surroundings) -> None:
        self._around = around

    async def supervise(self, node: WorkerNode, start_in_s: float) -> None:
        """Lead one node: wait for its start, let it serve, let it recover, until its life is over."""
        await node.rest(start_in_s)
        while not node.life.is_over:
            await self._serve(node, self._around.events)
            if node.life is Life.RECOVERING:
                await node.rest(self._around.policy.recovery.draw(self._around.random))
        await node.close()

    async def _serve(self, node: WorkerNode, events: EventSink) -> None:
        try:
            await node.serve()
        except Exception as error:  # noqa: BLE001 - a defect in one node's life: told, and the node recovers
            events.emit(crash(f"node {node.node_id}", error, node.node_id))
            node.fault("a defect of the program")
            if node.life is Life.DRAINING:
                node.abort()
