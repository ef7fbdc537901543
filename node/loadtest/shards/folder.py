"""A folder that all shards of a run share, where nobody leads them: a volume of a Kubernetes Job, a file system.

Of each shard it holds, by its index: ``I.ready.json`` when it could begin, ``I.beat.json`` anew once a second,
``I.settled`` when it has no open job any more, and at last ``I.record.json`` or ``I.failed.json``. Files appear whole. A
shard writes its own alone, so that no lock is needed, and its index is taken once: a second attempt would register the
nodes of the first anew, and be counted with them.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from node.domain.errors import InputFault, InvalidInput, StorageUnavailable
from node.loadtest.driver.run import ShardRecord
from node.loadtest.shards.merging import Gathered, LostShard
from node.loadtest.shards.messages import MOST_BYTES
from node.loadtest.shards.record import from_document

VERSION: Final = 1

JOBS_AFTER: Final = "jobs_after"
"""In a shard's record: how many jobs the gateway had been given when it ended, or null. Whoever merges comes too late."""


D = TypeVar("D", bound=BaseModel)


class _Document(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True, allow_inf_nan=False)


class Facts(_Document):
    """What all shards of a run must have in common, and what whoever judges it has to know besides their records.

    ``jobs_before`` is how many jobs the gateway had been given before the run, as this shard saw it; None: not told.
    """

    v: int = VERSION
    version: str
    count: Annotated[int, Field(ge=1)]
    plan: dict[str, Any]
    gateway: str
    exclusive: bool
    are_nodes_new: bool
    jobs_before: int | None = None

    def differences(self, other: Facts) -> list[str]:
        """The names of what differs although it may not."""
        names = ("v", "version", "count", "plan", "gateway", "exclusive", "are_nodes_new")
        return [name for name in names if getattr(self, name) != getattr(other, name)]


class ReadyFile(_Document):
    """``I.ready.json``: ``nodes`` are the names of all that it may ever start, ``wall`` its clock in Unix seconds."""

    facts: Facts
    nodes: tuple[str, ...]
    wall: float


class BeatFile(_Document):
    """``I.beat.json``: another number each time, when that was, in Unix seconds, and how many nodes ran."""

    number: int
    wall: float
    running: int


@dataclass(frozen=True, slots=True)
class ShardFolder:
    """Reads and writes the files; every method blocks."""

    path: Path

    def claim(self, index: int, count: int) -> None:
        """Take an index, in a folder that is made where it is missing.

        Raises:
            InvalidInput: it was taken before.
            StorageUnavailable: the folder cannot be written to.
        """
        try:
            self.path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StorageUnavailable(f"{self.path}: {error.strerror}") from error
        try:
            os.close(os.open(self._file(index, "claimed"), os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644))
        except FileExistsError:
            problem = f"shard {index} of {count} was begun in {str(self.path)!r} before"
            remedy = "name an empty folder; a shard that was lost is not run again, 'loadtest merge' says so"
            raise InvalidInput([InputFault("--out", problem, remedy)]) from None
        except OSError as error:
            raise StorageUnavailable(f"{self.path}: {error.strerror}") from error

    def write(self, index: int, kind: str, content: bytes) -> None:
        """Put one of a shard's files in place, whole.

        Raises:
            StorageUnavailable: it cannot be written.
        """
        path = self._file(index, kind)
        unfinished = path.with_name(f".{path.name}.part")
        try:
            with unfinished.open("wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            unfinished.replace(path)
        except OSError as error:
            raise StorageUnavailable(f"{path}: {error.strerror}") from error

    def has(self, index: int, kind: str) -> bool:
        """Whether a file is there."""
        return self._file(index, kind).exists()

    def ready(self, index: int) -> ReadyFile | None:
        """What a shard said when it could begin; None when it has not, or not in words of this version."""
        return _read(self._file(index, "ready.json"), ReadyFile)

    def beat(self, index: int) -> BeatFile | None:
        """What it said last; None before its plan has begun."""
        return _read(self._file(index, "beat.json"), BeatFile)

    def failure(self, index: int) -> str:
        """Why it could not begin or go on; empty where it did not say so."""
        found = _json(self._file(index, "failed.json"))
        return str(found.get("reason", "")) if found else ""

    def is_over(self, index: int) -> bool:
        """Whether nothing more comes of it, by its own word."""
        return self.has(index, "record.json") or self.has(index, "failed.json")

    def gathered(self) -> tuple[Gathered, Facts]:
        """All that came back.

        Raises:
            InvalidInput: there is nothing of any shard, or the shards were not of one run.
        """
        facts = self._facts()
        records: dict[int, ShardRecord] = {}
        lost: list[LostShard] = []
        defects: list[str] = []
        counts: list[Any] = []
        for index in range(facts.count):
            document = _json(self._file(index, "record.json")) or {}
            try:
                records[index], found = from_document(document)
            except ValueError as error:
                lost.append(self._lost(index, str(error)))
                continue
            defects += found
            counts.append(document.get(JOBS_AFTER))
        told = [count for count in counts if isinstance(count, int)]
        jobs_after = max(told) if told and len(told) == len(counts) else None
        return Gathered(facts.count, records, lost, tuple(defects), jobs_after), facts

    def missing(self, count: int) -> list[int]:
        """The shards that are not ready yet."""
        return [index for index in range(count) if not self.has(index, "ready.json")]

    @property
    def count(self) -> int | None:
        """How many shards there are; None where none has said so yet."""
        return next((facts.count for facts in self._told_facts().values()), None)

    def _told_facts(self) -> dict[int, Facts]:
        names = (path.name.partition(".")[0] for path in self.path.glob("*.ready.json"))
        indexes = sorted(int(name) for name in names if name.isdecimal())
        return {index: ready.facts for index in indexes if (ready := self.ready(index)) is not None}

    def _facts(self) -> Facts:
        told = self._told_facts()
        if not told:
            problem, remedy = f"{str(self.path)!r} holds nothing of any shard", "name the folder of --out"
            raise InvalidInput([InputFault("DIR", problem, remedy)])
        first, facts = next(iter(told.items()))
        for index, other in told.items():
            if names := facts.differences(other):
                problem = f"shards {first} and {index} were not of one run: {', '.join(names)} differ"
                raise InvalidInput([InputFault("DIR", problem, "begin all shards with the same plan and options")])
        return next((one for one in told.values() if one.jobs_before is not None), facts)

    def _lost(self, index: int, unreadable: str) -> LostShard:
        ready, beat = self.ready(index), self.beat(index)
        why = "it was never ready to begin"
        if self.has(index, "record.json"):
            why = unreadable
        elif failure := self.failure(index):
            why = failure
        elif ready is not None:
            why = "it ended without a record"
        at = beat.wall if beat is not None else ready.wall if ready is not None else 0.0
        return LostShard(index, why, at, () if ready is None else ready.nodes, 0 if beat is None else beat.running)

    def _file(self, index: int, kind: str) -> Path:
        return self.path / f"{index}.{kind}"


def _read(path: Path, kind: type[D]) -> D | None:
    try:
        return kind.model_validate_json(path.read_bytes())
    except (OSError, ValidationError):
        return None


def _json(path: Path) -> Mapping[str, Any] | None:
    try:
        if path.stat().st_size > MOST_BYTES:
            return None
        found = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None
