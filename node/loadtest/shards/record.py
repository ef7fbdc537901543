"""What one shard measured and saw, on its way to be merged."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from node.domain.ids import JobId, NodeId
from node.loadtest.audit.book import Book
from node.loadtest.driver.run import ShardRecord, Times
from node.loadtest.figures.figures import Figures
from node.loadtest.figures.health import Health

VERSION: Final = 1


def to_document(record: ShardRecord, defects: tuple[str, ...] = ()) -> dict[str, Any]:
    """The record for JSON; ``defects`` are those of the program that showed in the shard."""
    times = record.times
    return {
        "v": VERSION,
        "times": [times.begun_at, times.load_ended_at, times.settled_at],
        "figures": record.figures.to_document(),
        "health": record.health.to_document(),
        "book": record.book.to_document(),
        "jobs": list(record.jobs),
        "nodes": list(record.nodes),
        "is_settled": record.is_settled,
        "is_cut_short": record.is_cut_short,
        "left_out": list(record.left_out),
        "refused": record.refused,
        "paused_s": record.paused_s,
        "defects": list(defects),
    }


def from_document(document: Mapping[str, Any]) -> tuple[ShardRecord, tuple[str, ...]]:
    """The record and the defects that `to_document` was given.

    Raises:
        ValueError: it is of another version, or not that.
    """
    try:
        if document["v"] != VERSION:
            raise ValueError(f"a record of version {document['v']} is not known")
        begun_at, load_ended_at, settled_at = map(float, document["times"])
        record = ShardRecord(
            times=Times(begun_at, load_ended_at, settled_at),
            figures=Figures.from_document(document["figures"]),
            health=Health.from_document(document["health"]),
            book=Book.from_document(document["book"]),
            jobs=tuple(JobId(str(job)) for job in document["jobs"]),
            nodes=tuple(NodeId(str(node)) for node in document["nodes"]),
            is_settled=bool(document["is_settled"]),
            is_cut_short=bool(document["is_cut_short"]),
            left_out=tuple(map(str, document["left_out"])),
            refused=int(document["refused"]),
            paused_s=float(document["paused_s"]),
        )
        return record, tuple(map(str, document["defects"]))
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"this is no record of a shard: {type(error).__name__}") from error
