from __future__ import annotations

import pytest

from node.domain.ids import JobId, NodeId
from node.sandbox.leases import Leases

A, B = NodeId("a"), NodeId("b")


def job(number: int) -> JobId:
    return JobId(f"job-{number}")


def test_a_lease_has_a_holder_until_it_ends() -> None:
    leases = Leases()
    leases.grant(job(1), A, 10)
    assert leases.holder(job(1)) == A
    assert leases.end(job(1)) == A
    assert leases.end(job(1)) is None
    assert leases.holder(job(1)) is None
    assert len(leases) == 0
    assert leases.expired(100) == []


def test_a_leased_job_is_not_leased_again() -> None:
    leases = Leases()
    leases.grant(job(1), A, 10)
    with pytest.raises(RuntimeError):
        leases.grant(job(1), B, 10)


def test_giving_up_ends_a_nodes_leases_in_order_and_no_others() -> None:
    leases = Leases()
    for number in (3, 1, 2):
        leases.grant(job(number), A, 10)
    leases.grant(job(4), B, 10)
    assert leases.give_up(A) == [job(3), job(1), job(2)]
    assert leases.give_up(A) == []
    assert leases.holder(job(4)) == B


def test_leases_expire_in_the_order_of_their_deadlines() -> None:
    leases = Leases()
    leases.grant(job(1), A, 30)
    leases.grant(job(2), A, 10)
    leases.grant(job(3), B, 20)
    assert not leases.due(9.9)
    assert leases.due(10)
    assert leases.expired(20) == [(job(2), A), (job(3), B)]
    assert leases.holder(job(1)) == A


def test_an_old_deadline_does_not_end_a_new_lease() -> None:
    leases = Leases()
    leases.grant(job(1), A, 10)
    leases.end(job(1))
    leases.grant(job(1), B, 50)
    assert leases.expired(20) == []
    assert leases.holder(job(1)) == B


def test_deadlines_of_ended_leases_do_not_pile_up() -> None:
    leases = Leases()
    leases.grant(job(0), A, 1e9)
    for number in range(1, 1000):
        leases.grant(job(number), A, 1e6 + number)
        leases.end(job(number))
    assert len(leases._deadlines) < 200
    assert leases.expired(2e9) == [(job(0), A)]
