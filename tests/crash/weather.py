"""What the gateway does to its nodes for a while, so that kills meet results that wait, and replies that were lost."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from typing import Final

from tests.crash.gateway import Rule

WEATHERS: Final[Mapping[str, Sequence[Rule]]] = {
    "calm": (),
    "results denied": ({"step": "update_result", "kind": "status", "status": 503},),
    "results slow": ({"step": "update_result", "kind": "delay", "delay_s": 1.0},),
    "results acknowledged late": ({"step": "update_result", "kind": "delay", "delay_s": 1.0, "after": True},),
    "results hang": ({"step": "update_result", "kind": "hang", "probability": 0.7},),
    "replies to results cut": ({"step": "update_result", "kind": "cut", "probability": 0.7},),
    "replies with jobs cut": ({"step": "poll", "kind": "cut", "probability": 0.3},),
    "everything shaky": ({"step": "*", "kind": "status", "status": 503, "probability": 0.3},),
    "tokens denied": ({"step": "update_result", "kind": "status", "status": 401, "probability": 0.3},),
}
"""Faults by name, as ``POST /sandbox/faults`` takes them."""

_CALM_SHARE: Final = 0.25


def forecast(chance: random.Random) -> tuple[str, float]:
    """The next weather, and how many seconds it lasts."""
    stormy = [name for name in WEATHERS if name != "calm"]
    name = "calm" if chance.random() < _CALM_SHARE else chance.choice(stormy)
    return name, chance.uniform(1.5, 5.0)
