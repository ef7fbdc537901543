"""The node itself: its life, and the one loop that leads it."""

from __future__ import annotations

from typing import Final

from node.domain.errors import IdentityRefused, ProxyFailed, SessionLost, StepFailed
from node.domain.events import LifeChanged
from node.domain.identity import NodeSpec
from node.domain.ids import NodeId
from node.domain.presence import Presence, describe
from node.domain.states import LIFE_TABLE, Hold, Life, LifeInput, Machine
from node.ports.membership import Link
from node.runtime.interrupt import Interrupt, Interrupted
from node.runtime.signals import Bell
from node.worker.checks import Checks
from node.worker.holds import Holds
from node.worker.job_runner import JobRunner
from node.worker.poller import Poller
from node.worker.startup import Startup
from node.worker.surroundings import Surroundings

_LEAVE_S: Final = 10.0
"""Time for a goodbye when nothing presses: the protocol's own time-out of step 9."""


class WorkerNode:
    """One client instance with an identity.

    Its owner calls `serve` again and again, with `rest` between, until the life is over, then `close`; all
    of them in one task. `drain`, `abort`, `pause` and `resume` may be called from anywhere in the loop.
    """

    def __init__(self, spec: NodeSpec, around: Surroundings) -> None:
        self._spec = spec
        self._around = around
        self._machine = Machine(LIFE_TABLE, Life.NEW)
        self._bell = Bell()
        self._interrupt = Interrupt()
        self._holds = Holds(spec.node_id, around.events)
        self._startup = Startup(spec, around, on_lost=self._bell.ring)
        self._runner = JobRunner(spec, around, on_free=self._bell.ring)
        self._refusals = 0
        self._polling = False
        self._aborted = False
        self._drain_until: float | None = None

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
        return describe(self.life, self._holds.now, busy_slots=self._runner.busy, polling=self._polling)

    @property
    def busy_slots(self) -> int:
        """Jobs being worked on."""
        return self._runner.busy

    # What others may ask of it.

    def drain(self, within_s: float) -> None:
        """Take no new job, finish the open ones, send the results, leave; all of it within this time."""
        if self.life.is_over or self._drain_until is not None:
            return
        self._drain_until = self._around.clock.monotonic() + within_s
        was_running = self.life is Life.RUNNING
        self._move(LifeInput.DRAIN)
        self._holds.put(Hold.DRAINING, on=True)
        if was_running:
            self._interrupt.trigger_in(min(self._around.stop_policy.poll_grace_s, within_s))
        else:
            self._interrupt.trigger()
        self._bell.ring()

    def abort(self) -> None:
        """Stop at once: open jobs are answered with an error, which is kept; nothing is waited for."""
        self._aborted = True
        if self._machine.takes(LifeInput.ABORT):
            self._move(LifeInput.ABORT)
        self._runner.stop("the node was stopped")
        self._interrupt.trigger()
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
        while self.life is life and (left := end - clock.monotonic()) > 0:
            await self._bell.wait(left)

    async def serve(self) -> None:
        """Start, and live until the node recovers, has stopped or has failed. Does nothing once its life is over."""
        if self.life.is_over:
            return
        self._move(LifeInput.START if self.life is Life.NEW else LifeInput.ELAPSED)
        while self.life is Life.STARTING:
            await self._start_and_work()

    def fault(self, reason: str) -> None:
        """Bring a node whose owner caught a defect of it to recovery, from wherever it stands."""
        if self._machine.takes(LifeInput.FAULT):
            self._move(LifeInput.FAULT, reason)

    async def close(self) -> None:
        """Finish open jobs within what is left of the drain's time, then let go of everything.

        A job is given up without a kept result, and `ResultLost` emitted, only when the disk took none to the end.
        """
        if not self._aborted:
            try:
                with self._interrupt:
                    await self._finish_jobs()
            except Interrupted:
                pass
        self._runner.stop("the node was stopped")
        await self._runner.idle(self._around.stop_policy.abort_s)
        self._around.sender.detach(self.node_id)
        await self._startup.close()
        self._around.proxies.release(self.node_id)
        await self._runner.abandon()

    # One session.

    async def _start_and_work(self) -> None:
        link = await self._start()
        if link is None:
            return
        self._move(LifeInput.READY)
        self._around.proxies.report(self.node_id, ok=True)
        self._around.sender.attach(self.node_id, link.source)
        try:
            await self._work(link)
        finally:
            self._around.sender.detach(self.node_id)

    async def _start(self) -> Link | None:
        """The link in session; None when the node is not STARTING any more."""
        try:
            with self._interrupt:
                link = await self._startup.run()
        except Interrupted:
            await self._leave()
            return None
        except StepFailed as error:
            await self._fail_start(error)
            return None
        self._refusals = 0
        return link

    async def _fail_start(self, error: StepFailed) -> None:
        if isinstance(error, IdentityRefused) and self._around.auth.healthy:
            self._refusals += 1
        failed = self._refusals >= self._around.policy.refusals
        self._blame_proxy(error)
        await self._end_session(LifeInput.REFUSED if failed else LifeInput.FAULT, str(error))

    async def _work(self, link: Link) -> None:
        poller = Poller(self.node_id, self._around, link.source)
        checks = Checks(self._spec, self._around, link.membership)
        try:
            while self.life is Life.RUNNING:
                await self._turn(link, poller, checks)
        except Interrupted:
            pass
        except SessionLost as error:
            await self._lose_session(str(error), fresh=not poller.succeeded)
        except StepFailed as error:
            self._blame_proxy(error)
            await self._end_session(LifeInput.FAULT, str(error))
        if self.life is Life.DRAINING:
            await self._drain_session()

    async def _turn(self, link: Link, poller: Poller, checks: Checks) -> None:
        """One turn of the loop: what is due, or a wait for what comes next."""
        if reason := link.membership.lost:
            raise SessionLost(reason)
        now = self._around.clock.monotonic()
        self._look_at_holds(poller, now)
        if checks.due <= now:
            with self._interrupt:
                await checks.run_due()
        elif self._holds.now:
            until = poller.due if self._holds.now == Hold.BACK_OFF else now + self._around.policy.poll_cycle_s
            await self._bell.wait(min(checks.due, until) - now)
        elif poller.due > now:
            await self._bell.wait(min(checks.due, poller.due) - now)
        else:
            await self._poll(link, poller)

    def _look_at_holds(self, poller: Poller, now: float) -> None:
        holds = self._holds
        holds.put(Hold.NO_SLOT, on=self._runner.busy >= self._around.policy.slots)
        holds.put(Hold.DISK, on=not self._around.sender.accepting)
        holds.put(Hold.BACK_OFF, on=poller.backing_off and poller.due > now)
        for gate in self._around.claim_gates:
            holds.put(gate.hold, on=bool(gate.closed_because))

    async def _poll(self, link: Link, poller: Poller) -> None:
        self._polling = True
        try:
            with self._interrupt:
                job = await poller.poll()
        finally:
            self._polling = False
        if job is not None:
            self._runner.start(job, link.source.source_id)

    # The ends of a session.

    async def _lose_session(self, reason: str, *, fresh: bool) -> None:
        """Start anew; but a session that was never good for a single poll is a fault, or it would be lost for ever."""
        if fresh:
            await self._end_session(LifeInput.FAULT, f"the new session was lost before its first poll: {reason}")
        else:
            self._move(LifeInput.SESSION_LOST, reason)

    async def _end_session(self, ending: LifeInput, reason: str) -> None:
        """Leave; unless the node is told to stop meanwhile, its life moves by ``ending``."""
        if self.life is not Life.DRAINING:
            await self._leave()
        if self._machine.takes(ending):
            self._move(ending, reason)

    async def _drain_session(self) -> None:
        try:
            with self._interrupt:
                finished = await self._finish_jobs()
                if self._in_session:
                    await self._around.sender.flushed(self.node_id, self._drain_left_s())
        except Interrupted:
            return
        await self._leave()
        if self.life is Life.DRAINING:
            self._move(LifeInput.DRAINED if finished else LifeInput.DEADLINE)

    async def _finish_jobs(self) -> bool:
        """Let open jobs end until the last part of the drain, then answer them with an error; True if none had to."""
        leave_s = self._around.stop_policy.leave_s
        if await self._runner.idle(self._drain_left_s() - leave_s):
            return True
        self._runner.stop("the node is stopping")
        await self._runner.idle(self._drain_left_s())
        return False

    def _blame_proxy(self, error: StepFailed) -> None:
        """Report the proxy if it was at fault: a gateway's outage must not set good proxies aside."""
        cause: BaseException | None = error
        while cause is not None and not isinstance(cause, ProxyFailed):
            cause = cause.__cause__
        if cause is not None:
            self._around.proxies.report(self.node_id, ok=False, reason=str(cause))

    @property
    def _in_session(self) -> bool:
        return self._startup.link is not None and not self._startup.link.membership.lost

    async def _leave(self) -> None:
        """Deregister in the time that is left, but try for a moment at least, so that leases are given up early."""
        timeout_s = _LEAVE_S if self._drain_until is None else max(0.5, self._drain_left_s())
        try:
            with self._interrupt:
                await self._startup.leave(0 if self._aborted else timeout_s)
        except Interrupted:
            await self._startup.close()

    def _drain_left_s(self) -> float:
        if self._drain_until is None:
            return 0.0
        return max(0.0, self._drain_until - self._around.clock.monotonic())

    def _move(self, input_: LifeInput, reason: str = "") -> None:
        before = self.life
        after = self._machine.feed(input_)
        self._around.events.emit(LifeChanged(self.node_id, before, input_, after, reason))
