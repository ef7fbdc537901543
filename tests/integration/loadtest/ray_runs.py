"""Load tests over a Ray cluster of two nodes on this machine, as a program: it prints what came of them, as JSON."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import psutil

from node.loadtest.shards.ray_pool import RayPool
from tests.integration.loadtest.sharded import Watcher, sharded_run
from tests.unit.loadtest.shards.ray_cluster import two_nodes


async def _run(address: str, folder: Path, watcher: Watcher) -> dict[str, Any]:
    def pool(_: object) -> RayPool:
        return RayPool(address, "node.app.loadtest.shards_run:run_task", "node.app.event_loop:new_event_loop")

    outcome = await sharded_run(folder, 2, pool, watcher)
    assert outcome is not None
    return {
        "verdict": outcome.verdict.value,
        "audit": outcome.report.to_document(),
        "counts": dict(outcome.figures.counts),
        "reasons": list(outcome.health.reasons),
        "marks": [mark.text for mark in outcome.figures.series.marks],
        "defects": list(outcome.defects),
        "most_nodes": max(standing.nodes for standing in watcher.standings),
    }


def main() -> None:
    """One run in peace, and one in which a machine dies."""
    with two_nodes(1) as cluster, TemporaryDirectory() as name:
        second = cluster.list_all_nodes()[1]
        folder, found = Path(name), {}
        found["in peace"] = asyncio.run(_run(cluster.address, folder, Watcher()))
        watcher, killed = Watcher(), []

        def kill(standing: Any) -> None:
            if standing.submitted > 15 and not killed:
                killed.append(True)
                # No goodbye: raylet and actor are gone, as with a machine that lost its power.
                second.kill_raylet(check_alive=False)

        watcher.on_tick = kill
        found["one dies"] = asyncio.run(_run(cluster.address, folder, watcher))
        started = psutil.Process().children(recursive=True)
    _, left = psutil.wait_procs(started, timeout=10)
    found["left"] = [process.name() for process in left]
    sys.stdout.write(json.dumps(found) + "\n")


if __name__ == "__main__":
    main()
