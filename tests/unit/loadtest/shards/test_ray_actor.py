"""What runs within an actor of Ray, without Ray."""

from __future__ import annotations

import json
import socket
import time

import pytest

from node.domain.errors import ShardsFailed
from node.loadtest.shards.messages import (
    Failed,
    Finished,
    Leave,
    Ready,
    Report,
    Settled,
    Start,
    Stop,
    encoded,
    report_in,
)
from node.loadtest.shards.ray_actor import ShardActor
from node.loadtest.shards.ray_pool import RayPool
from tests.unit.loadtest.shards.places import TOY

LOOP = "asyncio:new_event_loop"


def all_of(actor: ShardActor) -> list[Report]:
    """Everything up to its end."""
    heard: list[bytes | None] = []
    end = time.monotonic() + 10
    while None not in heard and time.monotonic() < end:
        heard += actor.hear(0.2)
    assert heard[-1] is None
    return [report_in(one) for one in heard if one is not None]


def test_orders_and_reports_pass_through_even_those_that_come_early() -> None:
    actor = ShardActor(f"{TOY}:program", LOOP)
    actor.tell(encoded(Start(at=time.time())))
    actor.begin(json.dumps({"index": 3}).encode())
    heard: list[bytes | None] = []
    while not any(one is not None and isinstance(report_in(one), Settled) for one in heard):
        heard += actor.hear(5.0)
    actor.tell(encoded(Leave()))
    (finished,) = all_of(actor)
    assert isinstance(finished, Finished)
    assert isinstance(report_in(heard[0] or b""), Ready)
    # To one that has ended nothing is told.
    actor.tell(encoded(Stop()))


def test_what_it_dies_of_is_told() -> None:
    for program in ("tests.no_such_module:program", f"{TOY}:program"):
        actor = ShardActor(program, LOOP)
        actor.begin(b"no task")
        (failed,) = all_of(actor)
        assert isinstance(failed, Failed)
        assert "Error" in failed.reason


def test_an_order_that_cannot_be_read_ends_it() -> None:
    actor = ShardActor(f"{TOY}:program", LOOP)
    actor.begin(json.dumps({"index": 0}).encode())
    actor.tell(b"nonsense")
    assert [type(one) for one in all_of(actor)] == [Ready]


async def no_cluster(address: str) -> str:
    with pytest.raises(ShardsFailed) as failed:
        async with RayPool(address, f"{TOY}:program", LOOP).open([b""]):
            pass
    return str(failed.value)


async def test_an_address_at_which_nobody_listens_is_told_of_before_ray_tries() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        assert "nobody answers" in await no_cluster(f"127.0.0.1:{port}")
    for address in ("ray://head:10001", "head", "head:port"):
        assert "cannot be used" in await no_cluster(address)
