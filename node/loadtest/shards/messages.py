"""What shards and those who lead them say to each other, as JSON.

A shard says `Ready`, `Standing` once a second, `Settled` and at last `Finished`. It is told when to begin, that it may
leave, and to stop.
"""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from node.loadtest.driver.run import Phase

MOST_BYTES: Final = 1 << 31
"""A message may have: a record holds every job of its shard, some 200 bytes each."""


class _Message(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True, allow_inf_nan=False)


class Ready(_Message):
    """It could begin. ``nodes`` are the names of all nodes that it may ever start, ``wall`` its clock in Unix seconds."""

    kind: Literal["ready"] = "ready"
    nodes: tuple[str, ...]
    wall: float


class ShardStanding(_Message):
    """How it stands: ``running`` nodes are in session, ``states`` are all by the state that a person reads.

    ``levels`` are those of `node.loadtest.driver.run.LoadRun.levels`, ``news`` what was measured since the last time:
    see `node.loadtest.shards.news`.
    """

    kind: Literal["standing"] = "standing"
    phase: Phase
    is_paused: bool
    elapsed_s: float
    running: int
    states: dict[str, int]
    levels: dict[str, float]
    news: dict[str, Any]


class Settled(_Message):
    """None of its jobs is open any more; its nodes may have those of other shards."""

    kind: Literal["settled"] = "settled"


class Finished(_Message):
    """All is over: ``record`` is what `node.loadtest.shards.record.to_document` made."""

    kind: Literal["finished"] = "finished"
    record: dict[str, Any]


class Failed(_Message):
    """It could not begin or go on; the reason is for people."""

    kind: Literal["failed"] = "failed"
    reason: str


class Start(_Message):
    """The plan's time 0, in Unix seconds."""

    kind: Literal["start"] = "start"
    at: float


class Leave(_Message):
    """No shard has open jobs any more: nodes may leave."""

    kind: Literal["leave"] = "leave"


class Stop(_Message):
    """End the load; ``at_once`` without settling."""

    kind: Literal["stop"] = "stop"
    at_once: bool = False


class Pause(_Message):
    """Hold the plan's time, or with ``on`` false let it go on."""

    kind: Literal["pause"] = "pause"
    on: bool = True


Report: TypeAlias = Annotated[Ready | ShardStanding | Settled | Finished | Failed, Field(discriminator="kind")]
"""What a shard says."""

Order: TypeAlias = Annotated[Start | Leave | Pause | Stop, Field(discriminator="kind")]
"""What it is told."""

_REPORTS: Final[TypeAdapter[Report]] = TypeAdapter(Report)
_ORDERS: Final[TypeAdapter[Order]] = TypeAdapter(Order)


def encoded(message: Report | Order) -> bytes:
    """The message as JSON."""
    return message.model_dump_json().encode()


def report_in(data: bytes) -> Report:
    """What a shard says.

    Raises:
        ValueError: it is nothing that a shard of this version says.
    """
    report: Report = _read(_REPORTS, data)
    return report


def order_in(data: bytes) -> Order:
    """What a shard is told.

    Raises:
        ValueError: it is no order that this version knows.
    """
    order: Order = _read(_ORDERS, data)
    return order


def _read(adapter: TypeAdapter[Any], data: bytes) -> Any:
    try:
        return adapter.validate_json(data)
    except ValidationError as error:
        raise ValueError(f"this is no message of a shard: {error.error_count()} errors") from error
