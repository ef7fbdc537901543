"""What a node does now and then while it is in session: tell its models anew, and at once when they change; ask for its
points.
"""

from __future__ import annotations

import heapq
from collections.abc import Awaitable, Callable

from node.domain.errors import StepRefused
from node.domain.events import ModelsAnnounced, Notice, PointsChecked
from node.domain.identity import NodeSpec
from node.ports.membership import Membership
from node.worker.surroundings import Surroundings

_Check = Callable[[], Awaitable[None]]


class Checks:
    """The periodic checks of one session, in a heap of due times (the loop's time).

    ``told`` are the models that were announced at its beginning.
    """

    __slots__ = ("_around", "_heap", "_membership", "_spec", "_told", "due")

    def __init__(self, spec: NodeSpec, around: Surroundings, membership: Membership, told: tuple[str, ...]) -> None:
        self._spec = spec
        self._around = around
        self._membership = membership
        self._told = told
        self._heap: list[tuple[float, str, _Check]] = []
        self._schedule("models", self._announce_again, around.policy.models_update.draw(around.random))
        self._schedule("points", self._check_points, around.policy.points_check_s)
        self.due = 0.0
        """When the next check is due: long since, while other models are on offer than were announced."""
        self.look()

    def look(self) -> None:
        """Find out anew when the next check is due: to be called when the offer has changed."""
        self.due = self._heap[0][0] if self._offer == self._told else float("-inf")

    @property
    def _offer(self) -> tuple[str, ...]:
        return self._around.offer.models(self._spec)

    async def run_due(self) -> None:
        """Run the check that is due first.

        Raises:
            StepFailed: it did not succeed; what that means for the session is in its subclass.
        """
        if self._offer != self._told:
            await self._announce()
        else:
            _, _, check = heapq.heappop(self._heap)
            await check()
        self.look()

    def _schedule(self, name: str, check: _Check, delay_s: float) -> None:
        heapq.heappush(self._heap, (self._around.clock.monotonic() + delay_s, name, check))

    async def _announce(self) -> None:
        models = self._offer
        await self._membership.announce(models)
        self._told = models
        self._around.events.emit(ModelsAnnounced(self._spec.node_id, models))

    async def _announce_again(self) -> None:
        await self._announce()
        self._schedule("models", self._announce_again, self._around.policy.models_update.draw(self._around.random))

    async def _check_points(self) -> None:
        await tell_points(self._spec, self._around, self._membership)
        self._schedule("points", self._check_points, self._around.policy.points_check_s)


async def tell_points(spec: NodeSpec, around: Surroundings, membership: Membership) -> None:
    """Ask for a node's points and tell them; a gateway that refuses that still gives jobs and takes results.

    Raises:
        StepFault: attempts are used up.
        SessionLost: the session is gone.
    """
    try:
        points = await membership.points()
    except StepRefused as error:
        around.events.emit(Notice("points", f"points are not told: {error}", spec.node_id))
    else:
        around.events.emit(PointsChecked(spec.node_id, points))
