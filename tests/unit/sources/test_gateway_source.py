"""The gateway's source: what travels, and what becomes of what comes back."""

from __future__ import annotations

import json

import pytest

from node.domain.errors import BrokenReply, SessionLost, StepFault, StepRefused, TimedOut, TryLater
from node.domain.events import Notice
from node.domain.ids import JobId, JobKey, NodeId, SourceId
from node.domain.jobs import MalformedPayload
from node.domain.policies import StepTimeouts
from node.domain.results import Failure, FinishedJob, Generation, Success
from node.domain.secret import Secret
from node.domain.verdict import Ruling, Verdict
from node.ports.calls import Call, J
from node.ports.source import JobSource
from node.ports.transport import Reply
from node.protocol.routes import Step
from node.sources.gateway import GatewaySource
from tests.support.events import RecordingSink
from tests.support.virtual_time import in_virtual_time
from tests.unit.gateway.bench import Bench
from tests.unit.gateway.scripted_gateway import said

API_KEY = "key-of-a-developer"
KEY = JobKey(SourceId("https://gateway.example"), NodeId("n1"), JobId("j1"))
SUCCESS = FinishedJob(KEY, Success(Generation("hi", "tiny", "stored")), 1.0, 2.0, {"api_key": Secret(API_KEY)})
FAILURE = FinishedJob(KEY, Failure("no engine", "tiny"), 1.0, 2.0, {"api_key": Secret(API_KEY)})


async def at_a_gateway() -> tuple[Bench, JobSource]:
    bench = Bench()
    await bench.join()
    return bench, GatewaySource(bench.client, bench.events, "0.0.4+a b", StepTimeouts(poll_s=3.0, result_s=4.0))


@in_virtual_time
async def test_the_poll_names_the_nodes_version() -> None:
    bench, source = await at_a_gateway()
    assert await source.claim() is None
    asked = bench.gateway.asked[-1]
    assert asked.request.url == "https://gateway.example/worker/get_job?node_version=0.0.4%2Ba+b"
    assert asked.request.method == "GET"
    await bench.client.aclose()


@in_virtual_time
async def test_a_result_travels_as_the_gateway_wants_it() -> None:
    bench, source = await at_a_gateway()
    await source.settle(SUCCESS)
    assert bench.gateway.asked[-1].body == {
        "job_id": "j1",
        "api_key": API_KEY,
        "model_name": "tiny",
        "result": {"message": {"role": "assistant", "content": "hi"}},
        "status": "success",
    }
    await bench.client.aclose()


@in_virtual_time
async def test_a_refusal_that_quotes_the_answer_shows_none_of_it() -> None:
    bench, source = await at_a_gateway()
    told = Success(Generation("It was the gnu, with a spanner.", "tiny", "stored"))
    for detail in ("no: It was the gnu, with", [{"loc": ["body"], "msg": "It was the gnu, with a spanner."}]):
        bench.gateway.fail(Step.UPDATE_RESULT, Reply(422, {}, json.dumps({"detail": detail}).encode()))
        verdict = await source.settle(SUCCESS._replace(outcome=told))
        assert verdict.ruling is Ruling.DEAD_LETTER
        assert "quotes the result" in verdict.reason
        assert "gnu" not in verdict.reason
    await bench.client.aclose()


@pytest.mark.parametrize("job", [{}, {"job_id": None, "model": "m"}, {"job_id": ""}, {"job_id": ["a"]}])
def test_a_job_that_nobody_could_answer_is_told_of_and_dropped(job: dict[str, object]) -> None:
    @in_virtual_time
    async def test() -> None:
        bench, source = await at_a_gateway()
        bench.gateway.jobs.append({**job, "api_key": API_KEY})
        assert await source.claim() is None
        (notice,) = bench.events.of(Notice)
        assert ("job_id" in notice.text, notice.node) == (True, "n1")
        await bench.client.aclose()

    test()


@in_virtual_time
async def test_a_job_that_cannot_run_is_claimed_all_the_same() -> None:
    bench, source = await at_a_gateway()
    bench.gateway.jobs.append({"job_id": "j1", "messages": []})
    job = await source.claim()
    assert job is not None
    assert isinstance(job.payload, MalformedPayload)
    await bench.client.aclose()


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        (BrokenReply("cut"), TryLater),
        (TimedOut("late"), TryLater),
        (Reply(200, {}, b"<html>"), TryLater),
        (said(500), TryLater),
        (said(429), TryLater),
        (said(400), SessionLost),
        (said(302), StepFault),
        (said(404), StepRefused),
        (said(422), StepRefused),
    ],
    ids=str,
)
def test_a_poll_that_fails(fault: Reply, error: type[Exception]) -> None:
    @in_virtual_time
    async def test() -> None:
        bench, source = await at_a_gateway()
        bench.gateway.fail(Step.POLL, fault)
        with pytest.raises(error):
            await source.claim()
        assert bench.gateway.count(Step.POLL) == 1
        if error is SessionLost:
            assert bench.client.lost
        else:
            assert await source.claim() is None
        await bench.client.aclose()

    test()


@pytest.mark.parametrize(
    ("faults", "ruling", "sent"),
    [
        ([], Ruling.OK, 1),
        ([said(409)], Ruling.ALREADY, 1),
        ([said(401)], Ruling.OK, 2),
        ([said(400)], Ruling.OK, 2),
        ([said(400), said(400)], Ruling.DEAD_LETTER, 2),
        ([said(403), said(401)], Ruling.SESSION_LOST, 2),
        ([said(401), said(503)], Ruling.RETRY, 2),
        ([said(404)], Ruling.DEAD_LETTER, 1),
        ([said(410)], Ruling.DEAD_LETTER, 1),
        ([said(413)], Ruling.DEAD_LETTER, 1),
        ([said(422)], Ruling.DEAD_LETTER, 1),
        ([said(418)], Ruling.DEAD_LETTER, 1),
        ([said(500)], Ruling.RETRY, 1),
        ([said(408)], Ruling.RETRY, 1),
        ([said(302)], Ruling.FAULT, 1),
        ([Reply(422, {}, b"<html>")], Ruling.RETRY, 1),
        ([Reply(200, {}, b"<html>")], Ruling.RETRY, 1),
        ([BrokenReply("cut")], Ruling.RETRY, 1),
    ],
    ids=str,
)
def test_a_result_is_sent_once_but_for_a_renewal(faults: list[Reply], ruling: Ruling, sent: int) -> None:
    @in_virtual_time
    async def test() -> None:
        for result in (SUCCESS, FAILURE):
            bench, source = await at_a_gateway()
            bench.gateway.fail(Step.UPDATE_RESULT, *faults)
            verdict = await source.settle(result)
            assert verdict.ruling is ruling
            assert bench.gateway.count(Step.UPDATE_RESULT) == sent
            await bench.client.aclose()

    test()


@in_virtual_time
async def test_without_a_session_a_result_is_not_taken() -> None:
    bench = Bench()
    source = GatewaySource(bench.client, bench.events, "0.0.4")
    verdict = await source.settle(SUCCESS)
    assert verdict == Verdict(Ruling.SESSION_LOST, "the node has no session")
    await bench.client.aclose()


@in_virtual_time
async def test_poll_and_result_have_times_of_their_own() -> None:
    bench, source = await at_a_gateway()
    bench.gateway.latency_s = dict.fromkeys(Step, 100.0)
    with pytest.raises(TryLater, match="3 s"):
        await source.claim()
    assert "4 s" in (await source.settle(SUCCESS)).reason
    await bench.client.aclose()


@in_virtual_time
async def test_what_the_gateway_repeats_is_masked() -> None:
    bench, source = await at_a_gateway()
    token = bench.gateway.asked[-1].token
    bench.gateway.fail(Step.UPDATE_RESULT, said(404, {"detail": f"no job for {API_KEY} with {token}"}))
    assert (await source.settle(SUCCESS)).reason == "HTTP 404: no job for *** with ***"
    repeated = [{"loc": ["body"], "msg": "bad", "input": {"result": "hi", "api_key": API_KEY}}]
    bench.gateway.fail(Step.UPDATE_RESULT, said(422, {"detail": repeated}))
    assert (await source.settle(SUCCESS)).reason == "HTTP 422: body bad"
    bench.gateway.fail(Step.POLL, said(503, {"detail": token}))
    with pytest.raises(TryLater, match=r"^HTTP 503: \*\*\*$"):
        await source.claim()
    await bench.client.aclose()


NOT_RENEWED = False


class Unrenewing:
    """A session that cannot renew: it passes on what the answer comes to."""

    node_id = NodeId("n1")
    source_id = SourceId("s")

    def __init__(self, status: int) -> None:
        self.status = status

    async def call(self, call: Call[J], still_wanted: object = None) -> J:
        return call.judge(said(self.status), NOT_RENEWED)


@in_virtual_time
async def test_a_renewal_that_was_not_made_is_a_lost_session() -> None:
    source = GatewaySource(Unrenewing(401), RecordingSink(), "0.0.4")
    with pytest.raises(SessionLost):
        await source.claim()
    assert (await source.settle(SUCCESS)).ruling is Ruling.SESSION_LOST
