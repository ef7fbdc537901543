"""Many seeds, on all cores, and what they add up to."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any, Final

from node.domain.states import LIFE_TABLE, SESSION_TABLE, Session, SessionInput
from tests.simulation.faults import expected
from tests.simulation.plan import draw_plan
from tests.simulation.world import Outcome, run

TRANSITIONS: Final = frozenset(
    f"{before.value} –{input_.value}→"
    for before, input_ in [*LIFE_TABLE, *SESSION_TABLE]
    # No node registers anew while its token is good; the client's own state machine does (tests/evil/test_life.py).
    if (before, input_) != (Session.VALID, SessionInput.GRANTED)
)


@dataclass
class Sums:
    """What a batch of seeds came to; batches can be added up."""

    seeds: int = 0
    hours: float = 0.0
    node_hours: float = 0.0
    steps: int = 0
    cpu_s: float = 0.0
    took_s: float = 0.0
    failed: dict[int, list[str]] = field(default_factory=dict)
    """Violations by seed."""
    faults: Counter[tuple[str, str]] = field(default_factory=Counter)
    transitions: Counter[str] = field(default_factory=Counter)
    events: Counter[str] = field(default_factory=Counter)

    def add(self, outcome: Outcome, cpu_s: float) -> None:
        """Add one seed."""
        self.seeds += 1
        self.hours += outcome.hours
        self.node_hours += outcome.hours * outcome.nodes
        self.steps += outcome.steps
        self.cpu_s += cpu_s
        if outcome.violations:
            self.failed[outcome.seed] = outcome.violations
        self.faults += outcome.faults
        self.transitions += outcome.transitions
        self.events += outcome.events

    def join(self, other: Sums) -> None:
        """Add another batch."""
        for name in ("seeds", "hours", "node_hours", "steps", "cpu_s", "took_s"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.failed |= other.failed
        self.faults += other.faults
        self.transitions += other.transitions
        self.events += other.events

    @property
    def violations(self) -> int:
        """How many there were in all."""
        return sum(map(len, self.failed.values()))

    @property
    def taken(self) -> int:
        """How many of the transitions of both machines were taken at least once."""
        return len(TRANSITIONS & self.transitions.keys())

    def _missing(self) -> str:
        missing = sorted(TRANSITIONS - self.transitions.keys())
        return f" (never {', '.join(missing)})" if missing else ""

    def rarest(self) -> tuple[int, str, str]:
        """The fault that struck least often at a step that it can strike."""
        return min((self.faults[fault, step], fault, step) for fault, step in expected())

    def struck(self) -> str:
        """How often each fault struck at each step."""
        parts = []
        for fault, places in groupby(expected(), key=lambda pair: pair[0]):
            counts = [(step, self.faults[fault, step]) for _, step in places]
            text = " ".join(
                f"{step.replace(', ', '-').replace(' ', '-')}={count}" if step else str(count) for step, count in counts
            )
            parts.append(f"{fault} ({text})")
        return ", ".join(parts)

    def line(self) -> str:
        """All of it in one line."""
        speed = self.node_hours / self.cpu_s if self.cpu_s else 0.0
        rare, fault, step = self.rarest()
        return (
            f"{self.seeds} seeds, {self.hours:.0f} virtual hours, {self.node_hours:.0f} node-hours,"
            f" {self.violations} violations; {self.took_s:.0f} s, {speed:.1f} node-hours and"
            f" {self.hours / self.cpu_s if self.cpu_s else 0:.2f} hours a CPU second;"
            f" {self.taken} of {len(TRANSITIONS)} transitions taken{self._missing()};"
            f" every fault at every step at least {rare} times ({fault}{' at ' + step if step else ''});"
            f" struck: {self.struck()}"
        )

    def dump(self) -> str:
        """As JSON, for `load`."""
        content = {
            **{name: getattr(self, name) for name in ("seeds", "hours", "node_hours", "steps", "cpu_s", "took_s")},
            "failed": {str(seed): texts for seed, texts in self.failed.items()},
            "faults": [[fault, step, count] for (fault, step), count in sorted(self.faults.items())],
            "transitions": dict(sorted(self.transitions.items())),
            "events": dict(sorted(self.events.items())),
        }
        return json.dumps(content, indent=1, ensure_ascii=False)

    @classmethod
    def load(cls, text: str) -> Sums:
        """What `dump` wrote."""
        content: dict[str, Any] = json.loads(text)
        faults = Counter({(fault, step): count for fault, step, count in content.pop("faults")})
        failed = {int(seed): texts for seed, texts in content.pop("failed").items()}
        transitions, events = Counter(content.pop("transitions")), Counter(content.pop("events"))
        return cls(**content, failed=failed, faults=faults, transitions=transitions, events=events)


def run_seed(seed: int) -> tuple[Outcome, float]:
    """One seed, and the CPU seconds that it took."""
    started = time.process_time()
    outcome = run(draw_plan(seed))
    return outcome, time.process_time() - started


def run_batch(seeds: Iterable[int], jobs: int, tell: Callable[[Sums], None] = lambda _: None) -> Sums:
    """Run these seeds, ``jobs`` at a time; ``tell`` hears the sums after each."""
    sums, started = Sums(), time.monotonic()
    for outcome, cpu_s in _outcomes(seeds, jobs):
        sums.add(outcome, cpu_s)
        sums.took_s = time.monotonic() - started
        tell(sums)
    return sums


def _outcomes(seeds: Iterable[int], jobs: int) -> Iterator[tuple[Outcome, float]]:
    if jobs == 1:
        yield from map(run_seed, seeds)
        return
    with ProcessPoolExecutor(jobs) as pool:
        yield from pool.map(run_seed, seeds, chunksize=1)
