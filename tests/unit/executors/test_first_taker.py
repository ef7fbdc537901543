from __future__ import annotations

import pytest

from node.domain.errors import Declined, EngineFailed, EngineOverloaded, ExecutorError
from node.executors.first_taker import FirstTaker
from tests.unit.executors.doubles import Scripted, chat


async def test_the_first_that_takes_the_job_runs_it() -> None:
    declining, taking, unasked = Scripted("a", Declined("not mine")), Scripted("b"), Scripted("c")
    listed = FirstTaker([declining, taking, unasked])
    assert (await listed.execute(chat("hello"))).executor == "b"
    assert (declining.started, taking.started, unasked.started) == (["hello"], ["hello"], [])
    assert listed.name == "a|b|c"


async def test_every_reason_is_told_when_none_takes_it() -> None:
    listed = FirstTaker([Scripted(error=Declined("nothing stored")), Scripted(error=Declined("engine absent"))])
    with pytest.raises(Declined, match=r"^nothing stored; engine absent$"):
        await listed.execute(chat("hello"))
    with pytest.raises(Declined, match="no executor is configured"):
        await FirstTaker([]).execute(chat("hello"))


@pytest.mark.parametrize("error", [EngineFailed("broke off"), EngineOverloaded("full")])
async def test_a_failure_is_not_passed_on(error: ExecutorError) -> None:
    next_one = Scripted()
    with pytest.raises(type(error)):
        await FirstTaker([Scripted(error=error), next_one]).execute(chat("hello"))
    assert next_one.started == []


async def test_all_are_closed_though_one_fails_to() -> None:
    listed = [Scripted(close_error=OSError("stuck")), Scripted(), Scripted()]
    with pytest.raises(OSError, match="stuck"):
        await FirstTaker(listed).aclose()
    assert [executor.closed for executor in listed] == [1, 1, 1]


async def test_those_who_ask_are_told_of_each_what_they_may_read() -> None:
    absent = Declined("nothing answers at http://10.0.0.7", told="it is not there")
    with pytest.raises(Declined) as raised:
        await FirstTaker([Scripted(error=absent), Scripted(error=Declined("no model"))]).execute(chat("hello"))
    assert str(raised.value) == "nothing answers at http://10.0.0.7; no model"
    assert raised.value.told == "it is not there; no model"
