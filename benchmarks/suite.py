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


def parts(peers: Peers, *, quick: bool) -> list[Part]:
    """All of them. The short ones take less than five minutes together, the whole ones some 25."""
    rounds = request_costs.Rounds(2, Shape(0.5, 2, 0.4)) if quick else request_costs.Rounds(5, Shape(1.0, 3, 0.7))
    everybody = request_costs.contenders(peers)
    made = [
        Part("requests", request_costs.kinds(everybody), lambda tell: request_costs.measured(rounds, tell)),
        Part("where", where.kinds(), lambda _: where.measured()),
        Part(
            "idle",
            idle_nodes.kinds(NODES, "idle", is_detail=False),
            lambda _: idle_nodes.measured(NODES, "idle", 12 if quick else 20, 2 if quick else 6),
        ),
        Part("registration", idle_nodes.registration_kinds(NODES), lambda _: idle_nodes.registration(NODES)),
        Part(
            "sandbox",
            sandbox_polls.kinds(),
            lambda _: sandbox_polls.measured(*((1, 1) if quick else (3, 3)), nodes=2000 if quick else NODES),
        ),
        Part("outbox", outbox.kinds(), lambda _: outbox.measured(*((4000, 1) if quick else (20_000, 3)))),
        Part(
            "simulate",
            fleet.kinds(SIMULATED),
            lambda _: fleet.measured(fleet.Plan(SIMULATED, 20 if quick else 600, ramp_s=8 if quick else 30)),
        ),
    ]
    if not quick:
        many = Part(
            "idle_many",
            idle_nodes.kinds(MANY, "idle_many", is_detail=True),
            lambda _: idle_nodes.measured(MANY, "idle_many", 50, 4),
        )
        made.insert(3, many)
    return made


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
