"""What the books of an outbox cost."""

from __future__ import annotations

from node.domain.ids import JobId, JobKey, NodeId, SourceId
from node.domain.policies import OutboxPolicy
from node.outbox.shelf import Shelf
from node.ports.outbox import Keeping


def key(number: int) -> JobKey:
    return JobKey(SourceId("http://gateway"), NodeId("n"), JobId(f"job-{number}"))


def test_accepted_keys_are_bounded_and_the_latest_are_kept() -> None:
    shelf = Shelf(OutboxPolicy(remember_s=1e9), most_remembered=160)
    for number in range(1000):
        shelf.accept(key(number), now=float(number))
        assert len(shelf._accepted) <= 160
    known = [number for number in range(1000) if shelf.keeping(key(number), 1000.0) is Keeping.ACCEPTED]
    assert known[-149:] == list(range(851, 1000))


def test_a_key_that_is_accepted_again_takes_no_more_room() -> None:
    shelf = Shelf(OutboxPolicy(remember_s=1e9), most_remembered=10)
    for now in range(100):
        for number in range(10):
            shelf.accept(key(number), now=float(now))
    assert len(shelf._accepted) == 10
