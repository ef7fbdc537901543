"""The program as it is, with a census from inside: ``python -m tests.soak.fleet ARGUMENTS``.

A line of JSON goes to the file that ``SOAK_CENSUS`` names, every ``SOAK_EVERY_S`` seconds and one at the end.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import threading
import time
from pathlib import Path
from typing import Any

import node.cli.simulation
from node.app.event_loop import new_event_loop
from node.app.simulation import Simulation
from node.cli.main import main
from tests.soak import census

FILE = Path(os.environ["SOAK_CENSUS"])
EVERY_S = float(os.environ.get("SOAK_EVERY_S", "20"))

_run = Simulation.run


def _note(**more: object) -> None:
    counted = census.take()
    line = {
        "at": time.time(),
        "tasks": len(asyncio.all_tasks()),
        "threads": threading.active_count(),
        "all_objects": counted.all_objects,
        "blocks": sys.getallocatedblocks(),
        "objects": counted.objects,
        "entries": counted.entries,
        **more,
    }
    with FILE.open("a", encoding="utf-8") as file:
        file.write(json.dumps(line) + "\n")


def _counting_loop() -> asyncio.AbstractEventLoop:
    loop = new_event_loop()

    def again() -> None:
        _note()
        loop.call_later(EVERY_S, again)

    loop.call_later(EVERY_S, again)
    return loop


async def _run_and_look(self: Simulation) -> Any:
    outcome = await _run(self)
    # Transports close in the loop's next turns; whatever is there after a second is there for good.
    await asyncio.sleep(1)
    left = sorted(task.get_name() for task in asyncio.all_tasks() - {asyncio.current_task()})
    _note(left=left)
    return outcome


def _put(owner: Any, name: str, instead: Any) -> None:
    setattr(owner, name, instead)


if __name__ == "__main__":
    _put(node.cli.simulation, "new_event_loop", _counting_loop)
    _put(Simulation, "run", _run_and_look)
    sys.exit(main(sys.argv[1:]))
