"""Brings a node back, for ever: the loop around one node's life."""

from __future__ import annotations

from typing import Final

from node.domain.states import Life
from node.runtime.tasks import crash
from node.worker.node import WorkerNode
from node.worker.surroundings import Surroundings

_LEAST_REST_S: Final = 1.0
"""The shortest recovery, whatever the policy says: a fault that comes back at once must not become a storm."""


class Supervisor:
    """Leads nodes from their start to their end. Not even a defect ends a node that should be working."""

    def __init__(self, around: Surroundings) -> None:
        self._around = around

    async def supervise(self, node: WorkerNode, start_in_s: float) -> None:
        """Lead one node: wait for its start, let it serve, let it recover, until its life is over.

        A recovery lasts as long as the policy draws, a second at least. A defect in ``serve`` is told as a `Crash`
        and recovered from. A cancellation aborts the node and is passed on when it is closed.
        """
        try:
            await node.rest(start_in_s)
            while not node.life.is_over:
                try:
                    await node.serve()
                except Exception as error:  # noqa: BLE001 - a defect in one node's life: told, and the node recovers
                    self._around.events.emit(crash(f"node {node.node_id}", error, node.node_id))
                    node.crashed()
                if node.life is Life.RECOVERING:
                    await node.rest(max(_LEAST_REST_S, self._around.policy.recovery.draw(self._around.random)))
        except BaseException:
            node.abort()
            raise
        finally:
            await node.close()
