"""The phases of a life in which a stop may come, and how a process is brought into each of them."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Final

from tests.crash.gateway import Rule


class Outage(Enum):
    """What happens to the gateway before the stop."""

    NONE = "none"
    DOWN = "down"
    """It is killed, and started again when the worker has ended."""
    RETURNS = "returns"
    """It is killed, and started again during the stop."""
    FROZEN = "frozen"
    """It takes connections and answers nothing."""


@dataclass(frozen=True, slots=True)
class Phase:
    """One phase: faults and settings that make it, the log line that tells it has begun, and the wait after that.

    Without a line the wait begins at the process's start. ``polls_are_prompt``: every reply to a poll arrives well
    within the grace of a drain, so that each job handed out must be answered.
    """

    name: str
    rules: Sequence[Rule] = ()
    settings: Mapping[str, object] = field(default_factory=dict)
    begins_with: str = ""
    wait_s: tuple[float, float] = (0.0, 1.5)
    outage: Outage = Outage.NONE
    polls_are_prompt: bool = True


def _delay(step: str, delay_s: float, **more: object) -> Rule:
    return {"step": step, "kind": "delay", "delay_s": delay_s, **more}


PHASES: Final = (
    Phase("starting up", wait_s=(0.02, 1.3)),
    Phase("checking the secret", [_delay("check_secret", 2)], begins_with="node starting"),
    Phase("checking the identity", [_delay("check_identity", 2)], begins_with="node starting"),
    Phase("registering", [_delay("register", 2)], begins_with="node starting"),
    Phase("announcing models", [_delay("update_models", 2)], begins_with="node starting"),
    Phase(
        "auth service down",
        [{"step": "check_identity", "kind": "status", "status": 503}],
        begins_with="node starting",
    ),
    Phase("polling", [_delay("poll", 0.7, after=True)], begins_with="poll started"),
    Phase("polling in vain", [_delay("poll", 6, after=True)], begins_with="poll started", polls_are_prompt=False),
    Phase("executing", settings={"stored.delay_max_s": 30}, begins_with="job received"),
    Phase("sending slowly", [_delay("update_result", 1)], begins_with="job done"),
    Phase("sending, acknowledged late", [_delay("update_result", 2, after=True)], begins_with="job done"),
    Phase("sending into silence", [{"step": "update_result", "kind": "hang"}], begins_with="job done"),
    Phase(
        "results denied",
        [{"step": "update_result", "kind": "status", "status": 503}],
        begins_with="result delayed",
    ),
    Phase("gateway down", begins_with="job done", outage=Outage.DOWN, polls_are_prompt=False),
    Phase("gateway comes back", begins_with="job done", outage=Outage.RETURNS, polls_are_prompt=False),
    Phase("gateway frozen", begins_with="job done", outage=Outage.FROZEN, polls_are_prompt=False),
    Phase(
        "recovering",
        [{"step": "poll", "kind": "status", "status": 302, "skip": 12}],
        {"fleet.recovery_min_s": 1, "fleet.recovery_max_s": 5},
        begins_with="node recovering",
        polls_are_prompt=False,
    ),
    Phase(
        "updating models",
        [_delay("update_models", 1, skip=3)],
        {"fleet.models_update_min_s": 1, "fleet.models_update_max_s": 1.2},
        begins_with="poll ended",
        wait_s=(0.8, 2.5),
    ),
    Phase("working", begins_with="job received", wait_s=(0, 3)),
    Phase(
        "everything shaky",
        [{"step": "*", "kind": "status", "status": 503, "probability": 0.3}],
        begins_with="poll started",
        wait_s=(0, 3),
    ),
    Phase(
        "tokens denied",
        [{"step": "update_result", "kind": "status", "status": 401, "probability": 0.5}],
        begins_with="job done",
    ),
)


def shuffled_phases(chance: random.Random, names: Sequence[str] = ()) -> Iterator[Phase]:
    """Phases without end, those of these names or all: each has its turn before one comes again."""
    phases = [phase for phase in PHASES if not names or phase.name in names]
    while True:
        yield from chance.sample(phases, len(phases))
