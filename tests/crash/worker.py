"""The real program as a worker: one outbox, and the processes that have it, one after the other."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from tests.crash.audit import WorkerBook
from tests.crash.evidence import ERROR_LOG_FILE, LOG_FILE, OutboxCopy, Step, copy_outbox, read_history
from tests.crash.instrumented import AMBUSH, COMMIT_DELAY_S, HISTORY, MARKS
from tests.crash.marks import Place, read_marks
from tests.crash.processes import MAIN, Program, Programs
from tests.crash.scene import Scene, settings_environment

INSTRUMENTED: Final = ("-m", "tests.crash.instrumented")

REMEMBER_S: Final = 3600
"""How long an outbox remembers what was accepted: longer than a leg, so that all of it can be audited."""

_LOOK_S: Final = 0.02

SETTINGS: Final[Mapping[str, object]] = {
    "gateway.lease_s": REMEMBER_S,
    "executors.order": "stored",
    "stored.delay_min_s": 0.01,
    "stored.delay_max_s": 0.25,
    "node.slots": 3,
    "node.poll_cycle_s": 0.1,
    "node.poll_failures": 4,
    "node.back_off_base_s": 0.05,
    "node.back_off_cap_s": 0.4,
    "node.job_deadline_s": 60,
    "timeouts.poll_s": 4,
    "timeouts.result_s": 3,
    "retry.base_s": 0.05,
    "retry.cap_s": 0.4,
    "auth.open_s": 0.3,
    "auth.open_cap_s": 0.6,
    "fleet.max_start_delay_s": 0.2,
    "fleet.start_spacing_s": 0.02,
    "fleet.recovery_min_s": 0.2,
    "fleet.recovery_max_s": 0.6,
    "fleet.points_check_s": 2,
    "outbox.back_off_base_s": 0.05,
    "outbox.back_off_cap_s": 0.5,
    "outbox.probe_s": 0.5,
    "logging.level": "debug",
    "logging.rotate_mb": 1000,
}
"""A life in fast motion: all of it happens within a second or two."""


@dataclass(frozen=True, slots=True)
class Gear:
    """How a process is run: the arguments before the command, settings over `SETTINGS`, and what the commits do.

    The last two are for an instrumented process: see `tests.crash.instrumented`.
    """

    entry: Sequence[str] = MAIN
    settings: Mapping[str, object] = field(default_factory=dict)
    commit_delay_s: float = 0.0
    ambush: str = ""

    @property
    def is_instrumented(self) -> bool:
        """Whether the process marks its commits and writes its own history."""
        return self.entry is not MAIN


@dataclass(frozen=True, slots=True)
class Remains:
    """What a process left: what it did, what its outbox holds, and where its outbox's thread stood.

    ``has_lived``: its nodes had begun to.
    """

    history: Sequence[Step]
    outbox: OutboxCopy
    place: Place
    has_lived: bool


class WorkerUnderTest:
    """One worker of the scene, over all its processes; each has a folder of its own for what it leaves."""

    def __init__(self, scene: Scene, number: int, programs: Programs, seed: str) -> None:
        self.name = scene.worker_name(number)
        self.nodes = scene.node_names(number)
        self.state = scene.folder / self.name
        self.book = WorkerBook(self.name)
        self._scene = scene
        self._roster = scene.roster(number)
        self._programs = programs
        self._random = random.Random(seed)
        self._started = 0
        self._gear = Gear()

    @property
    def label(self) -> str:
        """Names the process that was started last."""
        return f"{self.name} round {self._started}"

    @property
    def folder(self) -> Path:
        """What that process leaves is put here."""
        return self._scene.folder / f"{self.name}-rounds" / f"{self._started:04d}"

    async def said(self, event: str, program: Program, within_s: float) -> bool:
        """Wait until one of the process's nodes has told of this event; False when it ends or takes longer."""
        wanted = json.dumps({"event": event})[1:-1].encode()
        logs = [self.state / LOG_FILE, self.state / ERROR_LOG_FILE]
        end = asyncio.get_running_loop().time() + within_s
        while not any(log.exists() and wanted in log.read_bytes() for log in logs):
            if asyncio.get_running_loop().time() > end or await program.ended(_LOOK_S) is not None:
                return False
        return True

    async def start(self, gateway_url: str, gear: Gear) -> Program:
        """Start a process on the outbox."""
        self._started += 1
        self._gear = gear
        self.folder.mkdir(parents=True)
        env = settings_environment({**SETTINGS, **gear.settings})
        if gear.is_instrumented:
            env |= {MARKS: str(self.folder / "marks"), HISTORY: str(self.folder / "history")}
            env |= {COMMIT_DELAY_S: str(gear.commit_delay_s), AMBUSH: gear.ambush}
        arguments = ["simulate", "--gateway", gateway_url, "--nodes", str(self._roster), "--no-dashboard"]
        arguments += ["--prompts", str(self._scene.prompts), "--state-dir", str(self.state), "--json-logs"]
        arguments += ["--seed", str(self._random.randrange(1 << 32))]
        return await self._programs.start([*gear.entry, *arguments], self.folder, self.folder / "output", env)

    def collect(self) -> Remains:
        """Put aside what the process left, which has ended, and read it.

        Raises:
            sqlite3.DatabaseError: the outbox is damaged.
        """
        logs = (self.state / LOG_FILE).parent
        if logs.exists():
            logs.rename(self.folder / "logs")
        own = self.folder / "history"
        log = self.folder / LOG_FILE
        return Remains(
            history=read_history(own if self._gear.is_instrumented else log),
            outbox=copy_outbox(self.state, self.folder / "outbox"),
            place=read_marks(self.folder / "marks"),
            has_lived=log.exists() and log.stat().st_size > 0,
        )
