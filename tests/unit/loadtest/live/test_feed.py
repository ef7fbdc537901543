"""What is told of a run while it goes on."""

from __future__ import annotations

import json

from node.loadtest.driver.run import Phase
from node.loadtest.live.feed import Feed
from tests.unit.loadtest.live.known_run import KnownRun


async def test_no_state_is_told_before_its_figures_however_slowly_they_are_read() -> None:
    run = KnownRun()
    feed = Feed(run, "one", lambda: run.now)
    with feed.following():
        run.second(1, {})
        told = feed.events()
        while not (await anext(told)).startswith(b"event: cells"):
            pass
        run.second(2, {})
        run.become(phase=Phase.OVER)
        phases, cells = [], 0
        while "over" not in phases:
            for event in (await anext(told)).decode().split("\n\n"):
                name, _, data = event.partition("\n")
                cells += name == "event: cells"
                if name == "event: state":
                    phases.append(json.loads(data.removeprefix("data: "))["phase"])
        await told.aclose()
    assert phases == ["load", "over"]
    assert cells
