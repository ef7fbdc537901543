"""Plans to try things with."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from node.loadtest.plan.model import Plan
from node.loadtest.plan.reading import scenario_of
from node.loadtest.plan.scenario import Scenario, Schedule, Shard
from node.loadtest.plan.trace import TraceJob

SCENARIOS = Path(__file__).parents[4] / "config/scenarios"

LEAST = """
name = "least"
duration = "60s"
[[nodes.stages]]
kind = "storm"
to = 10
"""
"""The least that makes a plan; tables can be put after it."""


def scenario(text: str = "", *, head: str = "") -> Scenario:
    """A plan with more tables after its least, and more keys before."""
    return scenario_of(head + LEAST + text, "plan.toml")


def schedule(
    shard: Shard | None = None, *, traces: dict[Path, tuple[TraceJob, ...]] | None = None, **parts: Any
) -> Schedule:
    """A schedule of ten nodes and sixty seconds, less what ``parts`` say otherwise."""
    given = {"name": "x", "duration": "60s", "nodes": {"stages": [{"kind": "storm", "to": 10}]}, **parts}
    whole = Scenario(Plan.model_validate(given), traces or {})
    return Schedule(whole) if shard is None else Schedule(whole, shard)
