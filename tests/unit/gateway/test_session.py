"""The session through its life: granted, renewed in time, denied, lost, dropped. In virtual time."""

from __future__ import annotations

import asyncio
import time
from itertools import pairwise

import pytest

from node.domain.errors import BrokenReply, ConnectFailed, SessionLost, TransportError, Withdrawn
from node.domain.events import Crash, SessionChanged
from node.domain.policies import SessionPolicy
from node.domain.states import Session as SessionState
from node.domain.verdict import Ruling
from node.gateway.deployment import ClientPolicy
from node.gateway.keys import UnverifiedTokens
from node.gateway.session import LEAST_RENEWAL_S, server_time
from node.ports.transport import Reply
from node.protocol.routes import Step
from node.protocol.tokens import TokenTimes, issue
from node.protocol.verdict import Judged
from tests.support.virtual_time import in_virtual_time
from tests.unit.gateway.bench import POLL, RETRY, Bench
from tests.unit.gateway.scripted_gateway import KEY, ScriptedGateway, said

NONE, VALID, EXPIRING, REJECTED = (
    SessionState.NONE,
    SessionState.VALID,
    SessionState.EXPIRING,
    SessionState.REJECTED,
)


class TestDenied:
    @in_virtual_time
    async def test_a_denied_call_is_repeated_with_a_new_token(self) -> None:
        bench = Bench()
        await bench.join()
        bench.gateway.forget()
        judged = await bench.poll()
        assert judged.verdict.ruling is Ruling.NO_JOB
        steps = [asked.step for asked in bench.gateway.asked[2:]]
        assert steps == [Step.POLL, Step.REGISTER, Step.UPDATE_MODELS, Step.POLL]
        assert bench.states == [VALID, REJECTED, VALID]
        assert [event.generation for event in bench.events.of(SessionChanged)] == [1, 1, 2]
        assert bench.ended[2:] == [("register", 1, True), ("update_models", 1, True)]
        assert (bench.client.lost, bench.lost) == ("", 0)
        bench.assert_no_secret_was_told()
        await bench.client.aclose()

    @in_virtual_time
    async def test_a_renewal_announces_nothing_that_was_not_announced(self) -> None:
        bench = Bench()
        await bench.client.register()
        bench.gateway.forget()
        await bench.poll()
        assert bench.gateway.count(Step.UPDATE_MODELS) == 0
        await bench.client.aclose()

    @in_virtual_time
    async def test_a_renewal_announces_what_was_announced_last(self) -> None:
        bench = Bench()
        await bench.join()
        await bench.client.announce(("tiny",))
        bench.gateway.forget()
        bench.gateway.models = []
        await bench.poll()
        assert bench.gateway.models == ["tiny"]
        await bench.client.aclose()

    @in_virtual_time
    async def test_an_announcement_that_is_denied_is_made_after_the_renewal(self) -> None:
        bench = Bench()
        await bench.join()
        bench.gateway.forget()
        await bench.client.announce(("new",))
        assert bench.gateway.models == ["new"]
        await bench.client.aclose()

    @in_virtual_time
    async def test_a_hundred_denied_calls_make_one_renewal(self) -> None:
        bench = Bench()
        await bench.join()
        bench.gateway.forget()
        judged = await asyncio.gather(*[bench.poll() for _ in range(100)])
        assert {each.verdict.ruling for each in judged} == {Ruling.NO_JOB}
        assert bench.gateway.count(Step.REGISTER) == 2
        assert bench.gateway.count(Step.POLL) == 200
        assert bench.states == [VALID, REJECTED, VALID]
        await bench.client.aclose()

    @in_virtual_time
    async def test_a_hundred_calls_denied_for_good_make_one_renewal_and_one_loss(self) -> None:
        bench = Bench()
        await bench.join()
        bench.gateway.fail(Step.POLL, *[said(403, {"detail": "banned"})] * 1000)
        outcomes = await asyncio.gather(*[bench.poll() for _ in range(100)], return_exceptions=True)
        assert all(isinstance(outcome, SessionLost) for outcome in outcomes)
        assert bench.gateway.count(Step.REGISTER) == 2
        assert bench.lost == 1
        assert "banned" in bench.client.lost
        with pytest.raises(SessionLost, match="banned"):
            await bench.poll()
        assert bench.states == [VALID, REJECTED, VALID, NONE]
        await bench.client.aclose()

    @in_virtual_time
    async def test_who_stops_waiting_does_not_stop_the_renewal(self) -> None:
        bench = Bench()
        await bench.join()
        bench.gateway.forget()
        bench.gateway.latency_s[Step.REGISTER] = 10.0
        impatient = [asyncio.create_task(bench.poll()) for _ in range(3)]
        patient = asyncio.create_task(bench.poll())
        await asyncio.sleep(5)
        for task in impatient:
            task.cancel()
        outcomes = await asyncio.gather(*impatient, return_exceptions=True)
        assert all(isinstance(outcome, asyncio.CancelledError) for outcome in outcomes)
        assert (await patient).verdict.ruling is Ruling.NO_JOB
        assert bench.gateway.count(Step.REGISTER) == 2
        await bench.client.aclose()

    @in_virtual_time
    async def test_a_renewal_that_nobody_waits_for_any_more_goes_on(self) -> None:
        bench = Bench()
        await bench.join()
        bench.gateway.forget()
        bench.gateway.latency_s[Step.REGISTER] = 10.0
        task = asyncio.create_task(bench.poll())
        await asyncio.sleep(5)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await asyncio.sleep(30)
        assert bench.states == [VALID, REJECTED, VALID]
        assert (await bench.poll()).verdict.ruling is Ruling.NO_JOB
        assert bench.gateway.count(Step.REGISTER) == 2
        await bench.client.aclose()

    @in_virtual_time
    async def test_a_call_waits_for_a_renewal_under_way_before_it_is_sent(self) -> None:
        bench = Bench()
        await bench.join()
        bench.gateway.forget()
        bench.gateway.latency_s[Step.REGISTER] = 10.0
        first = asyncio.create_task(bench.poll())
        await asyncio.sleep(5)
        assert bench.gateway.count(Step.POLL) == 1
        await bench.client.points()
        assert bench.gateway.count(Step.POINTS) == 1
        await first
        await bench.client.aclose()

    @in_virtual_time
    async def test_a_denial_of_an_old_token_is_met_with_the_new_one(self) -> None:
        bench = Bench()
        await bench.join()
        bench.gateway.latency_s[Step.POLL] = 20.0
        bench.gateway.fail(Step.POLL, said(401), said(400, {"detail": "no session"}))
        slow = [asyncio.create_task(bench.poll()) for _ in range(2)]
        await asyncio.sleep(10)
        bench.gateway.forget()
        await bench.client.points()
        assert bench.gateway.count(Step.REGISTER) == 2
        assert [(await task).verdict.ruling for task in slow] == [Ruling.NO_JOB] * 2
        assert bench.gateway.count(Step.REGISTER) == 2
        assert (bench.client.lost, bench.lost) == ("", 0)
        await bench.client.aclose()

    @in_virtual_time
    async def test_a_call_that_is_not_wanted_after_the_renewal_is_not_repeated(self) -> None:
        bench = Bench()
        await bench.join()
        bench.gateway.fail(Step.POLL, said(401))
        with pytest.raises(Withdrawn):
            await bench.client.call(POLL, lambda: False)
        assert (bench.gateway.count(Step.POLL), bench.gateway.count(Step.REGISTER)) == (1, 2)
        assert (bench.states[-1], bench.lost) == (VALID, 0)
        await bench.client.aclose()

    @in_virtual_time
    async def test_a_call_that_is_not_wanted_after_waiting_for_a_renewal_is_not_sent(self) -> None:
        bench = Bench()
        await bench.join()
        bench.gateway.latency_s[Step.REGISTER] = 20.0
        bench.gateway.fail(Step.POINTS, said(401))
        renewing = asyncio.create_task(bench.client.points())
        await asyncio.sleep(5)
        with pytest.raises(Withdrawn):
            await bench.client.call(POLL, lambda: False)
        assert bench.gateway.count(Step.POLL) == 0
        await renewing
        await bench.client.call(POLL, lambda: False)
        assert bench.gateway.count(Step.POLL) == 1, "nothing had to be waited for"
        await bench.client.aclose()

    @pytest.mark.parametrize("status", [401, 403])
    def test_a_second_denial_loses_the_session(self, status: int) -> None:
        @in_virtual_time
        async def test() -> None:
            bench = Bench()
            await bench.join()
            token = bench.gateway.asked[-1].token
            bench.gateway.fail(Step.POLL, said(status, {"detail": f"bad {token}"}), said(status))
            with pytest.raises(SessionLost, match=str(status)) as caught:
                await bench.poll()
            assert bench.states == [VALID, REJECTED, VALID, NONE]
            assert bench.lost == 1
            assert str(status) in bench.client.lost
            bench.assert_no_secret_was_told(caught.value)
            await bench.client.aclose()

        test()

    @in_virtual_time
    async def test_a_session_that_the_gateway_does_not_know_is_lost_at_once(self) -> None:
        bench = Bench()
        await bench.join()
        bench.gateway.fail(Step.POLL, said(400, {"detail": "unknown node"}))
        with pytest.raises(SessionLost, match="unknown node"):
            await bench.poll()
        assert (bench.client.lost, bench.lost) == ("HTTP 400: unknown node", 1)
        assert bench.gateway.count(Step.REGISTER) == 1
        await bench.join()
        assert (bench.client.lost, bench.states[-1]) == ("", VALID)
        await bench.poll()
        await bench.client.aclose()

    @in_virtual_time
    async def test_a_repeated_call_that_fails_raises_what_befell_it(self) -> None:
        bench = Bench()
        await bench.join()
        bench.gateway.fail(Step.POLL, said(401), BrokenReply("cut"))
        with pytest.raises(BrokenReply):
            await bench.poll()
        assert bench.client.lost == ""
        await bench.client.aclose()


class TestRenewalFails:
    @pytest.mark.parametrize(
        ("step", "faults", "words"),
        [
            (Step.REGISTER, [said(403, {"detail": "banned"})], "banned"),
            (Step.REGISTER, [said(302)], "redirect"),
            (Step.REGISTER, [said(503)] * 9, "tried 4 times"),
            (Step.REGISTER, [ConnectFailed("nobody there")] * 9, "nobody there"),
            (Step.UPDATE_MODELS, [said(401, {"detail": "not you"})], "not you"),
            (Step.UPDATE_MODELS, [said(503)] * 9, "tried 4 times"),
        ],
        ids=str,
    )
    def test_the_session_is_lost_and_says_why(self, step: Step, faults: list[Reply], words: str) -> None:
        @in_virtual_time
        async def test() -> None:
            bench = Bench()
            await bench.join()
            bench.gateway.forget()
            bench.gateway.fail(step, *faults)
            outcomes = await asyncio.gather(*[bench.poll() for _ in range(3)], return_exceptions=True)
            assert all(isinstance(outcome, SessionLost) and words in str(outcome) for outcome in outcomes)
            assert words in bench.client.lost
            assert (bench.lost, bench.states[-1]) == (1, NONE)
            bench.gateway.faults.clear()
            await bench.join()
            await bench.poll()
            await bench.client.aclose()

        test()

    @in_virtual_time
    async def test_passing_faults_are_survived_even_while_the_node_stops(self) -> None:
        bench = Bench()
        await bench.join()
        bench.stop.set()
        bench.gateway.forget()
        bench.gateway.fail(Step.REGISTER, said(503), BrokenReply("cut"))
        assert (await bench.poll()).verdict.ruling is Ruling.NO_JOB
        assert bench.ended[-2] == ("register", 3, True)
        await bench.client.aclose()

    @in_virtual_time
    async def test_a_defect_in_a_renewal_is_told_and_loses_the_session(self) -> None:
        class Broken(UnverifiedTokens):
            reads = 0

            async def read(self, token: str) -> TokenTimes:
                self.reads += 1
                if self.reads > 1:
                    raise ZeroDivisionError("a defect")
                return await super().read(token)

        bench = Bench(tokens=Broken())
        await bench.join()
        bench.gateway.forget()
        with pytest.raises(SessionLost, match="came to nothing"):
            await bench.poll()
        crash = bench.events.of(Crash)[0]
        assert ("ZeroDivisionError" in crash.error, crash.node) == (True, "n1")
        assert bench.lost == 1
        await bench.client.aclose()


class TestNearExpiry:
    @pytest.mark.parametrize("skew_s", [0.0, 3600.0, -3600.0])
    @pytest.mark.parametrize("dated", [True, False])
    def test_a_token_is_renewed_before_its_end_whatever_the_clocks_say(self, *, skew_s: float, dated: bool) -> None:
        @in_virtual_time
        async def test() -> None:
            bench = Bench(ScriptedGateway(life_s=600.0, skew_s=skew_s, dated=dated))
            await bench.join()
            began = bench.clock.monotonic()
            for _ in range(400):
                assert (await bench.poll()).verdict.ruling is Ruling.NO_JOB
                await asyncio.sleep(5)
            times = bench.gateway.times(Step.REGISTER)
            assert [round((at - began) / 540) for at in times] == [0, 1, 2, 3]
            assert all(540 - 2 < later - earlier < 540 + 2 for earlier, later in pairwise(times))
            assert REJECTED not in bench.states
            assert bench.states[:4] == [VALID, EXPIRING, VALID, EXPIRING]
            await bench.client.aclose()

        test()

    @in_virtual_time
    async def test_without_date_and_iat_the_nodes_own_clock_must_do(self) -> None:
        gateway = ScriptedGateway(life_s=600.0, dated=False)
        bench = Bench(gateway)
        ends = bench.clock.wall() + 600
        bench.gateway.fail(Step.REGISTER, said(200, {"access_token": issue({"exp": ends}, KEY)}))
        await bench.client.register()
        await asyncio.sleep(530)
        assert gateway.count(Step.REGISTER) == 1
        await asyncio.sleep(20)
        assert gateway.count(Step.REGISTER) == 2
        await bench.client.aclose()

    @in_virtual_time
    async def test_the_policy_says_when(self) -> None:
        policy = ClientPolicy(retry=RETRY, session=SessionPolicy(margin_s=100.0, margin_share=0.5))
        bench = Bench(ScriptedGateway(life_s=1000.0), policy)
        await bench.join()
        await asyncio.sleep(895)
        assert bench.gateway.count(Step.REGISTER) == 1
        await asyncio.sleep(10)
        assert bench.gateway.count(Step.REGISTER) == 2
        await bench.client.aclose()

    @in_virtual_time
    async def test_the_old_token_serves_until_the_new_one_is_there(self) -> None:
        bench = Bench(ScriptedGateway(life_s=600.0))
        await bench.join()
        bench.gateway.latency_s[Step.REGISTER] = 20.0
        await asyncio.sleep(545)
        assert bench.states == [VALID, EXPIRING]
        started = bench.clock.monotonic()
        await bench.poll()
        assert bench.clock.monotonic() - started < 1
        await asyncio.sleep(30)
        assert bench.states == [VALID, EXPIRING, VALID]
        await bench.client.aclose()

    @in_virtual_time
    async def test_a_denial_joins_the_renewal_under_way(self) -> None:
        bench = Bench(ScriptedGateway(life_s=600.0))
        await bench.join()
        bench.gateway.latency_s[Step.REGISTER] = 20.0
        await asyncio.sleep(545)
        bench.gateway.forget()
        assert (await bench.poll()).verdict.ruling is Ruling.NO_JOB
        assert bench.gateway.count(Step.REGISTER) == 2
        assert bench.states == [VALID, EXPIRING, REJECTED, VALID]
        await bench.client.aclose()

    @in_virtual_time
    async def test_an_outage_during_the_renewal_is_waited_out_while_the_token_is_good(self) -> None:
        bench = Bench(ScriptedGateway(life_s=600.0))
        await bench.join()
        await asyncio.sleep(535)
        bench.gateway.down = ConnectFailed("nobody there")
        await asyncio.sleep(40)
        assert (bench.states, bench.client.lost) == ([VALID, EXPIRING], "")
        bench.gateway.down = None
        await asyncio.sleep(20)
        assert (bench.states, bench.client.lost) == ([VALID, EXPIRING, VALID], "")
        assert (await bench.poll()).verdict.ruling is Ruling.NO_JOB
        await bench.client.aclose()

    @in_virtual_time
    async def test_an_outage_that_outlasts_the_token_loses_the_session(self) -> None:
        bench = Bench(ScriptedGateway(life_s=600.0))
        await bench.join()
        await asyncio.sleep(535)
        bench.gateway.down = ConnectFailed("nobody there")
        await asyncio.sleep(100)
        assert (bench.states, bench.lost) == ([VALID, EXPIRING, NONE], 1)
        assert "nobody there" in bench.client.lost
        asked = bench.gateway.count(Step.REGISTER)
        await asyncio.sleep(10_000)
        assert bench.gateway.count(Step.REGISTER) == asked
        await bench.client.aclose()

    @in_virtual_time
    async def test_a_renewal_that_is_refused_loses_the_session_though_the_token_is_good(self) -> None:
        bench = Bench(ScriptedGateway(life_s=600.0))
        await bench.join()
        bench.gateway.fail(Step.REGISTER, said(403, {"detail": "banned"}))
        await asyncio.sleep(545)
        assert (bench.states, bench.lost) == ([VALID, EXPIRING, NONE], 1)
        await bench.client.aclose()

    @in_virtual_time
    async def test_a_session_lost_during_its_renewal_stays_lost(self) -> None:
        bench = Bench(ScriptedGateway(life_s=600.0))
        await bench.join()
        bench.gateway.latency_s[Step.REGISTER] = 20.0
        await asyncio.sleep(545)
        bench.gateway.fail(Step.POLL, said(400))
        with pytest.raises(SessionLost):
            await bench.poll()
        await asyncio.sleep(60)
        assert bench.states == [VALID, EXPIRING, NONE]
        await bench.join()
        assert bench.states[-1] is VALID
        await bench.client.aclose()

    @in_virtual_time
    async def test_a_node_that_joins_anew_at_once_meets_no_trace_of_the_renewal_it_lost(self) -> None:
        bench = Bench(ScriptedGateway(life_s=600.0, closing_s=5.0))
        await bench.join()
        bench.gateway.latency_s[Step.REGISTER] = 20.0
        await asyncio.sleep(545)
        bench.gateway.fail(Step.POLL, said(400))
        with pytest.raises(SessionLost):
            await bench.poll()
        bench.gateway.latency_s = {}
        await bench.client.register()
        bench.gateway.forget()
        assert (await bench.poll()).verdict.ruling is Ruling.NO_JOB
        assert bench.states[2:] == [NONE, VALID, REJECTED, VALID]
        await bench.client.aclose()

    @in_virtual_time
    async def test_it_is_renewed_during_a_long_call_and_a_long_job(self) -> None:
        """A job of half an hour with tokens of ten minutes: the result is taken at the first try."""
        bench = Bench(ScriptedGateway(life_s=600.0))
        await bench.join()
        await asyncio.sleep(1800)
        judged = await bench.poll()
        assert judged.verdict.ruling is Ruling.NO_JOB
        assert bench.gateway.count(Step.POLL) == 1
        assert bench.gateway.count(Step.REGISTER) == 4
        assert bench.gateway.count(Step.UPDATE_MODELS) == 4
        await bench.client.aclose()


class TestNoHotLoop:
    """Tokens that are past, short-lived or unreadable cost no more than a renewal for each denial."""

    @pytest.mark.parametrize("life_s", [None, -60.0, 0.0, 0.5, 3.0])
    def test_an_end_that_is_past_near_or_missing_is_not_waited_for(self, life_s: float | None) -> None:
        @in_virtual_time
        async def test() -> None:
            bench = Bench(ScriptedGateway(life_s=life_s))
            await bench.client.register()
            await asyncio.sleep(1_000_000)
            assert (bench.gateway.count(Step.REGISTER), bench.states) == (1, [VALID])
            if life_s is not None and life_s > 0:
                assert (await bench.poll()).verdict.ruling is Ruling.NO_JOB
            await bench.client.aclose()

        test()

    @pytest.mark.parametrize("token", ["opaque", "a.b.c", issue({"exp": "tomorrow, perhaps"}, KEY)[:-5]])
    def test_a_token_that_cannot_be_read_is_used_as_it_is(self, token: str) -> None:
        @in_virtual_time
        async def test() -> None:
            bench = Bench()
            bench.gateway.tokens[token] = None
            bench.gateway.fail(Step.REGISTER, said(200, {"access_token": token}))
            await bench.client.register()
            assert (await bench.poll()).verdict.ruling is Ruling.NO_JOB
            await asyncio.sleep(1_000_000)
            assert bench.gateway.count(Step.REGISTER) == 1
            bench.gateway.forget()
            assert (await bench.poll()).verdict.ruling is Ruling.NO_JOB
            await bench.client.aclose()

        test()

    @pytest.mark.parametrize("life_s", [5.5, 7.0, 20.0])
    def test_a_short_life_is_not_renewed_all_the_time(self, life_s: float) -> None:
        @in_virtual_time
        async def test() -> None:
            bench = Bench(ScriptedGateway(life_s=life_s))
            await bench.client.register()
            await asyncio.sleep(1000)
            assert bench.gateway.count(Step.REGISTER) <= 1000 / LEAST_RENEWAL_S + 1
            assert (await bench.poll()).verdict.ruling is Ruling.NO_JOB
            await bench.client.aclose()

        test()

    @in_virtual_time
    async def test_an_end_in_the_far_future_is_waited_for(self) -> None:
        bench = Bench(ScriptedGateway(life_s=9e10))
        await bench.client.register()
        await asyncio.sleep(1_000_000)
        assert bench.gateway.count(Step.REGISTER) == 1
        await bench.client.aclose()


class TestEnd:
    @in_virtual_time
    async def test_leaving_ends_the_renewal_and_tells_who_waits_for_it(self) -> None:
        bench = Bench()
        await bench.join()
        bench.gateway.forget()
        bench.gateway.latency_s[Step.REGISTER] = 10.0
        waiting = asyncio.create_task(bench.poll())
        await asyncio.sleep(5)
        await bench.client.leave(5.0)
        with pytest.raises(SessionLost, match="no session"):
            await waiting
        assert bench.gateway.count(Step.LEAVE) == 0  # the token was denied: there is nothing to leave with
        assert (bench.states[-1], bench.lost, bench.client.lost) == (NONE, 0, "")
        await asyncio.sleep(1000)
        assert bench.gateway.count(Step.REGISTER) == 2

    @in_virtual_time
    async def test_a_session_that_is_over_is_not_renewed(self) -> None:
        bench = Bench(ScriptedGateway(life_s=600.0))
        await bench.join()
        await bench.client.leave(5.0)
        await asyncio.sleep(10_000)
        assert bench.gateway.count(Step.REGISTER) == 1
        await bench.join()
        bench.gateway.fail(Step.POLL, said(400))
        with pytest.raises(SessionLost):
            await bench.poll()
        await asyncio.sleep(10_000)
        assert bench.gateway.count(Step.REGISTER) == 2
        await bench.client.aclose()

    @in_virtual_time
    async def test_closing_ends_everything(self) -> None:
        bench = Bench(ScriptedGateway(life_s=600.0))
        await bench.join()
        bench.gateway.latency_s[Step.REGISTER] = 20.0
        await asyncio.sleep(545)
        await bench.client.aclose()
        await bench.client.aclose()
        assert bench.gateway.closed
        await asyncio.sleep(10_000)
        assert bench.gateway.count(Step.REGISTER) == 2
        with pytest.raises(SessionLost):
            await bench.poll()
        assert bench.lost == 0

    @in_virtual_time
    async def test_every_await_of_a_renewed_call_may_be_cancelled(self) -> None:
        for after_s in range(0, 60, 3):
            bench = Bench()
            for step in Step:
                bench.gateway.latency_s[step] = 10.0
            await bench.join()
            bench.gateway.forget()
            task = asyncio.create_task(bench.poll())
            await asyncio.sleep(after_s)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            assert (await bench.poll()).verdict.ruling is Ruling.NO_JOB
            assert bench.gateway.count(Step.REGISTER) == 2
            await bench.client.aclose()


class TestRequests:
    @in_virtual_time
    async def test_the_poll_is_built_once_for_each_token(self) -> None:
        bench = Bench()
        await bench.join()
        await bench.poll()
        await bench.client.points()
        polls = []
        for _ in range(3):
            await bench.poll()
            polls.append(bench.gateway.asked[-1].request)
        assert polls[0] is polls[1] is polls[2]
        bench.gateway.forget()
        await bench.poll()
        renewed = bench.gateway.asked[-1]
        assert renewed.request is not polls[0]
        assert renewed.token in bench.gateway.tokens
        await bench.client.aclose()

    @in_virtual_time
    async def test_a_call_carries_the_token_and_its_own_target(self) -> None:
        bench = Bench()
        await bench.join()
        await bench.poll()
        asked = bench.gateway.asked[-1]
        assert asked.request.url == f"https://gateway.example{POLL.target}"
        assert asked.token in bench.gateway.tokens
        assert asked.request.body is None
        assert asked.token not in repr(asked.request)
        await bench.client.aclose()

    @in_virtual_time
    async def test_a_transport_error_is_the_callers_affair(self) -> None:
        bench = Bench()
        await bench.join()
        bench.gateway.fail(Step.POLL, BrokenReply("cut"))
        with pytest.raises(TransportError):
            await bench.poll()
        assert (bench.client.lost, bench.gateway.count(Step.POLL)) == ("", 1)
        judged: Judged = await bench.poll()
        assert judged.verdict.ruling is Ruling.NO_JOB
        await bench.client.aclose()


@pytest.mark.parametrize(
    ("date", "seconds"),
    [
        ("Sun, 06 Nov 1994 08:49:37 GMT", 784111777),
        ("Sun, 06 Nov 1994 08:49:37 -0000", 784111777),
        ("Sun, 06 Nov 1994 09:49:37 +0100", 784111777),
        ("yesterday", None),
        ("", None),
        ("Sun, 06 Nov 1994 08:49:37 +99999999999999999999", None),
    ],
)
def test_the_gateways_time(date: str, seconds: float | None, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as elsewhere:
        elsewhere.setenv("TZ", "Asia/Tokyo")
        time.tzset()
        assert server_time({"date": date}) == seconds
    time.tzset()
    assert server_time({"date": date}) == seconds
    assert server_time({}) is None
