"""What every `node.ports.outbox.Outbox` does."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from node.domain.errors import StorageFull
from node.domain.ids import NodeId
from node.outbox.codec import encode
from node.ports.outbox import DeadLetter, Keeping, Outbox
from tests.contract.outbox.keeper import START, Keeper, finished, key, on_each_loop


def jobs(outbox: Outbox) -> list[str]:
    return [waiting.key.job for waiting in outbox.pending()]


def weighing(keeper: Keeper, size: int) -> str:
    """A text with which a result counts for about so many bytes."""
    return "x" * (size - (512 if keeper.kind == "memory" else len(encode(finished("00", text="")))))


def letters(outbox: Outbox) -> list[str]:
    return [letter.key.job for letter in outbox.dead()]


@on_each_loop
async def test_a_result_that_was_put_waits_whole(keeper: Keeper) -> None:
    outbox = await keeper.open()
    results = [finished("a", text="Straße \ud800 \x00 🦙 " * 50), finished("b", node="n2", error="no such model")]
    for result in results:
        await outbox.put(result)
    outbox = await keeper.step(outbox)
    assert list(outbox.pending()) == results
    assert [dict(result.receipt)["api_key"].reveal() for result in outbox.pending()] == ["key of a", "key of b"]
    assert list(outbox.dead()) == []
    await outbox.aclose()


@on_each_loop
async def test_an_empty_outbox_knows_nothing(keeper: Keeper) -> None:
    outbox = await keeper.open()
    assert outbox.accepting
    assert outbox.keeping(key("a")) is Keeping.UNKNOWN
    assert outbox.count() == outbox.count(NodeId("n1")) == 0
    assert not await outbox.revive(key("a"))
    assert not await outbox.drop(key("a"))
    await outbox.bury(key("a"), "never there")
    assert await outbox.sweep(START + 1e9) == []
    outbox = await keeper.step(outbox)
    assert outbox.keeping(key("a")) is Keeping.UNKNOWN
    await outbox.aclose()


@on_each_loop
async def test_results_wait_in_the_order_they_came_and_are_counted_by_node(keeper: Keeper) -> None:
    outbox = await keeper.open()
    for number in range(12):
        await outbox.put(finished(f"{number}", node=f"n{number % 3}"))
    outbox = await keeper.step(outbox)
    assert jobs(outbox) == [f"{number}" for number in range(12)]
    assert outbox.count() == 12
    assert [outbox.count(NodeId(f"n{number}")) for number in range(4)] == [4, 4, 4, 0]
    await outbox.accept(key("3", "n0"))
    await outbox.bury(key("6", "n0"), "refused")
    await outbox.drop(key("9", "n0"))
    outbox = await keeper.step(outbox)
    assert outbox.count() == 9
    assert outbox.count(NodeId("n0")) == 1
    await outbox.accept(key("0", "n0"))
    assert outbox.count(NodeId("n0")) == 0
    await outbox.aclose()


@on_each_loop
async def test_keys_are_told_apart_by_source_node_and_job(keeper: Keeper) -> None:
    outbox = await keeper.open()
    await outbox.put(finished("a"))
    assert outbox.keeping(key("a")) is Keeping.PENDING
    assert outbox.keeping(key("a", "n2")) is Keeping.UNKNOWN
    assert outbox.keeping(key("b")) is Keeping.UNKNOWN
    assert outbox.keeping(key("a")._replace(source="http://other")) is Keeping.UNKNOWN
    await outbox.put(finished("a", node="n2"))
    assert outbox.count() == 2
    await outbox.aclose()


@on_each_loop
async def test_what_waits_may_change_while_it_is_looked_at(keeper: Keeper) -> None:
    outbox = await keeper.open()
    for job in "abc":
        await outbox.put(finished(job))
    for waiting in outbox.pending():
        await outbox.bury(waiting.key, "refused")
    for letter in outbox.dead():
        await outbox.drop(letter.key)
    assert jobs(outbox) == letters(outbox) == []
    await outbox.aclose()


@on_each_loop
async def test_an_accepted_result_is_gone_and_its_key_is_known_for_a_while(keeper: Keeper) -> None:
    outbox = await keeper.open(remember_s=300)
    await outbox.put(finished("a"))
    await outbox.accept(key("a"))
    outbox = await keeper.step(outbox)
    assert jobs(outbox) == []
    assert outbox.count(NodeId("n1")) == 0
    assert outbox.keeping(key("a")) is Keeping.ACCEPTED
    keeper.clock.now += 299
    outbox = await keeper.step(outbox)
    assert outbox.keeping(key("a")) is Keeping.ACCEPTED
    keeper.clock.now += 2
    assert outbox.keeping(key("a")) is Keeping.UNKNOWN
    outbox = await keeper.step(outbox)
    assert outbox.keeping(key("a")) is Keeping.UNKNOWN
    await outbox.put(finished("a", text="run again"))
    assert outbox.keeping(key("a")) is Keeping.PENDING
    await outbox.aclose()


@on_each_loop
async def test_accepting_twice_or_what_was_never_there_is_no_fault(keeper: Keeper) -> None:
    outbox = await keeper.open()
    await outbox.put(finished("a"))
    await outbox.accept(key("a"))
    keeper.clock.now += 200
    await outbox.accept(key("a"))
    await outbox.accept(key("unheard of"))
    keeper.clock.now += 200
    outbox = await keeper.step(outbox)
    assert outbox.keeping(key("a")) is Keeping.ACCEPTED
    assert outbox.keeping(key("unheard of")) is Keeping.ACCEPTED
    await outbox.aclose()


@pytest.mark.parametrize("state", ["waiting", "dead", "accepted"])
@on_each_loop
async def test_a_key_that_is_kept_stays_as_it_is(keeper: Keeper, state: str) -> None:
    outbox = await keeper.open()
    await outbox.put(finished("a", text="first"))
    if state == "dead":
        await outbox.bury(key("a"), "refused")
    if state == "accepted":
        await outbox.accept(key("a"))
    outbox = await keeper.step(outbox)
    before = outbox.keeping(key("a"))
    await outbox.put(finished("a", text="second"))
    outbox = await keeper.step(outbox)
    assert outbox.keeping(key("a")) is before
    assert list(outbox.pending()) == ([finished("a", text="first")] if state == "waiting" else [])
    await outbox.aclose()


@on_each_loop
async def test_a_buried_result_is_a_dead_letter_with_its_reason(keeper: Keeper) -> None:
    outbox = await keeper.open()
    for job in "ab":
        await outbox.put(finished(job))
        keeper.clock.now += 10
    await outbox.bury(key("b"), "HTTP 404: no such job")
    keeper.clock.now += 10
    await outbox.bury(key("a"), "HTTP 410: gone")
    await outbox.bury(key("a"), "said again")
    outbox = await keeper.step(outbox)
    assert list(outbox.dead()) == [
        DeadLetter(key("b"), "HTTP 404: no such job", START + 20),
        DeadLetter(key("a"), "HTTP 410: gone", START + 30),
    ]
    assert jobs(outbox) == []
    assert outbox.count() == 0
    assert outbox.keeping(key("a")) is Keeping.DEAD
    await outbox.aclose()


@on_each_loop
async def test_a_dead_letter_that_the_source_has_after_all_is_accepted(keeper: Keeper) -> None:
    outbox = await keeper.open()
    await outbox.put(finished("a"))
    await outbox.bury(key("a"), "refused")
    await outbox.accept(key("a"))
    outbox = await keeper.step(outbox)
    assert letters(outbox) == []
    assert outbox.keeping(key("a")) is Keeping.ACCEPTED
    await outbox.aclose()


@on_each_loop
async def test_a_revived_letter_waits_again_as_the_youngest(keeper: Keeper) -> None:
    outbox = await keeper.open(expire_s=100)
    for job in "abc":
        await outbox.put(finished(job))
    await outbox.bury(key("a"), "refused")
    await outbox.put(finished("d"))
    keeper.clock.now += 90
    outbox = await keeper.step(outbox)
    assert await outbox.revive(key("a"))
    assert not await outbox.revive(key("a"))
    assert not await outbox.revive(key("b"))
    outbox = await keeper.step(outbox)
    assert list(outbox.pending()) == [finished("b"), finished("c"), finished("d"), finished("a")]
    assert letters(outbox) == []
    assert outbox.count(NodeId("n1")) == 4
    assert await outbox.sweep(START + 101) == [key("b"), key("c"), key("d")]
    await outbox.aclose()


@pytest.mark.parametrize("state", ["waiting", "dead"])
@on_each_loop
async def test_what_is_dropped_is_gone(keeper: Keeper, state: str) -> None:
    outbox = await keeper.open()
    await outbox.put(finished("a"))
    if state == "dead":
        await outbox.bury(key("a"), "refused")
    assert await outbox.drop(key("a"))
    assert not await outbox.drop(key("a"))
    outbox = await keeper.step(outbox)
    assert outbox.keeping(key("a")) is Keeping.UNKNOWN
    assert jobs(outbox) == letters(outbox) == []
    assert not await outbox.revive(key("a"))
    await outbox.aclose()


@on_each_loop
async def test_a_sweep_buries_what_is_too_old_and_removes_what_is_older_still(keeper: Keeper) -> None:
    outbox = await keeper.open(expire_s=1000, remember_s=100)
    await outbox.put(finished("old"))
    await outbox.put(finished("taken"))
    await outbox.accept(key("taken"))
    keeper.clock.now += 600
    await outbox.put(finished("young"))
    outbox = await keeper.step(outbox)
    assert await outbox.sweep(START + 999) == []
    assert await outbox.sweep(START + 1000) == [key("old")]
    outbox = await keeper.step(outbox)
    assert jobs(outbox) == ["young"]
    assert list(outbox.dead()) == [DeadLetter(key("old"), "not taken within 1000 s", START + 1000)]
    assert await outbox.sweep(START + 1600) == [key("young")]
    assert letters(outbox) == ["old", "young"]
    assert await outbox.sweep(START + 2000) == []
    outbox = await keeper.step(outbox)
    assert letters(outbox) == ["young"]
    assert outbox.keeping(key("old")) is Keeping.UNKNOWN
    await outbox.aclose()


@on_each_loop
async def test_a_sweep_takes_all_however_many(keeper: Keeper) -> None:
    outbox = await keeper.open(expire_s=10, remember_s=10)
    await asyncio.gather(*(outbox.put(finished(f"{number}")) for number in range(1200)))
    await asyncio.gather(*(outbox.accept(key(f"taken {number}")) for number in range(1200)))
    outbox = await keeper.step(outbox)
    swept = await outbox.sweep(START + 20)
    assert swept == [key(f"{number}") for number in range(1200)]
    assert outbox.count() == 0
    assert len(letters(outbox)) == 1200
    assert outbox.keeping(key("taken 7")) is Keeping.UNKNOWN
    await outbox.sweep(START + 40)
    assert letters(outbox) == []
    await outbox.aclose()


@on_each_loop
async def test_a_bound_on_results_holds_and_lifts(keeper: Keeper) -> None:
    outbox = await keeper.open(max_results=3)
    for job in "ab":
        await outbox.put(finished(job))
    assert outbox.accepting
    await outbox.put(finished("c"))
    outbox = await keeper.step(outbox)
    assert not outbox.accepting
    with pytest.raises(StorageFull, match="3 results"):
        await outbox.put(finished("d"))
    assert outbox.keeping(key("d")) is Keeping.UNKNOWN
    await outbox.put(finished("a"))
    await outbox.accept(key("a"))
    assert outbox.accepting
    await outbox.put(finished("d"))
    outbox = await keeper.step(outbox)
    assert jobs(outbox) == ["b", "c", "d"]
    await outbox.aclose()


@on_each_loop
async def test_a_bound_on_bytes_holds_and_lifts(keeper: Keeper) -> None:
    outbox = await keeper.open(max_bytes=25_000)
    for job in "ab":
        await outbox.put(finished(job, text="x" * 10_000))
    outbox = await keeper.step(outbox)
    assert outbox.accepting
    with pytest.raises(StorageFull, match="25000 bytes"):
        await outbox.put(finished("c", text="x" * 10_000))
    await outbox.put(finished("small"))
    await outbox.bury(key("a"), "refused")
    outbox = await keeper.step(outbox)
    await outbox.put(finished("c", text="x" * 10_000))
    assert jobs(outbox) == ["b", "small", "c"]
    await outbox.aclose()


@pytest.mark.parametrize("bound", [{"max_results": 10}, {"max_bytes": 10_500}])
@on_each_loop
async def test_bounds_hold_for_puts_at_once(keeper: Keeper, bound: dict[str, Any]) -> None:
    outbox = await keeper.open(**bound)
    puts = [outbox.put(finished(f"{number}", text=weighing(keeper, 1000))) for number in range(30)]
    outcomes = await asyncio.gather(*puts, return_exceptions=True)
    assert outcomes.count(None) == 10
    assert sum(isinstance(outcome, StorageFull) for outcome in outcomes) == 20
    outbox = await keeper.step(outbox)
    assert outbox.count() == 10
    await outbox.aclose()


@pytest.mark.parametrize("bound", [{"max_results": 5}, {"max_bytes": 5500}])
@on_each_loop
async def test_a_sweep_holds_dead_letters_to_the_bounds_and_removes_the_oldest(
    keeper: Keeper, bound: dict[str, Any]
) -> None:
    outbox = await keeper.open(**bound)
    for number in range(12):
        await outbox.put(finished(f"{number}", text=weighing(keeper, 1000)))
        await outbox.bury(key(f"{number}"), "refused")
    outbox = await keeper.step(outbox)
    assert await outbox.sweep(START + 1) == []
    outbox = await keeper.step(outbox)
    assert letters(outbox) == [f"{number}" for number in range(7, 12)]
    assert outbox.accepting
    await outbox.aclose()


@on_each_loop
async def test_many_calls_at_once_leave_what_they_would_one_by_one(keeper: Keeper) -> None:
    outbox = await keeper.open()

    async def life(number: int) -> None:
        job = f"{number}"
        await outbox.put(finished(job, node=f"n{number % 7}"))
        mine = key(job, f"n{number % 7}")
        if number % 5 == 0:
            await outbox.accept(mine)
        elif number % 5 == 1:
            await outbox.bury(mine, "refused")
        elif number % 5 == 2:
            await outbox.bury(mine, "refused")
            await outbox.revive(mine)
        elif number % 5 == 3:
            await outbox.drop(mine)

    await asyncio.gather(*(life(number) for number in range(200)))
    outbox = await keeper.step(outbox)
    assert sorted(int(job) % 5 for job in jobs(outbox)) == [2] * 40 + [4] * 40
    assert sorted(int(job) % 5 for job in letters(outbox)) == [1] * 40
    assert outbox.count() == sum(outbox.count(NodeId(f"n{number}")) for number in range(7)) == 80
    assert outbox.keeping(key("0", "n0")) is Keeping.ACCEPTED
    await outbox.aclose()


@on_each_loop
async def test_the_same_result_put_twice_at_once_is_kept_once(keeper: Keeper) -> None:
    outbox = await keeper.open()
    await asyncio.gather(*(outbox.put(finished("a", text=f"{number}")) for number in range(5)))
    outbox = await keeper.step(outbox)
    assert list(outbox.pending()) == [finished("a", text="0")]
    await outbox.aclose()


@on_each_loop
async def test_closing_twice_is_no_fault(keeper: Keeper) -> None:
    outbox = await keeper.open()
    await outbox.put(finished("a"))
    await outbox.aclose()
    await outbox.aclose()


@on_each_loop
async def test_what_is_put_without_a_wait_is_kept_or_was_never_put(keeper: Keeper) -> None:
    outbox = await keeper.open(max_results=2)
    kept = [job for job in ("a", "a", "b", "c") if outbox.put_now(finished(job))]
    assert kept == (["a", "b"] if keeper.kind == "memory" else [])
    outbox = await keeper.step(outbox)
    assert jobs(outbox) == kept
    for job in ("a", "b"):
        await outbox.put(finished(job))
    await outbox.accept(key("a"))
    assert not outbox.put_now(finished("a"))
    outbox = await keeper.step(outbox)
    assert jobs(outbox) == ["b"]
    await outbox.aclose()
