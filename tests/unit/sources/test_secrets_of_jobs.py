"""Secrets that come with jobs are known to the logs before anything is said of them."""

from __future__ import annotations

import json

import pytest

from node.domain.ids import JobId, JobKey, NodeId, SourceId
from node.domain.results import Failure, FinishedJob
from node.domain.secret import Secret
from node.domain.verdict import Ruling, Verdict
from node.observability.redaction import Redactor
from node.ports.calls import Call, J
from node.ports.transport import Reply
from node.sources.gateway import GatewaySource
from tests.support.events import RecordingSink
from tests.unit.gateway.scripted_gateway import said

KEY = "the-developers-own-key"
USUAL = {"model": "m", "messages": [{"role": "user", "content": "hi"}], "max_output": 5, "temperature": 0.5}
FINISHED = FinishedJob(
    JobKey(SourceId("s"), NodeId("n"), JobId("j")), Failure("no messages", "m"), 1.0, 2.0, {"api_key": Secret(KEY)}
)


class Session:
    """A session that knows from the start what comes, and notes what the logs would show by then."""

    node_id = NodeId("n")
    source_id = SourceId("s")

    def __init__(self, redactor: Redactor, reply: Reply) -> None:
        self._redactor = redactor
        self._reply = reply
        self.shown = ""

    async def call(self, call: Call[J], still_wanted: object = None) -> J:
        self.shown = self._redactor.redact(KEY)
        fresh = False
        return call.judge(self._reply, fresh)


def source(reply: Reply) -> tuple[GatewaySource, Session, Redactor]:
    redactor = Redactor()
    session = Session(redactor, reply)
    made = GatewaySource(session, RecordingSink(), "0.0.4", remember=redactor.remember, redact=redactor.redact)
    return made, session, redactor


@pytest.mark.parametrize("rest", [USUAL, {"messages": None}], ids=["usual", "malformed"])
async def test_the_key_of_a_job_is_masked_from_its_claim_on(rest: dict[str, object]) -> None:
    data = {"job_id": "j", "api_key": KEY, **rest}
    polled, _, redactor = source(said(200, {"job_data": data}))
    assert redactor.redact(KEY) == KEY
    job = await polled.claim()
    assert job is not None
    assert job.receipt["api_key"].reveal() == KEY
    assert redactor.redact(KEY) == "***"


async def test_the_key_of_a_result_from_the_disk_is_masked_before_it_is_sent() -> None:
    settling, session, _ = source(said(200, {"status": "ok"}))
    assert (await settling.settle(FINISHED)).ruling is Ruling.OK
    assert session.shown == "***"


@pytest.mark.parametrize(("detail", "kept"), [("no", "HTTP 404: no"), (f"no {KEY.encode().hex()}", "HTTP 404: no ***")])
async def test_why_a_result_was_refused_is_masked_before_it_is_kept(detail: str, kept: str) -> None:
    settling, _, _ = source(Reply(404, {"content-type": "application/json"}, json.dumps({"detail": detail}).encode()))
    assert await settling.settle(FINISHED) == Verdict(Ruling.DEAD_LETTER, kept)
