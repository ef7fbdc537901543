"""Secrets that come with jobs are known to the logs before anything is said of them."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest

from node.app.links import _MaskedSource
from node.domain.ids import JobId, JobKey, NodeId, SourceId
from node.domain.jobs import Job, MalformedPayload
from node.domain.results import Failure, FinishedJob
from node.domain.secret import Secret
from node.domain.verdict import Ruling, Verdict
from node.gateway.deployment import Surroundings
from node.observability.redaction import Redactor
from tests.support.virtual_time import VirtualClock
from tests.unit.gateway.bench import Gate

KEY = "the-developers-own-key"


class Telling:
    """A source that knows from the start what it will say, and notes what the logs would show by then."""

    source_id = SourceId("http://gateway")

    def __init__(self, redact: Callable[[str], str], reason: str) -> None:
        self._redact = redact
        self._reason = reason
        self.shown = ""

    async def claim(self, still_wanted: Callable[[], bool] | None = None) -> Job | None:
        return Job(JobId("j"), MalformedPayload("m", "no messages"), receipt={"api_key": Secret(KEY)})

    async def settle(self, finished: FinishedJob) -> Verdict:
        self.shown = self._redact(KEY)
        return Verdict(Ruling.DEAD_LETTER, self._reason)


def masked(reason: str = "") -> tuple[_MaskedSource, Telling, Redactor]:
    redactor = Redactor()
    telling = Telling(redactor.redact, reason)
    around = Surroundings(
        *(Gate(), VirtualClock(), random.Random(1), Events()), remember=redactor.remember, redact=redactor.redact
    )
    return _MaskedSource(telling, around), telling, redactor


class Events:
    def emit(self, event: object, /) -> None:
        raise AssertionError(event)


def finished(receipt: Secret) -> FinishedJob:
    key = JobKey(SourceId("http://gateway"), NodeId("n"), JobId("j"))
    return FinishedJob(key, Failure("no messages", "m"), 1.0, 2.0, {"api_key": receipt})


async def test_the_key_of_a_job_is_masked_from_its_claim_on() -> None:
    source, _, redactor = masked()
    job = await source.claim()
    assert job is not None
    assert redactor.redact(KEY) == "***"


async def test_the_key_of_a_result_from_the_disk_is_masked_before_it_is_sent() -> None:
    source, telling, _ = masked()
    await source.settle(finished(Secret(KEY)))
    assert telling.shown == "***"


@pytest.mark.parametrize(("reason", "kept"), [("", ""), ("no", "no"), (f"no {KEY.encode().hex()}", "no ***")])
async def test_why_a_result_was_refused_is_masked_before_it_is_kept(reason: str, kept: str) -> None:
    source, _, _ = masked(reason)
    assert await source.settle(finished(Secret(KEY))) == Verdict(Ruling.DEAD_LETTER, kept)
