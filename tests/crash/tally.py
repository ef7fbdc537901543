"""What a run comes to: counts that can be added up, and what was found wrong."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from tests.crash.audit import Breach, Kind

SCHEMA: Final = 1


@dataclass(slots=True)
class Tally:
    """Counts by name, and breaches; ``wall_s`` is the run's length in seconds."""

    command: str
    counts: Counter[str] = field(default_factory=Counter)
    breaches: list[str] = field(default_factory=list)
    wall_s: float = 0.0
    seeds: list[str] = field(default_factory=list)

    def found(self, place: str, breaches: Iterable[Breach]) -> int:
        """Count what was found wrong; how much it is."""
        number = 0
        for kind, text in breaches:
            self.counts[kind.value] += 1
            self.breaches.append(f"{kind.value}: {place}: {text}")
            number += 1
        return number

    @property
    def is_clean(self) -> bool:
        """Whether nothing is wrong."""
        return not self.breaches

    def add(self, other: Tally) -> None:
        """Add another run of the same command; lengths are added too."""
        self.counts.update(other.counts)
        self.breaches += other.breaches
        self.wall_s += other.wall_s
        self.seeds += other.seeds

    def line(self, names: Sequence[str]) -> str:
        """The counts of these names, and those of all kinds of breaches, as one line."""
        shown = dict.fromkeys([*names, *(kind.value for kind in Kind if self.counts[kind.value])])
        return f"{self.command}: " + ", ".join(f"{name} {self.counts[name]}" for name in shown)

    def write(self, path: Path) -> None:
        """Write a report."""
        content = {
            "schema": SCHEMA,
            "command": self.command,
            "seeds": self.seeds,
            "wall_s": round(self.wall_s, 1),
            "counts": dict(sorted(self.counts.items())),
            "breaches": self.breaches,
        }
        path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def read_tally(path: Path) -> Tally:
    """A report that was written.

    Raises:
        ValueError: it is none.
    """
    content = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(content, dict) or content.get("schema") != SCHEMA:
        raise ValueError(f"{path}: not a report of this harness")
    return Tally(
        content["command"], Counter(content["counts"]), content["breaches"], content["wall_s"], content["seeds"]
    )
