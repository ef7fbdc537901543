from __future__ import annotations

import asyncio
import random

import pytest

from node.domain.circuit import Circuit
from node.domain.errors import Declined, EngineFailed, EngineOverloaded, EngineRefused, ExecutorError
from node.domain.events import BreakerChanged
from node.executors.breaker import Breaker
from node.executors.model_circuit import BreakerPolicy
from tests.support.events import RecordingSink
from tests.support.virtual_time import VirtualClock, in_virtual_time
from tests.unit.executors.doubles import chat
from tests.unit.executors.engine_doubles import FOREVER, Engine

BROKEN = [EngineFailed("broke off")]
FINE = ["fine"]


class Bench:
    """An engine behind a breaker; its script can be changed while it runs."""

    def __init__(self, policy: BreakerPolicy | None = None) -> None:
        self.engine = Engine(name="ollama")
        self.events = RecordingSink()
        self.breaker = Breaker(self.engine, policy or BreakerPolicy(), VirtualClock(), self.events)

    def does(self, *steps: str | float | BaseException) -> None:
        self.engine.script = [steps]

    async def call(self, model: str = "m") -> str:
        """What came of a call: "fine", or the error's type."""
        try:
            await self.breaker.execute(chat("x", model))
        except ExecutorError as error:
            return type(error).__name__
        return "fine"

    def start(self, model: str = "m") -> asyncio.Task[str]:
        return asyncio.ensure_future(self.call(model))

    async def trip(self, model: str = "m") -> None:
        self.does(*BROKEN)
        for _ in range(5):
            assert await self.call(model) == "EngineFailed"
        self.engine.asked.clear()

    @property
    def told(self) -> list[str]:
        return [change.state for change in self.events.of(BreakerChanged)]

    @property
    def state(self) -> Circuit:
        return self.breaker.states()["m"]


@in_virtual_time
async def test_five_failures_in_a_row_open_it() -> None:
    bench = Bench()
    await bench.trip()
    assert bench.state is Circuit.OPEN
    assert bench.events.events == [BreakerChanged("ollama", "m", "open", "broke off")]
    await asyncio.sleep(18)
    with pytest.raises(Declined, match=r"broke off\); it is tried again in 42 s"):
        await bench.breaker.execute(chat("x", "m"))
    assert not bench.engine.asked


@in_virtual_time
async def test_an_answer_in_between_begins_the_count_anew() -> None:
    bench = Bench()
    for _ in range(3):
        bench.does(*BROKEN)
        for _ in range(4):
            await bench.call()
        bench.does(*FINE)
        assert await bench.call() == "fine"
    assert bench.told == []


@pytest.mark.parametrize(
    "neutral", [Declined("no model"), EngineOverloaded("full"), EngineRefused("bad request"), KeyError("defect")]
)
@in_virtual_time
async def test_what_tells_nothing_of_the_engine_counts_for_nothing(neutral: Exception) -> None:
    bench = Bench()
    for number in range(20):
        bench.does(neutral)
        with pytest.raises(type(neutral)):
            await bench.breaker.execute(chat("x", "m"))
        if number % 5 == 0:
            bench.does(*BROKEN)
            await bench.call()
        assert bench.state is Circuit.CLOSED
    bench.does(*BROKEN)
    await bench.call()
    assert bench.told == ["open"], "failures stay in a row around what does not count"


@in_virtual_time
async def test_a_cancelled_call_counts_for_nothing() -> None:
    bench = Bench()
    bench.does(FOREVER)
    for _ in range(10):
        call = bench.start()
        await asyncio.sleep(1)
        call.cancel()
        await asyncio.wait([call])
    assert bench.state is Circuit.CLOSED


@pytest.mark.parametrize(("steps", "state"), [([FOREVER], Circuit.OPEN), (["It", FOREVER], Circuit.CLOSED)])
@in_virtual_time
async def test_a_call_that_is_cancelled_after_a_long_silence_is_a_failure(
    steps: list[str | float], state: Circuit
) -> None:
    bench = Bench()
    bench.does(*steps)
    for _ in range(5):
        call = bench.start()
        await asyncio.sleep(30)
        call.cancel()
        await asyncio.wait([call])
    assert bench.state is state
    if state is Circuit.OPEN:
        assert bench.events.events == [
            BreakerChanged("ollama", "m", "open", "ollama had said nothing for 30 s when its call was ended")
        ]


@in_virtual_time
async def test_what_opened_it_is_told_to_those_who_ask_as_they_may_read_it() -> None:
    bench = Bench()
    bench.does(EngineFailed("what answers at 10.0.0.1 is wrong", told="it is wrong"))
    for _ in range(5):
        await bench.call()
    with pytest.raises(Declined, match=r"\(it is wrong\)"):
        await bench.breaker.execute(chat("x", "m"))
    assert bench.events.of(BreakerChanged)[0].reason == "what answers at 10.0.0.1 is wrong"


@in_virtual_time
async def test_models_have_circuits_of_their_own() -> None:
    bench = Bench()
    await bench.trip()
    bench.does(*FINE)
    assert await bench.call("other") == "fine"
    assert bench.breaker.states() == {"m": Circuit.OPEN, "other": Circuit.CLOSED}


@in_virtual_time
async def test_two_names_of_a_model_have_one_circuit() -> None:
    bench = Bench()
    await bench.trip("m")
    assert await bench.call("m:latest") == "Declined"
    assert await bench.call("m:7b") != "Declined"
    await asyncio.sleep(61)
    bench.does(*FINE)
    assert await bench.call("m:latest") == "fine"
    assert bench.breaker.states()["m"] is Circuit.CLOSED
    told = [(change.model, change.state) for change in bench.events.of(BreakerChanged)]
    assert told == [("m", "open"), ("m", "half-open"), ("m", "closed")]


@in_virtual_time
async def test_after_its_time_one_job_tries_and_an_answer_closes_it() -> None:
    bench = Bench()
    await bench.trip()
    await asyncio.sleep(59)
    assert await bench.call() == "Declined"
    await asyncio.sleep(2)
    assert (bench.state, bench.told) == (Circuit.HALF_OPEN, ["open", "half-open"])
    bench.does(10.0, "fine")
    probe = bench.start()
    await asyncio.sleep(1)
    with pytest.raises(Declined, match="one job is trying it again now"):
        await bench.breaker.execute(chat("x", "m"))
    assert await probe == "fine"
    assert (bench.state, bench.told[-1]) == (Circuit.CLOSED, "closed")
    assert await bench.call() == "fine"
    assert len(bench.engine.asked) == 2


@in_virtual_time
async def test_a_failed_try_opens_it_for_as_long_again() -> None:
    bench = Bench()
    await bench.trip()
    await asyncio.sleep(61)
    assert await bench.call() == "EngineFailed"
    assert bench.state is Circuit.OPEN
    await asyncio.sleep(59)
    assert await bench.call() == "Declined"
    await asyncio.sleep(2)
    bench.does(*FINE)
    assert await bench.call() == "fine"
    assert bench.told == ["open", "half-open", "open", "half-open", "closed"]
    await bench.trip()
    assert bench.told[-1] == "open", "and it counts from nought again"


@pytest.mark.parametrize("steps", [[Declined("x")], [EngineOverloaded("x")], [EngineRefused("x")], [KeyError("x")]])
@in_virtual_time
async def test_a_try_that_tells_nothing_makes_room_for_the_next(steps: list[Exception]) -> None:
    bench = Bench()
    await bench.trip()
    await asyncio.sleep(61)
    bench.does(*steps)
    with pytest.raises(type(steps[0])):
        await bench.breaker.execute(chat("x", "m"))
    assert bench.state is Circuit.HALF_OPEN
    bench.does(*FINE)
    assert await bench.call() == "fine"


@in_virtual_time
async def test_a_cancelled_try_makes_room_for_the_next() -> None:
    bench = Bench()
    await bench.trip()
    await asyncio.sleep(61)
    bench.does(FOREVER)
    probe = bench.start()
    await asyncio.sleep(1)
    probe.cancel()
    await asyncio.wait([probe])
    assert bench.state is Circuit.HALF_OPEN
    bench.does(*FINE)
    assert await bench.call() == "fine"
    assert bench.state is Circuit.CLOSED


@in_virtual_time
async def test_late_failures_of_calls_from_before_tell_nothing_new() -> None:
    bench = Bench()
    bench.does(30.0, *BROKEN)
    late = [bench.start() for _ in range(4)]
    later = []
    await asyncio.sleep(1)
    bench.does(100.0, *BROKEN)
    later += [bench.start() for _ in range(6)]
    await asyncio.sleep(1)
    await bench.trip()
    assert bench.told == ["open"]
    await asyncio.gather(*late)
    assert bench.told == ["open"]
    await asyncio.sleep(40)
    assert bench.state is Circuit.HALF_OPEN
    bench.does(*FINE)
    assert await bench.call() == "fine"
    await asyncio.gather(*later)
    assert bench.state is Circuit.CLOSED


@in_virtual_time
async def test_a_late_failure_does_not_stand_for_the_try() -> None:
    bench = Bench()
    bench.does(70.0, *BROKEN)
    late = bench.start()
    await asyncio.sleep(1)
    await bench.trip()
    await asyncio.sleep(61)
    bench.does(20.0, "fine")
    probe = bench.start()
    assert await late == "EngineFailed"
    assert bench.state is Circuit.HALF_OPEN
    assert await probe == "fine"
    assert bench.state is Circuit.CLOSED


@in_virtual_time
async def test_a_late_answer_closes_it() -> None:
    bench = Bench()
    defects: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: defects.append(context))
    bench.does(30.0, "fine")
    late = bench.start()
    await asyncio.sleep(1)
    await bench.trip()
    assert await late == "fine"
    assert bench.told == ["open", "closed"]
    await asyncio.sleep(100)
    assert (bench.told, defects) == (["open", "closed"], []), "its timer is gone"


@in_virtual_time
async def test_the_end_of_another_call_does_not_let_a_second_one_try() -> None:
    bench = Bench()
    bench.does(70.0, Declined("late"))
    late = bench.start()
    await asyncio.sleep(1)
    await bench.trip()
    await asyncio.sleep(61)
    bench.does(100.0, "fine")
    probe = bench.start()
    assert await late == "Declined"
    assert await bench.call() == "Declined"
    assert len(bench.engine.asked) == 1
    assert await probe == "fine"


@in_virtual_time
async def test_a_try_from_an_earlier_time_does_not_stand_in_the_way() -> None:
    bench = Bench()
    bench.does(70.0, "fine")
    late = bench.start()
    await asyncio.sleep(1)
    await bench.trip()
    await asyncio.sleep(61)
    bench.does(500.0, *BROKEN)
    old = bench.start()
    await late
    await bench.trip()
    await asyncio.sleep(61)
    assert bench.state is Circuit.HALF_OPEN
    bench.does(*FINE)
    assert await bench.call() == "fine"
    assert await old == "EngineFailed"
    assert bench.state is Circuit.CLOSED


@in_virtual_time
async def test_models_remembered_are_bounded_and_closed_ones_go_first() -> None:
    bench = Bench(BreakerPolicy(max_models=3))
    await bench.trip("bad")
    bench.does(*FINE)
    for number in range(50):
        await bench.call(f"good{number}")
    assert list(bench.breaker.states()) == ["bad", "good48", "good49"]
    await bench.call("good48")
    await bench.call("new")
    assert list(bench.breaker.states()) == ["bad", "good48", "new"]


@in_virtual_time
async def test_an_open_circuit_that_is_forgotten_is_told_to_be_closed() -> None:
    bench = Bench(BreakerPolicy(max_models=2))
    for model in ("bad", "worse", "worst"):
        await bench.trip(model)
    changes = [(change.model, change.state) for change in bench.events.of(BreakerChanged)]
    assert changes == [("bad", "open"), ("worse", "open"), ("bad", "closed"), ("worst", "open")]
    await asyncio.sleep(61)
    assert bench.told[-2:] == ["half-open", "half-open"]
    assert len(bench.told) == 6


@in_virtual_time
async def test_a_model_with_a_call_under_way_is_not_forgotten() -> None:
    bench = Bench(BreakerPolicy(max_models=1))
    bench.does(10.0, "fine")
    calls = [bench.start(model) for model in ("a", "b", "c")]
    await asyncio.sleep(1)
    assert list(bench.breaker.states()) == ["a", "b", "c"]
    await asyncio.gather(*calls)
    for number in range(5):
        await bench.call(f"x{number}")
    assert len(bench.breaker.states()) == 3


@in_virtual_time
async def test_a_closed_breaker_changes_no_more() -> None:
    bench = Bench()
    await bench.trip()
    await bench.breaker.aclose()
    await asyncio.sleep(100)
    assert (bench.told, bench.engine.closed) == (["open"], 1)


@pytest.mark.parametrize("seed", range(20))
@in_virtual_time
async def test_whatever_happens_only_one_tries_and_it_opens_again_in_the_end(seed: int) -> None:
    chance = random.Random(seed)
    bench = Bench(BreakerPolicy(failures=3, open_s=5.0, max_models=4))
    calls: list[asyncio.Task[str]] = []
    for _ in range(300):
        ends = [EngineFailed("x"), EngineFailed("y"), EngineOverloaded("z"), Declined("w"), "fine"]
        bench.does(chance.uniform(0, 8), chance.choice(ends))
        calls.append(bench.start(f"m{chance.randrange(0, 6)}"))
        if chance.random() < 0.2:
            chance.choice(calls).cancel()
        await asyncio.sleep(chance.uniform(0, 3))
    await asyncio.gather(*calls, return_exceptions=True)
    await asyncio.sleep(6)
    assert len(bench.breaker.states()) <= 6
    assert Circuit.OPEN not in bench.breaker.states().values()
    last = {change.model: change.state for change in bench.events.of(BreakerChanged)}
    assert {m: s.value for m, s in bench.breaker.states().items() if m in last}.items() <= last.items()
    bench.does(*FINE)
    for model in bench.breaker.states():
        assert await bench.call(model) == "fine"
    assert set(bench.breaker.states().values()) == {Circuit.CLOSED}


@pytest.mark.parametrize("wrong", [{"failures": 0}, {"open_s": 0}, {"max_models": 0}])
def test_a_policy_that_cannot_be_kept_is_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="1 or more"):
        BreakerPolicy(**wrong)
