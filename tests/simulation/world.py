"""One seed's hour: the processes, what befalls them, and what is found at the end."""

from __future__ import annotations

import contextlib
import gc
import hashlib
import os
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from node.domain.events import Event
from node.sandbox.gateway import Gateway
from tests.simulation.checker import Checker
from tests.simulation.faults import Plight, Tally
from tests.simulation.gateway_host import GatewayHost
from tests.simulation.network import Network
from tests.simulation.plan import (
    FED_UNTIL_S,
    HOUR_S,
    SETTLED_BY_S,
    FleetRestart,
    GatewayOutage,
    Plan,
)
from tests.simulation.program import Program, Wrap
from tests.simulation.timeline import Hung, Process, Timeline, new_process

_MEMORY: Final = Path("/dev/shm")
_EXIT_SLACK_S: Final = 1.0
"""What a process may take beyond the deadline of a drain or an abort."""
_RETRY_S: Final = 10.0
"""When a fleet that could not start, or has ended by itself, is started again: as a service manager does."""


@dataclass(frozen=True)
class Outcome:
    """What a seed came to."""

    seed: int
    nodes: int
    hours: float
    steps: int
    violations: list[str]
    faults: Counter[tuple[str, str]]
    transitions: Counter[str]
    events: Counter[str]
    digest: str
    """Of everything that happened, in its order: the same for the same seed, wherever and beside whatever it runs."""
    history: list[str] = field(default_factory=list)


class World:
    """Everything of one seed, on one timeline."""

    def __init__(
        self,
        plan: Plan,
        folder: Path,
        *,
        keep_history: bool,
        wrap: Wrap,
        enough: Callable[[str], bool],
    ) -> None:
        self.plan = plan
        self._folder = str(folder)
        self.timeline = Timeline()
        self.tally = Tally()
        self.history: list[str] = []
        self.host = GatewayHost(self.timeline, plan, folder, self._defect)
        self.checker = Checker(self.timeline, plan, self._gateways, enough)
        self._nature = new_process(self.timeline, "nature", self._defect)
        self.network = Network(self.timeline, plan, self.host, self.tally, self.checker, self._nature)
        record = self._record if keep_history else None
        self.program = Program(
            self.timeline, plan, self.network, self.checker, self.tally, folder, record=record, wrap=wrap
        )
        self._wanted = True
        self._stopping: str = ""
        self._deadline = float("inf")
        self._over = False

    def run(self) -> None:
        """Live through the hour, or until enough is known."""
        plan, at = self.plan, self._nature.call_at
        at(0.0, self.host.start)
        at(0.0, self._start_fleet)
        for outage in plan.gateway_outages:
            at(outage.at, self._end_gateway, outage)
        for restart in plan.fleet_restarts:
            at(restart.at, self._end_fleet, restart)
        for when, by_s in plan.skew_jumps:
            at(when, self._jump, by_s)
        for when in plan.tokens_expire:
            at(when, self.host.expire_tokens)
        at(FED_UNTIL_S, self.host.stop_feeding)
        at(SETTLED_BY_S, self._settle)
        try:
            self.timeline.run(lambda: self._over or self.checker.knows_enough)
        except Hung as error:
            self.checker.violated(0, str(error))
        self.checker.audited()

    def _gateways(self) -> list[Gateway]:
        return self.host.gateways

    def _defect(self, text: str) -> None:
        self.checker.violated(0, text)

    def _record(self, process: str, event: Event) -> None:
        # The folder has another name in every run.
        self.history.append(f"{self.timeline.now!r} {process} {event!r}".replace(self._folder, "."))

    def _jump(self, by_s: float) -> None:
        self.program.clock.skew_s += by_s

    # The gateway ends and comes back.

    def _end_gateway(self, outage: GatewayOutage) -> None:
        if not self.host.is_up:
            return
        if outage.killed:
            self.host.kill()
            self.network.break_connections()
        else:
            self.host.stop()
        self._nature.call_later(outage.down_s, self._start_gateway)

    def _start_gateway(self) -> None:
        if self.host.has_ended:
            self.host.start()
        else:
            self._nature.call_later(0.1, self._start_gateway)

    # The fleet ends and comes back.

    def _start_fleet(self) -> None:
        if self.program.is_running or self._over:
            return
        self._stopping, self._deadline = "", float("inf")
        self.program.start()
        self.program.on_exit(self._exited)

    def _exited(self) -> None:
        """The process has ended by itself, or as it was told."""
        if self._stopping and self.timeline.now > self._deadline:
            late_s = self.timeline.now - self._deadline
            self.checker.violated(0, f"the {self._stopping} took {late_s:.2f} s longer than it may")
        self.checker.exited(self.program.left_tasks())
        if self._wanted:
            self._nature.call_later(_RETRY_S, self._start_fleet)
        else:
            self._nature.call_later(1.0, self._finish)

    def _finish(self) -> None:
        """The fleet has ended: so does the gateway, and all is over when it has."""
        self.host.stop()
        if self.host.has_ended:
            self._over = True
        else:
            self._nature.call_later(1.0, self._finish)

    def _end_fleet(self, restart: FleetRestart) -> None:
        if self.program.is_running and not self._stopping:
            self.program.processes[-1].light_fuse(restart.after_steps, lambda: self._end_fleet_now(restart))

    def _end_fleet_now(self, restart: FleetRestart) -> None:
        if restart.way == "kill":
            self._kill(restart.down_s)
            return
        # Told from outside, as by a signal: not in the midst of what the fleet happens to do.
        self._nature.call_soon(self._tell, restart.way)
        if restart.way == "drain" and restart.then_after_s < HOUR_S:
            process = self.program.processes[-1]
            self._nature.call_later(restart.then_after_s, self._lose_patience, process, restart)

    def _lose_patience(self, process: Process, restart: FleetRestart) -> None:
        if self.program.processes[-1] is not process or not self.program.is_running:
            return
        if restart.then == "kill":
            self._kill(restart.down_s)
        else:
            self._tell("abort")

    def _kill(self, down_s: float) -> None:
        self.program.kill()
        self._nature.call_later(down_s, self._start_fleet)

    def _tell(self, way: str) -> None:
        fleet = self.program.fleet
        if fleet is None or not self.program.is_running:
            return
        self._stopping = way
        stop = self.plan.policies.stop
        longest_s = stop.drain_s if way == "drain" else stop.abort_s
        self._deadline = min(self._deadline, self.timeline.now + longest_s + _EXIT_SLACK_S)
        process = self.program.processes[-1]
        process.call_soon(fleet.drain if way == "drain" else fleet.abort)

    # The end of the hour.

    def _settle(self) -> None:
        self._note_skew()
        self.checker.settled()
        self._wanted = False
        if not self.program.is_running:
            self._finish()
            return
        self._nature.call_at(HOUR_S - 5.0, self._finish_anyhow)
        self._tell(self.plan.last_stop)

    def _finish_anyhow(self) -> None:
        if self.program.is_running and self.timeline.now > self._deadline:
            self.checker.violated(
                0, f"the fleet has not ended {self.timeline.now - self._deadline:.0f} s after it had to"
            )
        self._nature.call_later(5.0, self._finish)

    def _note_skew(self) -> None:
        if self.plan.skew_s or self.plan.skew_jumps:
            for step, count in self.network.sent.items():
                self.tally.counts[Plight.CLOCK_SKEWED.value, step] += count


def run(
    plan: Plan,
    *,
    keep_history: bool = False,
    wrap: Wrap = lambda box: box,
    enough: Callable[[str], bool] = lambda _: False,
) -> Outcome:
    """Live through one seed's hour and say what was found; a violation that is ``enough`` ends it early."""
    with tempfile.TemporaryDirectory(prefix="simulation-", dir=_memory()) as folder, _quiet_burials():
        world = World(plan, Path(folder), keep_history=keep_history, wrap=wrap, enough=enough)
        world.run()
        outcome = Outcome(
            seed=plan.seed,
            nodes=plan.nodes,
            hours=HOUR_S / 3600,
            steps=world.timeline.steps,
            violations=world.checker.violations,
            faults=world.tally.counts,
            transitions=world.checker.transitions,
            events=world.checker.events,
            digest=_digest(world),
            history=world.history,
        )
        del world
    return outcome


def _memory() -> Path | None:
    """A folder whose files cost no disk: what a kill leaves is the same there, and no loss of power is simulated."""
    return _MEMORY if _MEMORY.is_dir() and os.access(_MEMORY, os.W_OK) else None


def _digest(world: World) -> str:
    """A history that parts from another anywhere has other counts of steps, draws or rows from there on."""
    rows = [gateway.job_rows(0, 1_000_000) for gateway in world.host.gateways]
    told = (
        world.timeline.steps,
        world.timeline.now,
        world.network.fingerprint(),
        sorted(world.checker.events.items()),
        rows,
        world.checker.violations,
    )
    return hashlib.sha256(repr(told).encode()).hexdigest()


@contextlib.contextmanager
def _quiet_burials() -> Iterator[None]:
    """What dead processes held is let go of here: their ``finally`` blocks run, and nobody listens."""
    hook, sys.unraisablehook = sys.unraisablehook, lambda _: None
    try:
        yield
        gc.collect()
    finally:
        sys.unraisablehook = hook
