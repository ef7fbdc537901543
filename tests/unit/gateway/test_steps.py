"""The steps of a client, one by one: what is sent, what is retried, what is raised, what is told."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from itertools import pairwise

import pytest

from node.domain.errors import (
    BrokenReply,
    ConnectFailed,
    IdentityRefused,
    ProxyFailed,
    SessionLost,
    StepFailed,
    StepFault,
    StepRefused,
    TimedOut,
)
from node.domain.events import StepEnded
from node.domain.policies import RetryPolicy, StepTimeouts
from node.domain.results import Points
from node.domain.states import Session as SessionState
from node.gateway.client import GatewayClient
from node.gateway.deployment import ClientPolicy
from node.gateway.retries import Exhausted
from node.ports.calls import SessionCalls
from node.ports.membership import Membership
from node.ports.transport import Reply
from node.protocol.routes import Step
from tests.support.virtual_time import in_virtual_time
from tests.unit.gateway.bench import MODELS, NODE_SECRET, RETRY, Bench
from tests.unit.gateway.scripted_gateway import ScriptedGateway, said

HTML = Reply(502, {}, b"<html>")


def is_a_membership(client: GatewayClient) -> tuple[Membership, SessionCalls]:
    """The type checker holds the client to its ports."""
    return client, client


async def run(client: GatewayClient, step: Step) -> None:
    match step:
        case Step.CHECK_SECRET:
            await client.check_secret()
        case Step.CHECK_IDENTITY:
            await client.check_identity()
        case Step.REGISTER:
            await client.register()
        case Step.UPDATE_MODELS:
            await client.announce(MODELS)
        case _:
            await client.points()


RETRIED = [Step.CHECK_SECRET, Step.CHECK_IDENTITY, Step.REGISTER, Step.UPDATE_MODELS, Step.POINTS]


@in_virtual_time
async def test_a_node_joins_and_leaves() -> None:
    bench = Bench()
    client, gateway = bench.client, bench.gateway
    await client.check_secret()
    await client.check_identity()
    await client.register()
    await client.announce(MODELS)
    assert await client.points() == Points(12.5, 20)
    await client.leave(5.0)
    await client.aclose()
    urls = [asked.request.url for asked in gateway.asked]
    assert urls == [
        "https://gateway.example/check_node_secret",
        "https://auth.example/node/check",
        "https://gateway.example/worker/register_node",
        "https://gateway.example/worker/update_models",
        "https://gateway.example/get_points?node_name=n1",
        "https://gateway.example/worker/deregister_node",
    ]
    assert gateway.models == list(MODELS)
    assert (gateway.tokens, gateway.closed) == ({}, True)
    labels = ["check_secret", "check_identity", "register", "update_models", "points", "leave"]
    assert bench.ended == [(label, 1, True) for label in labels]
    assert (client.node_id, client.source_id, client.lost) == ("n1", "https://gateway.example", "")
    assert bench.states == [SessionState.VALID, SessionState.NONE]
    assert bench.lost == 0
    for asked in gateway.asked:
        assert ("content-type", "application/json") in asked.request.headers or asked.request.body is None
    bench.assert_no_secret_was_told()


@pytest.mark.parametrize("step", RETRIED)
@pytest.mark.parametrize(
    "fault",
    [
        said(500),
        said(503, {"detail": "busy"}),
        said(429),
        HTML,
        Reply(200, {}, b"<html>"),
        Reply(404, {}, b"<html>"),
        TimedOut("no whole reply in 1 s"),
        BrokenReply("closed"),
        ConnectFailed("nobody there"),
        ProxyFailed("proxy http://127.0.0.1:1: dead"),
    ],
    ids=str,
)
def test_a_passing_fault_is_tried_again(step: Step, fault: Reply) -> None:
    @in_virtual_time
    async def test() -> None:
        bench = Bench()
        await bench.client.register()
        before = bench.gateway.count(step)
        bench.gateway.fail(step, fault, fault)
        await run(bench.client, step)
        assert bench.gateway.count(step) == before + 3
        assert bench.ended[-1] == (step.label, 3, True)
        assert [event.attempt for event in bench.retried] == [1, 2]
        assert all(event.reason for event in bench.retried)
        await bench.client.aclose()

    test()


@pytest.mark.parametrize("step", RETRIED)
def test_attempts_have_an_end(step: Step) -> None:
    @in_virtual_time
    async def test() -> None:
        bench = Bench()
        await bench.client.register()
        bench.gateway.fail(step, *[said(503, {"detail": "busy"})] * 9)
        with pytest.raises(Exhausted, match=r"busy.*tried 4 times"):
            await run(bench.client, step)
        assert bench.ended[-1] == (step.label, RETRY.attempts, False)
        assert len(bench.retried) == RETRY.attempts - 1
        await bench.client.aclose()

    test()


@pytest.mark.parametrize(
    ("step", "status", "error"),
    [
        (Step.CHECK_SECRET, 401, IdentityRefused),
        (Step.CHECK_SECRET, 403, IdentityRefused),
        (Step.CHECK_SECRET, 404, IdentityRefused),
        (Step.CHECK_SECRET, 422, StepRefused),
        (Step.CHECK_SECRET, 302, StepFault),
        (Step.CHECK_IDENTITY, 401, IdentityRefused),
        (Step.CHECK_IDENTITY, 400, StepRefused),
        (Step.REGISTER, 400, StepRefused),
        (Step.REGISTER, 403, StepRefused),
        (Step.REGISTER, 307, StepFault),
        (Step.UPDATE_MODELS, 400, SessionLost),
        (Step.UPDATE_MODELS, 422, StepRefused),
        (Step.UPDATE_MODELS, 301, StepFault),
        (Step.POINTS, 400, SessionLost),
        (Step.POINTS, 404, StepRefused),
    ],
)
def test_a_refusal_is_not_tried_again(step: Step, status: int, error: type[StepFailed]) -> None:
    @in_virtual_time
    async def test() -> None:
        bench = Bench()
        await bench.client.register()
        bench.gateway.fail(step, said(status, {"detail": f"no {NODE_SECRET}"}))
        with pytest.raises(error, match=str(status)) as caught:
            await run(bench.client, step)
        assert bench.retried == []
        assert bench.ended[-1] == (step.label, 1, False)
        assert bool(bench.client.lost) == (error is SessionLost)
        bench.assert_no_secret_was_told(caught.value)
        await bench.client.aclose()

    test()


@pytest.mark.parametrize("step", RETRIED)
@pytest.mark.parametrize("status", [400, 403, 422, 503])
def test_what_a_gateway_repeats_of_the_nodes_secrets_is_told_nowhere(step: Step, status: int) -> None:
    @in_virtual_time
    async def test() -> None:
        bench = Bench()
        await bench.client.register()
        for words, wrapped in itertools.product((0, 28, 29), (str, lambda both: [both], lambda both: {both: both})):
            both = f"{'at length ' * words}{NODE_SECRET} {list(bench.gateway.tokens)[-1]}"
            bench.gateway.fail(step, said(status, {"detail": wrapped(both)}))
            with contextlib.suppress(StepFailed):
                await run(bench.client, step)
            await bench.join()
        await bench.client.aclose()
        bench.assert_no_secret_was_told()

    test()


@in_virtual_time
async def test_every_token_is_made_known_before_it_is_used() -> None:
    bench = Bench(ScriptedGateway(life_s=60.0))
    await bench.client.register()
    await asyncio.sleep(200)
    assert len(bench.gateway.tokens) > 2
    assert [secret.reveal() for secret in bench.remembered] == list(bench.gateway.tokens)
    await bench.client.aclose()


@in_virtual_time
async def test_credentials_that_are_not_valid() -> None:
    bench = Bench(ScriptedGateway(valid_credentials=False))
    with pytest.raises(IdentityRefused):
        await bench.client.check_identity()
    assert bench.gate.told == ["answered"]


@pytest.mark.parametrize("step", [Step.UPDATE_MODELS, Step.POINTS])
def test_a_step_in_session_needs_one(step: Step) -> None:
    @in_virtual_time
    async def test() -> None:
        bench = Bench()
        with pytest.raises(SessionLost, match="no session"):
            await run(bench.client, step)
        assert bench.gateway.asked == []
        await bench.client.aclose()

    test()


@pytest.mark.parametrize(
    ("step", "timeout_s"),
    [
        (Step.CHECK_SECRET, 1.0),
        (Step.CHECK_IDENTITY, 2.0),
        (Step.REGISTER, 3.0),
        (Step.UPDATE_MODELS, 4.0),
        (Step.POINTS, 5.0),
    ],
)
def test_each_step_has_a_time_of_its_own(step: Step, timeout_s: float) -> None:
    timeouts = StepTimeouts(secret_s=1.0, identity_s=2.0, register_s=3.0, models_s=4.0, points_s=5.0, leave_s=6.0)

    @in_virtual_time
    async def test() -> None:
        bench = Bench(policy=ClientPolicy(retry=RetryPolicy(attempts=1), timeouts=timeouts))
        await bench.client.register()
        bench.gateway.latency_s[step] = 1000.0
        started = bench.clock.monotonic()
        with pytest.raises(Exhausted, match=f"in {timeout_s:g} s"):
            await run(bench.client, step)
        assert bench.clock.monotonic() - started == pytest.approx(timeout_s)
        await bench.client.aclose()

    test()


@in_virtual_time
async def test_waits_are_drawn_below_a_growing_bound_and_retry_after_is_honoured() -> None:
    bench = Bench(policy=ClientPolicy(retry=RetryPolicy(attempts=5, elapsed_s=1e6, back_off=RETRY.back_off)))
    bench.gateway.fail(Step.CHECK_SECRET, *[said(503)] * 3, said(503, retry_after="20"))
    await bench.client.check_secret()
    times = bench.gateway.times(Step.CHECK_SECRET)
    waits = [after - before - 0.01 for before, after in pairwise(times)]
    assert all(0 <= wait <= bound for wait, bound in zip(waits, [1, 2, 4], strict=False))
    assert len(set(waits)) == 4
    assert 20 <= waits[3] <= 28
    assert [event.retry_in_s for event in bench.retried] == pytest.approx(waits)


@in_virtual_time
async def test_a_wait_that_would_pass_the_steps_time_is_not_begun() -> None:
    bench = Bench()
    bench.gateway.fail(Step.CHECK_SECRET, said(503, retry_after="3600"))
    started = bench.clock.monotonic()
    with pytest.raises(Exhausted, match="tried 1 times"):
        await bench.client.check_secret()
    assert bench.clock.monotonic() - started < 1


@in_virtual_time
async def test_a_stop_ends_the_wait_between_attempts_at_once() -> None:
    bench = Bench()
    bench.gateway.fail(Step.REGISTER, said(503, retry_after="30"))
    task = asyncio.create_task(bench.client.register())
    await asyncio.sleep(5)
    started = bench.clock.monotonic()
    bench.stop.set()
    with pytest.raises(StepFault, match="stopping"):
        await task
    assert bench.clock.monotonic() == started
    bench.gateway.fail(Step.REGISTER, said(503))
    with pytest.raises(StepFault, match="stopping"):
        await bench.client.register()
    assert (bench.gateway.count(Step.REGISTER), len(bench.retried)) == (2, 1)
    assert bench.ended == [("register", 1, False)] * 2


@in_virtual_time
async def test_a_step_may_be_cancelled_while_it_waits() -> None:
    bench = Bench()
    bench.gateway.fail(Step.REGISTER, said(503, retry_after="30"))
    task = asyncio.create_task(bench.client.register())
    await asyncio.sleep(5)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert bench.ended == []
    await bench.client.register()
    await bench.client.aclose()


@pytest.mark.parametrize("token", ["has space", "line\nbreak", "na\u00efve", "\x7f"])
def test_a_token_that_no_header_can_carry_is_not_taken(token: str) -> None:
    @in_virtual_time
    async def test() -> None:
        bench = Bench()
        bench.gateway.fail(Step.REGISTER, said(200, {"access_token": token}))
        await bench.client.register()
        assert bench.gateway.count(Step.REGISTER) == 2
        assert bench.states == [SessionState.VALID]
        await bench.client.aclose()

    test()


class TestAuthGate:
    """What the gate of the auth service is told."""

    @pytest.mark.parametrize(
        ("fault", "told"),
        [
            (said(200, {"valid_credentials": True}), ["answered"]),
            (said(401, {"detail": "no"}), ["answered"]),
            (said(404), ["answered"]),
            (said(429), ["answered"]),
            (said(302), ["answered"]),
            (said(200, {}), ["answered"]),
            (said(500), ["failed: HTTP 500"]),
            (said(503, {"detail": "x"}), ["failed: HTTP 503"]),
            (HTML, ["failed: HTTP 502"]),
            (TimedOut("late"), ["failed: late"]),
            (ConnectFailed("nobody"), ["failed: nobody"]),
            (BrokenReply("cut"), ["failed: cut"]),
            (Reply(200, {}, b"<html>"), []),
            (Reply(404, {}, b"<html>"), []),
            (ProxyFailed("the node's own trouble"), []),
        ],
        ids=str,
    )
    def test_what_it_is_told(self, fault: Reply, told: list[str]) -> None:
        @in_virtual_time
        async def test() -> None:
            bench = Bench(policy=ClientPolicy(retry=RetryPolicy(attempts=1)))
            bench.gateway.fail(Step.CHECK_IDENTITY, fault)
            await asyncio.gather(bench.client.check_identity(), return_exceptions=True)
            assert (bench.gate.told, bench.gate.permits) == (told, 1)

        test()

    @in_virtual_time
    async def test_every_attempt_asks_for_leave(self) -> None:
        bench = Bench()
        bench.gateway.fail(Step.CHECK_IDENTITY, said(500), said(500))
        await bench.client.check_identity()
        assert bench.gate.permits == 3

    @in_virtual_time
    async def test_waiting_at_the_gate_uses_up_no_time_of_the_step(self) -> None:
        bench = Bench()
        bench.gate.closed = True
        bench.gateway.fail(Step.CHECK_IDENTITY, said(500))
        asyncio.get_running_loop().call_later(100_000, bench.gate.opening.set)
        await bench.client.check_identity()
        assert bench.gateway.count(Step.CHECK_IDENTITY) == 2
        assert bench.events.of(StepEnded)[0].took_s < 60


class TestLeaving:
    @pytest.mark.parametrize("fault", [said(500), said(401), said(400), HTML, BrokenReply("cut")], ids=str)
    def test_it_is_tried_once_and_never_raises(self, fault: Reply) -> None:
        @in_virtual_time
        async def test() -> None:
            bench = Bench()
            await bench.client.register()
            bench.gateway.fail(Step.LEAVE, fault)
            await bench.client.leave(10.0)
            assert bench.gateway.count(Step.LEAVE) == 1
            assert bench.ended[-1] == ("leave", 1, False)
            assert bench.states[-1] is SessionState.NONE
            assert (bench.lost, bench.client.lost) == (0, "")
            bench.assert_no_secret_was_told()

        test()

    @in_virtual_time
    async def test_it_takes_no_longer_than_it_may(self) -> None:
        bench = Bench()
        await bench.client.register()
        bench.gateway.latency_s[Step.LEAVE] = 1000.0
        for may_s, takes_s in ((2.0, 2.0), (99.0, 10.0)):
            await bench.client.register()
            started = bench.clock.monotonic()
            await bench.client.leave(may_s)
            assert bench.clock.monotonic() - started == pytest.approx(takes_s)

    @in_virtual_time
    async def test_without_a_session_nothing_is_sent(self) -> None:
        bench = Bench()
        await bench.client.leave(10.0)
        assert bench.gateway.asked == []
        await bench.client.aclose()

    @in_virtual_time
    async def test_a_node_that_left_may_join_again(self) -> None:
        bench = Bench()
        await bench.join()
        await bench.client.leave(10.0)
        with pytest.raises(SessionLost):
            await bench.poll()
        await bench.join()
        await bench.poll()
        await bench.client.aclose()
