"""All measurements, in their order, short or whole."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from benchmarks import fleet, idle_nodes, outbox, request_costs, sandbox_polls, where
from benchmarks.figures import Figure, Found, Kind, Unmeasurable
from benchmarks.machine import load_average, others_s
from benchmarks.peers.found import Peers
from benchmarks.turns import Shape

NODES: Final = 20_000
MANY: Final = 50_000
SIMULATED: Final = 1000

Tell = Callable[[str], object]
"""Is told what is done now."""


@dataclass(frozen=True, slots=True)
class Part:
    """A measurement: its name, what it finds, and how; ``measure`` is given whom to tell of its progress."""

    name: str
    kinds: Sequence[Kind]
    measure: Callable[[Tell], Found]


@dataclass(frozen=True, slots=True)
class Took:
    """How a part went: seconds, the load average before it, and how many cores others took meanwhile."""

    part: str
    seconds: float
    load_average: float
    others_cores: float


@dataclass(frozen=True, slots=True)
class Scale:
    """How long the parts take: what each is given."""

    rounds: request_costs.Rounds
    idle_start_s: float
    idle_cycles: int
    sandbox_rounds: int
    sandbox_turn_s: int
    sandbox_nodes: int
    results: int
    outbox_rounds: int
    simulated: fleet.Plan


SHORT: Final = Scale(
    rounds=request_costs.Rounds(2, Shape(warm_up_s=0.5, windows=2, window_s=0.4)),
    idle_start_s=20,
    idle_cycles=2,
    sandbox_rounds=1,
    sandbox_turn_s=1,
    sandbox_nodes=2000,
    results=4000,
    outbox_rounds=1,
    simulated=fleet.Plan(SIMULATED, seconds=20, ramp_s=8),
)
"""Less than five minutes in all."""

WHOLE: Final = Scale(
    rounds=request_costs.Rounds(5, Shape(warm_up_s=0.8, windows=3, window_s=0.6)),
    idle_start_s=20,
    idle_cycles=6,
    sandbox_rounds=3,
    sandbox_turn_s=3,
    sandbox_nodes=NODES,
    results=20_000,
    outbox_rounds=2,
    simulated=fleet.Plan(SIMULATED, seconds=600, ramp_s=30),
)
"""Some 25 minutes."""


def parts(peers: Peers, *, quick: bool) -> list[Part]:
    """All of them; the many idle nodes have no short run."""
    to, many = SHORT if quick else WHOLE, idle_nodes.kinds(MANY, "idle_many", is_detail=True)
    requests = request_costs.kinds(request_costs.contenders(peers))
    made = [
        Part("requests", requests, lambda tell: request_costs.measured(to.rounds, tell)),
        Part("where", where.kinds(), lambda _: where.measured()),
        Part(
            "idle",
            idle_nodes.kinds(NODES, "idle", is_detail=False),
            lambda _: idle_nodes.measured(NODES, "idle", to.idle_start_s, to.idle_cycles),
        ),
        Part("idle_many", many, lambda _: idle_nodes.measured(MANY, "idle_many", 50, 4)),
        Part("registration", idle_nodes.registration_kinds(NODES), lambda _: idle_nodes.registration(NODES)),
        Part(
            "sandbox",
            sandbox_polls.kinds(),
            lambda _: sandbox_polls.measured(to.sandbox_rounds, to.sandbox_turn_s, to.sandbox_nodes),
        ),
        Part("outbox", outbox.kinds(), lambda _: outbox.measured(to.results, to.outbox_rounds)),
        Part("simulate", fleet.kinds(SIMULATED), lambda _: fleet.measured(to.simulated)),
    ]
    return [part for part in made if not quick or part.name != "idle_many"]


def run(chosen: Sequence[Part], tell: Tell) -> tuple[list[Figure], list[Took]]:
    """Measure one after the other; what cannot be measured here says why in its figures."""
    figures: list[Figure] = []
    took: list[Took] = []
    for number, part in enumerate(chosen, 1):
        began, busy, others = time.monotonic(), load_average(), others_s()
        before = f"{number}/{len(chosen)} {part.name}"
        tell(before)
        try:
            found = part.measure(_within(before, tell))
        except Unmeasurable as error:
            found = {kind.name: str(error) for kind in part.kinds}
        figures += [_figure(kind, found) for kind in part.kinds]
        seconds = time.monotonic() - began
        took.append(Took(part.name, round(seconds, 1), busy, round(max(0.0, others_s() - others) / seconds, 2)))
    return figures, took


def _within(part: str, tell: Tell) -> Tell:
    return lambda text: tell(f"{part}: {text}")


def _figure(kind: Kind, found: Found) -> Figure:
    came = found.get(kind.name, "it was not measured")
    return Figure(kind, None, came) if isinstance(came, str) else Figure(kind, came)
