"""The short form of the drains."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.crash.drains import DrainPlan, run_drains
from tests.crash.phases import PHASES


@pytest.mark.slow
@pytest.mark.timeout(150)
async def test_stops_are_in_time_and_lose_nothing(tmp_path: Path) -> None:
    """One of them while the gateway is frozen, whose ledger is asked for at the end: the deadline holds for that too."""
    phases = ("starting up", "registering", "executing", "sending slowly", "gateway frozen", "working")
    plan = DrainPlan(
        6,
        seed="3",
        nodes=2,
        jobs_per_s=5.0,
        drain_s=(1.0, 1.5),
        phases=phases,
        lent_share=1.0,
        further_share=(0.2, 0.0),
    )
    tally = await run_drains(plan, tmp_path)
    assert tally.breaches == []
    assert tally.counts["drains"] == 6
    assert tally.counts["results finished"] > 10


def test_phases_have_names_of_their_own() -> None:
    assert len({phase.name for phase in PHASES}) == len(PHASES)
