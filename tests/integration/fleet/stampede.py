"""How hard a fleet falls upon its gateway when that comes back: ``python -m tests.integration.fleet.stampede --help``.

A fleet works until its rate of requests is steady. Then the gateway is away for a while, or the auth service with it,
and comes back, with what it knew or without. What arrives at it in the minute that follows is counted second by
second, and so is how long the results wait that were there when it came back.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from starlette.types import Receive, Scope, Send

from node.domain.circuit import Circuit
from node.domain.policies import AuthPolicy, BackOff, NodePolicy, Range, StaggerPolicy
from node.executors.synthetic import SyntheticPolicy
from node.protocol.routes import Step
from node.sandbox.policy import FaultRule, SandboxPolicy
from tests.support.fleet import GatewayHost, Plan, World, fleet
from tests.support.virtual_time import VirtualClock, in_virtual_time

WATCHED_S = 60
"""How long arrivals are counted after it."""

MOST = 2.0
"""Times the steady rate that may arrive within any one second."""

CAPS = 2
"""Within how many caps of its back-off the outbox must be empty."""

AUTH_DOWN = FaultRule(Step.CHECK_IDENTITY.label, "status", status=503)


@dataclass(frozen=True)
class Case:
    """One outage. ``jobs_per_s`` and ``job_s`` make how many results wait at its end."""

    outage_s: float
    keeps_state: bool
    """Whether the gateway comes back with its data; otherwise all tokens are void."""
    cycle_s: float = 5.0
    auth_outage_s: float = 0.0
    """How much longer the auth service is away than the gateway."""
    nodes: int = 1000
    jobs_per_s: float = 10.0
    job_s: float = 30.0
    recovery: Range = field(default_factory=lambda: Range(2, 6))
    """The program's own default."""
    token_lifetime_s: float = 900.0
    steady_s: int = 60
    """How long the steady rate is measured, just before the outage."""
    seed: int = 1

    def __str__(self) -> str:
        what = f"{self.outage_s:g} s away, {'state kept' if self.keeps_state else 'state lost'}"
        auth = f", auth {self.auth_outage_s:g} s longer" if self.auth_outage_s else ""
        return f"{what}{auth}, cycle {self.cycle_s:g} s"

    def plan(self, data_dir: Path) -> Plan:
        tokens_per_s = 1.0
        return Plan(
            seed=self.seed,
            nodes=self.nodes,
            accounts=max(1, self.nodes // 10),
            node=NodePolicy(poll_cycle_s=self.cycle_s, recovery=self.recovery),
            stagger=StaggerPolicy(min_s=0, max_s=self.cycle_s, spacing_s=0.1),
            auth=AuthPolicy(release_per_s=AuthPolicy().release_per_s * self.nodes / 1000),
            jobs_per_s=self.jobs_per_s,
            speed=SyntheticPolicy(int(self.job_s / 2), int(self.job_s * 3 / 2), tokens_per_s),
            sandbox=SandboxPolicy(
                data_dir=data_dir if self.keeps_state else None, token_lifetime_s=self.token_lifetime_s
            ),
        )


@dataclass(frozen=True)
class Figures:
    """What came of an outage. Rates are requests a second, at the gateway's and the auth service's door."""

    steady: float
    steady_peak: int
    """The busiest second before the outage."""
    peak: int
    """The busiest second after it."""
    waiting: int
    """Results in the outbox when the gateway came back."""
    emptied_s: float
    """When the last of those had left."""
    cap_s: float
    lives: dict[str, int]
    """Where the nodes stood when the gateway came back."""
    seconds: list[int]
    """Arrivals in each second."""

    @property
    def ratio(self) -> float:
        return self.peak / self.steady

    @property
    def violations(self) -> list[str]:
        found = []
        if self.ratio > MOST:
            found.append(f"{self.peak} requests in one second, {self.ratio:.2f} times the steady {self.steady:.0f}")
        if self.emptied_s > CAPS * self.cap_s:
            found.append(f"results waited {self.emptied_s:.0f} s, more than {CAPS} × {self.cap_s:g} s")
        return found


class CountingHost(GatewayHost):
    """A gateway at whose door requests are counted; those that find nobody there are not."""

    def __init__(self, plan: Plan, clock: VirtualClock) -> None:
        super().__init__(plan, clock)
        self._arrivals: Counter[int] = Counter()
        self._since = clock.monotonic()
        self._is_up = False

    def count_anew(self) -> None:
        self._arrivals.clear()
        self._since = self.clock.monotonic()

    def seconds(self, number: int) -> list[int]:
        """Arrivals in each of the first seconds of the count."""
        return [self._arrivals[second] for second in range(number)]

    async def start(self) -> None:
        await super().start()
        self._is_up = True

    async def stop(self) -> None:
        self._is_up = False
        await super().stop()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self._is_up:
            self._arrivals[int(self.clock.monotonic() - self._since)] += 1
        await super().__call__(scope, receive, send)


def measure(case: Case, change: Callable[[Plan], Plan] = lambda plan: plan) -> Figures:
    """Let the outage happen, in virtual time. ``change`` is for planting what must not be."""
    found: list[Figures] = []

    @in_virtual_time
    async def scenario() -> None:
        with tempfile.TemporaryDirectory() as folder:
            async with _counted(change(case.plan(Path(folder)))) as (host, running):
                found.append(await _suffer(case, host, running))

    scenario()
    return found[0]


@asynccontextmanager
async def _counted(plan: Plan) -> AsyncIterator[tuple[CountingHost, World]]:
    host = CountingHost(plan, VirtualClock())
    await host.start()
    try:
        async with fleet(plan, host) as running:
            yield host, running
    finally:
        await host.stop()


async def _suffer(case: Case, host: CountingHost, running: World) -> Figures:
    await running.all_are("running")
    await asyncio.sleep(2 * max(case.cycle_s, case.job_s))
    host.count_anew()
    await asyncio.sleep(case.steady_s)
    steady = host.seconds(case.steady_s)

    await host.stop()
    await asyncio.sleep(case.outage_s)
    await host.start()
    if case.auth_outage_s:
        host.sandbox.faults.replace([AUTH_DOWN])
        await asyncio.sleep(case.auth_outage_s)
        host.sandbox.faults.replace(())
        await running.until(lambda: running.auth.circuit is Circuit.CLOSED)

    host.count_anew()
    waiting = {result.key for result in running.outbox.pending()}
    lives = Counter(running.lives().values())
    emptied_s = await _emptied_s(running, {*waiting})
    seconds = host.seconds(WATCHED_S)
    return Figures(
        steady=sum(steady) / case.steady_s,
        steady_peak=max(steady),
        peak=max(seconds),
        waiting=len(waiting),
        emptied_s=emptied_s,
        cap_s=running.plan.outbox.back_off.cap_s,
        lives=dict(lives),
        seconds=seconds,
    )


async def _emptied_s(running: World, waiting: set[object]) -> float:
    """Watch for the time that arrivals are counted, and on until none of these results waits."""
    clock = running.clock
    began = clock.monotonic()
    emptied_s = 0.0
    while waiting or clock.monotonic() < began + WATCHED_S:
        await asyncio.sleep(1)
        if waiting:
            waiting.intersection_update(result.key for result in running.outbox.pending())
            emptied_s = clock.monotonic() - began
        assert clock.monotonic() < began + 3600, f"{len(waiting)} results still wait"
    return emptied_s


MATRIX = [
    *(Case(outage_s, keeps_state) for outage_s in (10, 120, 1200) for keeps_state in (True, False)),
    *(Case(outage_s, keeps_state=False, auth_outage_s=60) for outage_s in (10, 120)),
    *(
        Case(outage_s, keeps_state, cycle_s=60, jobs_per_s=20, job_s=15)
        for outage_s in (10, 120)
        for keeps_state in (True, False)
    ),
]


def no_turnstile(plan: Plan) -> Plan:
    """Plant a bug: whoever comes back does so at once."""
    return replace(plan, stagger=replace(plan.stagger, return_cycles=0))


def hasty_results(plan: Plan) -> Plan:
    """Plant a bug: results are tried again after next to no time."""
    return replace(plan, outbox=replace(plan.outbox, back_off=BackOff(base_s=0.1, cap_s=0.5)))


PLANTED = {"no-turnstile": no_turnstile, "hasty-results": hasty_results}


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tests.integration.fleet.stampede",
        description=f"Outages of a gateway with a fleet at it, in virtual time. Exit code 1 when more than {MOST:g} times"
        f" the steady rate arrives within a second, or a result waits longer than {CAPS} caps of the back-off.",
    )
    parser.add_argument("--nodes", type=int, default=1000, help="size of the fleet (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="everything random is drawn from it (default: 1)")
    parser.add_argument("--only", default="", help="only cases whose name contains this, such as '120 s away'")
    parser.add_argument("--plant", choices=PLANTED, help="plant a bug, to see that it is found")
    parser.add_argument("--report", type=Path, help="write the figures of all cases there, as JSON")
    options = parser.parse_args(arguments)
    change: Callable[[Plan], Plan] = PLANTED[options.plant] if options.plant else lambda plan: plan
    rows = []
    violations = 0
    for case in (replace(case, nodes=options.nodes, seed=options.seed) for case in MATRIX):
        if options.only not in str(case):
            continue
        sys.stderr.write(f"{case} …\n")
        began = time.process_time()
        figures = measure(case, change)
        violations += len(figures.violations)
        rows.append({"case": str(case), **asdict(figures), "violations": figures.violations})
        sys.stdout.write(
            f"{case}: steady {figures.steady:.0f}/s, peak {figures.peak}/s, ratio {figures.ratio:.2f},"
            f" {figures.waiting} results gone after {figures.emptied_s:.0f} s"
            f" ({time.process_time() - began:.0f} s of CPU){''.join(f'; VIOLATION: {v}' for v in figures.violations)}\n"
        )
    if not rows:
        parser.error(f"no case is called {options.only!r}")
    if options.report:
        options.report.write_text(json.dumps(rows, indent=1), encoding="utf-8")
    sys.stdout.write(f"{len(rows)} outages, {options.nodes} nodes, seed {options.seed}: {violations} violations\n")
    return 1 if violations else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
