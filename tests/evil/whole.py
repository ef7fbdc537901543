"""The whole table: every case at every step, for a client alone, for a fleet, and in memory."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from node.gateway.tls import client_context
from tests.contract.transport.conftest import MakeFactory
from tests.evil.fleet import EvilGateway, fates, fleet, stragglers
from tests.evil.memory import SLACK_BYTES, costs
from tests.evil.parts import MIB
from tests.evil.server import EvilServer, bait, serving
from tests.evil.steps import KEYS_STEP, STEPS
from tests.evil.table import play, rounds_of

LIMIT = 6 * MIB
NODES_AT_A_TIME = 100
NODES_WITHIN_S = 120.0
Tell = Callable[[str], object]


@dataclass
class Whole:
    """What was played, and what was not as it must be."""

    steps: int = 0
    nodes: int = 0
    measured: int = 0
    grown_bytes: int = 0
    violations: list[str] = field(default_factory=list)

    def line(self) -> str:
        return (
            f"{self.steps} cases at steps, {self.nodes} nodes through a case each, {self.measured} measured in memory "
            f"(at most {self.grown_bytes / MIB:.1f} MiB), {len(self.violations)} violations"
        )


async def play_all(make_factory: MakeFactory, limit: int, tell: Tell) -> Whole:
    """Play the table with every client there is; ``limit`` is what memory is measured at, in bytes."""
    whole = Whole()
    async with bait() as elsewhere:
        for step in (*STEPS, KEYS_STEP):
            rounds = rounds_of(step, elsewhere.url)
            found = await play(rounds, make_factory(client_context(), LIMIT))
            whole.steps += len(rounds)
            whole.violations += map(str, found)
            tell(f"{step}: {len(rounds)} cases, {len(found)} violations\n")
        rounds = [each for step in STEPS[:-1] for each in rounds_of(step, elsewhere.url)]
        for first in range(0, len(rounds), NODES_AT_A_TIME):
            some = rounds[first : first + NODES_AT_A_TIME]
            whole.violations += await _fleet(EvilGateway(fates(some)), make_factory)
            whole.nodes += len(some)
            tell(f"{whole.nodes} of {len(rounds)} nodes, {len(whole.violations)} violations\n")
    for cost in await costs(limit):
        whole.measured += 1
        whole.grown_bytes = max(whole.grown_bytes, cost.grown_bytes)
        if cost.grown_bytes > limit + SLACK_BYTES:
            whole.violations.append(f"{cost.step} met {cost.case!r}: {cost.grown_bytes / MIB:.1f} MiB")
    return whole


async def _fleet(gateway: EvilGateway, make_factory: MakeFactory) -> list[str]:
    transports = make_factory(client_context(), MIB)
    async with (
        serving(EvilServer(gateway.answer)) as server,
        fleet(list(gateway.fates), server.url, transports) as running,
    ):
        found = await stragglers(running, gateway.fates, NODES_WITHIN_S)
        await running.drain(30.0)
        return found + [f"crash: {crash}" for crash in running.crashes]
