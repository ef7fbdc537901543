"""When all has settled, and what the gateway is asked on the way there."""

from __future__ import annotations

import asyncio

from node.domain.errors import BrokenReply
from node.domain.ids import JobId, NodeId
from node.domain.secret import Secret
from node.loadtest.audit.book import Book
from node.loadtest.audit.views import Said
from node.loadtest.driver.policy import DriverPolicy
from node.loadtest.driver.settling import Settling
from node.loadtest.driver.target import Target
from node.loadtest.driver.testimony import ask_for_results
from node.ports.transport import Reply, Request
from tests.support.virtual_time import VirtualClock, in_virtual_time

NODE = NodeId("n")


class Gateway:
    """Answers for results; each job has its own answers, the last one again and again."""

    def __init__(self, **answers: list[Reply | None]) -> None:
        self.answers = answers
        self.asked: list[str] = []
        self.most_at_once = 0
        self._now = 0

    async def exchange(self, request: Request, timeout_s: float) -> Reply:
        job = request.url.rpartition("/")[2]
        self.asked.append(job)
        self._now += 1
        self.most_at_once = max(self.most_at_once, self._now)
        await asyncio.sleep(0.1)
        self._now -= 1
        answers = self.answers[job]
        answer = answers.pop(0) if len(answers) > 1 else answers[0]
        if answer is None:
            raise BrokenReply("cut")
        return answer

    async def aclose(self) -> None:
        pass


PENDING = Reply(404, {}, b"{}")
DONE = Reply(200, {}, b'{"status": "success", "result": {"message": {"content": "x"}}, "model_name": "m"}')
FAILED = Reply(200, {}, b'{"status": "error", "result": {"message": {"content": ""}, "error": "no"}}')


def target(gateway: Gateway) -> Target:
    return Target(gateway, "http://gateway.test", Secret("key"))


def book(*jobs: str, model: str = "m") -> Book:
    made = Book()
    for job in jobs:
        made.submitted(JobId(job), model, 0.0, 0.0)
    return made


@in_virtual_time
async def test_results_are_asked_for_some_at_a_time_and_again_when_that_fails() -> None:
    jobs = [f"j{number}" for number in range(20)]
    made, answers = book(*jobs), {job: [DONE] for job in jobs}
    gateway = Gateway(**answers | {"j0": [PENDING], "j1": [None, DONE], "j2": [FAILED], "j3": [None]})
    await ask_for_results(made, list(map(JobId, jobs)), target(gateway), DriverPolicy(ask_at_once=4))
    said = [made.view(JobId(job)).said for job in jobs[:5]]
    assert said == [Said.PENDING, Said.SUCCESS, Said.ERROR, Said.UNASKED, Said.SUCCESS]
    assert made.view(JobId("j4")).stored_model == "m"
    assert gateway.most_at_once == 4
    assert gateway.asked.count("j3") == 3


@in_virtual_time
async def test_what_is_pending_now_is_not_the_last_word() -> None:
    made = book("a")
    await ask_for_results(made, [JobId("a")], target(Gateway(a=[PENDING])), DriverPolicy(), is_last_word=False)
    assert made.view(JobId("a")).said is Said.UNASKED


def settling(made: Book, gateway: Gateway, models: set[str] | None = None, copies: int = 1) -> Settling:
    async def ask(jobs: list[JobId]) -> None:
        await ask_for_results(made, jobs, target(gateway), DriverPolicy(), is_last_word=False)

    return Settling(made, lambda: {"m"} if models is None else models, ask, VirtualClock(), copies=copies)


@in_virtual_time
async def test_jobs_that_nodes_know_to_be_done_need_no_question() -> None:
    made, gateway = book("a", "b"), Gateway()
    it = settling(made, gateway)
    for job in ("a", "b"):
        it.submitted(JobId(job))
        made.claimed(JobId(job), NODE, 1.0)
        made.accepted(JobId(job), NODE, 2.0, already=False)
    assert await it.is_over()
    assert gateway.asked == []


@in_virtual_time
async def test_a_job_whose_node_never_heard_is_known_to_the_gateway() -> None:
    made, gateway = book("a"), Gateway(a=[PENDING, DONE])
    it = settling(made, gateway)
    it.submitted(JobId("a"))
    assert not await it.is_over()
    assert not await it.is_over()
    assert gateway.asked == ["a"]
    await asyncio.sleep(3)
    assert await it.is_over()
    assert await it.is_over()
    assert gateway.asked == ["a", "a"]


@in_virtual_time
async def test_a_job_for_two_nodes_is_open_until_both_are_done_or_the_gateway_shows_its_result() -> None:
    made, gateway = book("a", "b"), Gateway(a=[PENDING], b=[DONE])
    it = settling(made, gateway, copies=2)
    for job in ("a", "b"):
        it.submitted(JobId(job))
        made.accepted(JobId(job), NODE, 2.0, already=False)
    assert not await it.is_over()
    made.accepted(JobId("a"), NodeId("another"), 3.0, already=False)
    assert await it.is_over()


@in_virtual_time
async def test_what_nobody_offers_is_not_waited_for() -> None:
    made = book("a", model="other")
    it = settling(made, Gateway())
    it.submitted(JobId("a"))
    assert await it.is_over()


@in_virtual_time
async def test_many_open_jobs_are_not_asked_for_one_by_one() -> None:
    jobs = [f"j{number}" for number in range(600)]
    made, gateway = book(*jobs), Gateway()
    it = settling(made, gateway)
    for job in jobs:
        it.submitted(JobId(job))
    assert not await it.is_over()
    assert gateway.asked == []
