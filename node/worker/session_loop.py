"""The loop of one session: polls, checks, and the waits between."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final

from node.domain.errors import SessionLost
from node.domain.identity import NodeSpec
from node.domain.states import Hold
from node.ports.membership import Link
from node.runtime.interrupt import Interrupt
from node.runtime.signals import Bell
from node.worker.checks import Checks
from node.worker.holds import Holds
from node.worker.job_runner import JobRunner
from node.worker.poller import Poller
from node.worker.surroundings import Surroundings

# Looked up once: on Python 3.11 a member of an enum takes as long to find as a call.
_NOTHING: Final = Hold.NOTHING
_NO_SLOT: Final = Hold.NO_SLOT

_TIMED: Final = (Hold.NOTHING, Hold.BACK_OFF)
"""What is over when the next poll is due."""

_LOOK_S: Final = 1.0
"""The least time between two looks at gates that do not ring when they open: the disk, the engine."""


class SessionLoop:
    """What a node in session does, one thing at a time.

    ``bell`` wakes it when something has changed; ``interrupt`` ends the poll or the check that is under way, or whatever
    else it is about. ``told`` are the models that were announced at its beginning.
    """

    __slots__ = (
        "_around",
        "_bell",
        "_brought_nothing",
        "_checks",
        "_gates",
        "_holds",
        "_interrupt",
        "_link",
        "_membership",
        "_monotonic",
        "_poller",
        "_reached",
        "_runner",
        "_sender",
        "_slots",
        "_until",
        "polling",
    )

    def __init__(
        self,
        spec: NodeSpec,
        around: Surroundings,
        link: Link,
        runner: JobRunner,
        holds: Holds,
        bell: Bell,
        interrupt: Interrupt,
        told: tuple[str, ...],
    ) -> None:
        self._around = around
        self._sender = around.sender
        self._gates = around.claim_gates
        self._slots = around.policy.slots
        self._monotonic = around.clock.monotonic
        self._link = link
        self._membership = link.membership
        self._runner = runner
        self._holds = holds
        self._bell = bell
        self._interrupt = interrupt
        self._poller = Poller(spec.node_id, around, link.source)
        self._checks = Checks(spec, around, link.membership, told)
        self._until = self._reached = float("-inf")
        """What is waited for, and what was waited for to its end; in the loop's time."""
        self._brought_nothing = False
        self.polling = False
        """Whether a poll is under way."""

    @property
    def is_proven(self) -> bool:
        """Whether the session was good for at least one poll."""
        return self._poller.succeeded

    async def run(self, goes_on: Callable[[], bool]) -> None:
        """Go on until told otherwise; a poll or check under way is brought to its end.

        Raises:
            SessionLost: the session is gone.
            StepFailed: a poll or a check failed in a way that ends the session.
            Interrupted: the interrupt ended what was under way.
        """
        end_watch = self._around.offer.on_change(self._hear_of_offer)
        try:
            with self._interrupt:
                self._checks.look()
                self._look_at_gates()
                while goes_on():
                    # What is due, or the wait for what comes next. Each is awaited from here, since all that comes to a
                    # node, and that is most of what a fleet does, goes through every function on the way.
                    if not await self._next_thing():
                        self._reached = self._until
                    # Last, since it tells of changes, and those who hear of them may stop the node. A poll that brings
                    # nothing changes nothing: the gates are looked at again when the wait after it is over.
                    if self._brought_nothing:
                        self._brought_nothing = False
                    else:
                        self._look_at_gates()
        finally:
            end_watch()

    def _now(self) -> float:
        """The time, which is not before what was waited for to its end.

        uvloop's timers know whole milliseconds: a wait may end one early by the clock, and a node that waited for the
        rest, which is none to a timer, would go round in circles until it has passed.
        """
        now = self._monotonic()
        return max(self._reached, now)

    def _hear_of_offer(self) -> None:
        self._checks.look()
        self._bell.ring()

    def _next_thing(self) -> Awaitable[bool]:
        """Whether anything happened but that the time came which was waited for."""
        if reason := self._membership.lost:
            raise SessionLost(reason)
        now = self._now()
        check_due = self._checks.due
        if check_due <= now:
            return self._check()
        if self._holds.now is _NOTHING and self._poller.due <= now:
            return self._poll()
        self._until = min(check_due, self._next_look(now))
        return self._bell.wait(self._until - now)

    async def _check(self) -> bool:
        await self._checks.run_due()
        return True

    def _next_look(self, now: float) -> float:
        if self._holds.now in _TIMED:
            return self._poller.due
        return now + max(_LOOK_S, self._around.policy.poll_cycle_s)

    def _look_at_gates(self) -> None:
        found = self._closed_gates()
        if self._poller.backing_off and self._poller.due > self._now():
            found = found.also(Hold.BACK_OFF)
        if found is not self._holds.now:
            self._holds.look(found)

    def _closed_gates(self) -> Hold:
        found = _NOTHING if self._runner.busy < self._slots else _NO_SLOT
        if not self._sender.accepting:
            found = found.also(Hold.DISK)
        for gate in self._gates:
            if gate.closed_because:
                found = found.also(gate.hold)
        return found

    def _may_claim(self) -> bool:
        return self._holds.none_is_told and self._closed_gates() is _NOTHING

    async def _poll(self) -> bool:
        self.polling = True
        try:
            job = await self._poller.poll(self._holds.open_since, self._may_claim)
        finally:
            self.polling = False
        if job is None:
            self._brought_nothing = self._poller.found_nothing
        elif not self._runner.start(job, self._link.source.source_id):
            self._poller.wait_a_cycle()
        return True
