"""The node itself: its life, and how it is stopped."""

from __future__ import annotations

import contextlib
from typing import Final

from node.domain.errors import IdentityRefused, SessionLost, StepFailed
from node.domain.events import LifeChanged
from node.domain.identity import NodeSpec
from node.domain.ids import NodeId
from node.domain.presence import Presence, describe
from node.domain.states import LIFE_TABLE, Hold, Life, LifeInput, Machine
from node.ports.membership import Link
from node.runtime.interrupt import Interrupt, Interrupted
from node.runtime.signals import Bell
from node.worker.checks import tell_points
from node.worker.holds import Holds
from node.worker.job_runner import JobRunner
from node.worker.session_loop import SessionLoop
from node.worker.startup import Startup, proxy_fault
from node.worker.stopping import Stop, finish_jobs
from node.worker.surroundings import Surroundings

# Looked up once: on Python 3.11 a member of an enum takes as long to find as a call.
_RUNNING: Final = Life.RUNNING
_NO_SLOT: Final = Hold.NO_SLOT

_GOODBYE_S: Final = 10.0
"""Time for a goodbye when nothing presses: the protocol's own time-out of step 9."""


class WorkerNode:
    """One client instance with an identity.

    Its owner calls `serve` again and again, with `rest` between, until the life is over, then `close`; all
    of them in one task. `drain`, `abort`, `pause` and `resume` may be called from anywhere in the loop, a
    listener of the node's own events included.
    """

    def __init__(self, spec: NodeSpec, around: Surroundings) -> None:
        self._spec = spec
        self._around = around
        self._machine = Machine(LIFE_TABLE, Life.NEW)
        self._bell = Bell()
        self._acting = Interrupt()
        """Around a start, a poll, a check: a drain ends it, at once or after a grace, and so does an abort."""
        self._ending = Interrupt()
        """Around the last things of a session: an abort ends it."""
        self._holds = Holds(spec.node_id, around.clock, around.events)
        self._startup = Startup(spec, around, self._on_lost)
        self._runner = JobRunner(spec, around, self._on_free)
        self._loop: SessionLoop | None = None
        self._stop = Stop(around.clock, around.stop_policy)
        self._refusals = 0

    def __repr__(self) -> str:
        return f"<WorkerNode {self._spec.node_id} {self.presence.value}>"

    @property
    def node_id(self) -> NodeId:
        """Its name."""
        return self._spec.node_id

    @property
    def life(self) -> Life:
        """Where it stands."""
        return self._machine.state

    @property
    def presence(self) -> Presence:
        """What it does, for people."""
        polling = self._loop is not None and self._loop.polling
        return describe(self.life, self._holds.now, busy_slots=self._runner.busy, polling=polling)

    @property
    def busy_slots(self) -> int:
        """Jobs being worked on."""
        return self._runner.busy

    # What others may ask of it.

    def drain(self) -> None:
        """Take no new job, finish the open ones, send the results, leave; all of it within the policy's time."""
        if self._stop.is_on:
            return
        jobs_s = self._stop.drain()
        # Only what a session does may bring a job, and is waited for; a start is ended at once.
        grace_s = min(self._around.stop_policy.poll_grace_s, jobs_s) if self.life is Life.RUNNING else 0
        if self._machine.takes(LifeInput.DRAIN):
            self._move(LifeInput.DRAIN)
        self._holds.put(Hold.DRAINING, on=True)
        self._acting.trigger_in(grace_s)
        self._ending.trigger_in(jobs_s)
        self._bell.ring()

    def abort(self) -> None:
        """Stop at once: open jobs are answered with an error, which is kept; nothing else is waited for."""
        if self._stop.is_abort:
            return
        self._stop.abort()
        if self._machine.takes(LifeInput.ABORT):
            self._move(LifeInput.ABORT)
        self._runner.stop("the node was stopped")
        # By a timer of the loop, so that whoever calls is never the task that is to be interrupted.
        self._acting.trigger_in(0)
        self._ending.trigger_in(0)
        self._bell.ring()

    def pause(self) -> None:
        """Claim no jobs until `resume`; open ones go on."""
        self._holds.put(Hold.PAUSED, on=True)

    def resume(self) -> None:
        """Claim again."""
        self._holds.put(Hold.PAUSED, on=False)
        self._bell.ring()

    # What its owner calls.

    async def rest(self, seconds: float) -> None:
        """Wait, before the first start or in recovery; over at once when the node is told to stop."""
        clock, life = self._around.clock, self.life
        end = clock.monotonic() + seconds
        while self.life is life and not life.is_over and (left := end - clock.monotonic()) > 0:
            await self._bell.wait(left)

    async def serve(self) -> None:
        """Start, and live until the node recovers, has stopped or has failed. Does nothing once its life is over."""
        if self.life.is_over:
            return
        self._move(LifeInput.START if self.life is Life.NEW else LifeInput.ELAPSED)
        while self.life is Life.STARTING:
            try:
                link = await self._start()
                if link is not None:
                    await self._work(link)
            finally:
                self._around.sender.detach(self.node_id)
                await self._startup.close()

    def crashed(self) -> None:
        """`serve` ended by a defect: recover, or stop where that was asked for."""
        ending = LifeInput.DEADLINE if self.life is Life.DRAINING else LifeInput.FAULT
        if self._machine.takes(ending):
            self._move(ending, "a defect of the program")

    async def close(self) -> None:
        """Finish open jobs within what is left of a stop's time, or else of their own, and let go of everything.

        A job is given up without a kept result, and `ResultLost` emitted, only when the disk took none to the end.
        """
        try:
            await finish_jobs(self._runner, self._stop, self._bell)
        finally:
            self._around.proxies.release(self.node_id)
            await self._runner.abandon()

    # The way into a session, and the session.

    async def _start(self) -> Link | None:
        """The link in session; None when the node is not STARTING any more."""
        try:
            with self._acting:
                link = await self._startup.run()
        except Interrupted:
            await self._leave()
            return None
        except StepFailed as error:
            await self._fail_start(error)
            return None
        self._refusals = 0
        if self.life is Life.STARTING:
            return link
        await self._leave()
        return None

    async def _fail_start(self, error: StepFailed) -> None:
        if not isinstance(error, IdentityRefused):
            self._refusals = 0
        elif self._around.auth.healthy:
            self._refusals += 1
        failed = self._refusals >= self._around.policy.refusals
        self._blame_proxy(error)
        await self._end_session(LifeInput.REFUSED if failed else LifeInput.FAULT, str(error))

    async def _work(self, link: Link) -> None:
        self._move(LifeInput.READY)
        self._around.proxies.report(self.node_id, ok=True)
        self._around.sender.attach(self.node_id, link.source)
        loop = self._loop = SessionLoop(
            *(self._spec, self._around, link, self._runner, self._holds, self._bell, self._acting),
            told=self._startup.told,
        )
        try:
            await loop.run(self._is_running)
        except Interrupted:
            pass
        except SessionLost as error:
            await self._lose_session(str(error), is_proven=loop.is_proven)
        except StepFailed as error:
            self._blame_proxy(error)
            await self._end_session(LifeInput.FAULT, str(error))
        finally:
            self._loop = None
            self._holds.put(Hold.BACK_OFF, on=False)
        if self.life is Life.DRAINING:
            await self._drain_session(link)

    def _is_running(self) -> bool:
        return self._machine.state is _RUNNING

    # The ends of a session.

    async def _lose_session(self, reason: str, *, is_proven: bool) -> None:
        """Start anew; but a session that was never good for a single poll is a fault, or it would be lost for ever."""
        if is_proven:
            self._move(LifeInput.SESSION_LOST, reason)
        else:
            await self._end_session(LifeInput.FAULT, f"the new session was lost before its first poll: {reason}")

    async def _end_session(self, ending: LifeInput, reason: str) -> None:
        """Leave; unless the node is told to stop meanwhile, its life moves by ``ending``."""
        if self.life is not Life.DRAINING:
            await self._leave()
        if self._machine.takes(ending):
            self._move(ending, reason)

    async def _drain_session(self, link: Link) -> None:
        finished = await finish_jobs(self._runner, self._stop, self._bell)
        if self._startup.link is link and not link.membership.lost:
            # An abort ends this, and so does the loss of the session, after which nothing can be sent.
            with contextlib.suppress(Interrupted, StepFailed), self._ending:
                left_s = self._stop.left_s(lambda times: times.sent) or 0
                self._ending.trigger_in(left_s)
                if await self._around.sender.flushed(self.node_id, left_s):
                    await tell_points(self._spec, self._around, link.membership)
        await self._leave()
        if self.life is Life.DRAINING:
            self._move(LifeInput.DRAINED if finished else LifeInput.DEADLINE)

    async def _leave(self) -> None:
        """Give back leases and say goodbye, if there is time and anybody to say it to, and close the link."""
        self._around.sender.detach(self.node_id)
        left_s = self._stop.left_s(lambda times: times.left)
        if left_s is None:
            left_s = _GOODBYE_S
        if self._startup.link is not None and left_s > 0:
            with contextlib.suppress(Interrupted), self._ending:
                await self._startup.link.membership.leave(left_s)
        await self._startup.close()

    def _blame_proxy(self, error: StepFailed) -> None:
        """Report the proxy if it was at fault: a gateway's outage must not set good proxies aside."""
        if fault := proxy_fault(error):
            self._around.proxies.report(self.node_id, ok=False, reason=fault)

    def _on_free(self) -> None:
        self._holds.put(_NO_SLOT, on=False)
        self._bell.ring()

    def _on_lost(self) -> None:
        self._bell.ring()
        self._ending.trigger_in(0)

    def _move(self, input_: LifeInput, reason: str = "") -> None:
        before = self.life
        after = self._machine.feed(input_)
        self._around.events.emit(LifeChanged(self.node_id, before, input_, after, reason))
