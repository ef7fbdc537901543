"""The stream of jobs, against a gateway that answers as it is told."""

from __future__ import annotations

import asyncio
import errno
from collections.abc import Iterator

import pytest

from node.domain.errors import BrokenReply, ConnectFailed, TimedOut, TransportError
from node.domain.ids import JobId
from node.domain.secret import Secret
from node.loadtest.driver.plan_time import PlanTime
from node.loadtest.driver.policy import DriverPolicy
from node.loadtest.driver.submitter import Submitter
from node.loadtest.driver.target import Target
from node.loadtest.plan.arrivals import Arrival
from node.ports.transport import Reply, Request
from node.runtime.tasks import TaskOwner
from tests.support.virtual_time import START, in_virtual_time


class Scripted:
    """A transport whose answers take a time, and are replies or errors."""

    def __init__(self, answer: Reply | TransportError, takes_s: float = 0.0) -> None:
        self.answer = answer
        self.takes_s = takes_s
        self.asked: list[tuple[float, Request]] = []

    async def exchange(self, request: Request, timeout_s: float) -> Reply:
        self.asked.append((asyncio.get_running_loop().time() - START, request))
        await asyncio.sleep(self.takes_s)
        if isinstance(self.answer, TransportError):
            raise self.answer
        return self.answer

    async def aclose(self) -> None:
        pass


class Told:
    def __init__(self) -> None:
        self.due = 0
        self.lags: list[float] = []
        self.jobs: list[tuple[JobId, str, float]] = []
        self.failures: list[tuple[str, bool]] = []
        self.failed_jobs: list[float] = []
        self.withheld_lags: list[float] = []

    def offered(self) -> None:
        self.due += 1

    def sent(self, late_s: float) -> None:
        self.lags.append(late_s)

    def taken(self, job: JobId, model: str, intended_at: float) -> None:
        self.jobs.append((job, model, intended_at))

    def withheld(self, late_s: float) -> None:
        self.withheld_lags.append(late_s)

    def failed(self, reason: str, intended_at: float, *, is_unconfirmed: bool) -> None:
        self.failures.append((reason, is_unconfirmed))
        self.failed_jobs.append(intended_at)


def arrivals(*times: float) -> Iterator[Arrival]:
    return (Arrival(at_s, number, "m", 3, 16) for number, at_s in enumerate(times))


def without_files() -> ConnectFailed:
    error = ConnectFailed("gateway:80: too many")
    error.__cause__ = OSError(errno.EMFILE, "?")
    return error


def ok(body: bytes = b'{"job_id": "j1"}', status: int = 200) -> Reply:
    return Reply(status, {}, body)


def plan_time() -> PlanTime:
    """A plan that began when the loop was made, at 1000 in Unix seconds."""
    loop = asyncio.get_running_loop()
    time = PlanTime(lambda: 1000.0 + loop.time() - START)
    time.begin(1000.0)
    return time


async def submit(
    transport: Scripted, *times: float, policy: DriverPolicy | None = None, stop_in_s: float | None = None
) -> Told:
    told, time = Told(), plan_time()
    tasks = TaskOwner(lambda crash: told.failures.append((crash.error, False)))
    target = Target(transport, "http://gateway.test/", Secret("key"))
    submitter = Submitter(target, tasks, told, policy or DriverPolicy())
    if stop_in_s is not None:
        asyncio.get_running_loop().call_later(stop_in_s, time.end)
    await submitter.run(arrivals(*times), time)
    await tasks.join()
    assert submitter.in_flight == 0
    return told


@in_virtual_time
async def test_each_job_goes_out_at_its_time_whatever_came_of_those_before() -> None:
    transport = Scripted(ok(), takes_s=10)
    told = await submit(transport, 0.5, 1.0, 1.0, 2.5)
    assert [at for at, _ in transport.asked] == pytest.approx([0.5, 1.0, 1.0, 2.5])
    assert told.due == 4
    assert told.lags == pytest.approx([0, 0, 0, 0], abs=1e-6)
    assert told.jobs == [(JobId("j1"), "m", 1000.0 + at) for at in (0.5, 1.0, 1.0, 2.5)]
    request = transport.asked[0][1]
    assert (request.method, request.url) == ("POST", "http://gateway.test/submit_job")
    assert ("api_key", "key") in request.headers
    assert request.body is not None
    assert b'"max_output":16' in request.body
    assert "key" not in repr(request)


@in_virtual_time
async def test_a_stream_that_is_behind_says_how_late_it_is() -> None:
    await asyncio.sleep(2)
    told = await submit(Scripted(ok()), 0.5, 1.5, 3.0)
    assert told.lags == pytest.approx([1.5, 0.5, 0.0], abs=1e-6)


@pytest.mark.parametrize(
    ("answer", "failure"),
    [
        (ConnectFailed("nobody"), ("ConnectFailed", False)),
        (without_files(), ("Too many open files", False)),
        (TimedOut("too late"), ("TimedOut", True)),
        (BrokenReply("cut"), ("BrokenReply", True)),
        (ok(b"{}", 429), ("HTTP 429", False)),
        (ok(b"<html>", 502), ("HTTP 502", True)),
        (ok(b"{}"), ("HTTP 200", True)),
    ],
)
def test_a_failure_tells_whether_the_gateway_may_have_the_job(
    answer: Reply | TransportError, failure: tuple[str, bool]
) -> None:
    @in_virtual_time
    async def check() -> None:
        told = await submit(Scripted(answer), 0.5)
        assert told.failures == [failure]
        assert told.failed_jobs == [1000.5]
        assert told.jobs == []

    check()


@in_virtual_time
async def test_what_is_too_many_in_flight_is_not_sent() -> None:
    transport = Scripted(ok(), takes_s=10)
    told = await submit(transport, 1, 2, 3, 15, policy=DriverPolicy(max_in_flight=2))
    assert [at for at, _ in transport.asked] == [1, 2, 15]
    assert (told.due, len(told.lags)) == (4, 3)
    assert told.withheld_lags == pytest.approx([0.0], abs=1e-6)


@in_virtual_time
async def test_a_stop_leaves_what_is_not_due_yet_out() -> None:
    told = await submit(Scripted(ok()), 1, 2, 3, 4, stop_in_s=2.5)
    assert (told.due, len(told.jobs)) == (2, 2)


@in_virtual_time
async def test_a_stop_counts_what_was_due_and_was_not_sent() -> None:
    await asyncio.sleep(5)
    stop_at_once = 0.0
    told = await submit(Scripted(ok()), *[1.0] * 100, 9.0, stop_in_s=stop_at_once)
    assert told.due == 100
    assert len(told.jobs) < 100


@in_virtual_time
async def test_a_submission_cut_off_may_have_reached_the_gateway() -> None:
    told = Told()
    tasks = TaskOwner(lambda _: None)
    target = Target(Scripted(ok(), takes_s=100), "http://gateway.test", Secret("key"))
    submitter = Submitter(target, tasks, told, DriverPolicy())
    await submitter.run(arrivals(1.0), plan_time())
    await asyncio.sleep(1)
    await tasks.cancel()
    assert told.failures == [("no answer before the end", True)]
    assert told.failed_jobs == [1001.0]
