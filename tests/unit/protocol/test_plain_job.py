from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.domain.ids import JobId
from node.domain.jobs import ChatPayload, Job, Message
from node.domain.secret import Secret
from node.protocol import translate
from node.protocol.messages import PollReply
from node.protocol.plain_job import plain_job
from node.protocol.routes import Step
from node.protocol.verdict import judge

USUAL: dict[str, Any] = {
    "job_id": "a",
    "api_key": "key",
    "model": "llama3.1:latest",
    "messages": [{"role": "system", "content": ""}, {"role": "user", "content": "Name a river."}],
    "max_output": 16,
    "temperature": 0.5,
}

texts = st.text(alphabet=st.characters(codec="utf-8"), max_size=4)
values = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(allow_nan=False, allow_infinity=False),
    texts,
    st.just([]),
    st.just({}),
)
turns = st.one_of(
    values, st.fixed_dictionaries({}, optional={"role": st.one_of(texts, values), "content": st.one_of(texts, values)})
)
jobs = st.fixed_dictionaries(
    {},
    optional={
        "job_id": st.one_of(texts, values),
        "api_key": st.one_of(texts, values),
        "model": st.one_of(texts, values),
        "messages": st.one_of(st.lists(turns, max_size=3), st.just(USUAL["messages"]), values),
        "max_output": st.one_of(st.integers(-2, 2**54), values),
        "temperature": st.one_of(st.floats(), values),
        "request_timeout_time": values,
        "more": values,
    },
)


def read_with_care(body: bytes) -> Job | None:
    message = judge(Step.POLL, 200, {}, body).message
    assert isinstance(message, PollReply | None)
    return translate.job(message.job_data) if message is not None and message.job_data is not None else None


def wire(job: object) -> bytes:
    return json.dumps({"job_data": job}, ensure_ascii=False).encode("utf-8", "surrogatepass")


def test_the_usual_job_is_read() -> None:
    assert plain_job(wire(USUAL)) == Job(
        job_id=JobId("a"),
        payload=ChatPayload(
            model="llama3.1:latest",
            messages=(Message("system", ""), Message("user", "Name a river.")),
            max_output=16,
            temperature=0.5,
        ),
        receipt={translate.API_KEY: Secret("key")},
    )


@given(st.builds(lambda usual, odd: {**usual, **odd}, st.one_of(st.just(USUAL), st.just({})), jobs))
def test_what_is_read_is_what_careful_reading_makes_of_it(job: dict[str, Any]) -> None:
    plain = plain_job(wire(job))
    assert plain is None or plain == read_with_care(wire(job))


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"null",
        b'"job_data"',
        b"{}",
        b'{"job_data": null}',
        b'{"job_data": "job_id"}',
        b'{"job_data": [1]}',
        b"<html></html>",
        wire({**USUAL, "model": "\ud800"}),
        wire({**USUAL, "temperature": float("nan")}),
        wire({**USUAL, "temperature": True}),
        wire({**USUAL, "max_output": True}),
        wire({**USUAL, "max_output": 0}),
        wire({**USUAL, "messages": [{"role": "user", "content": " \n"}]}),
        wire({**USUAL, "request_timeout_time": 240}),
        wire({**USUAL, "more": "x" * 60_000}),
    ],
)
def test_anything_else_is_left_to_careful_reading(body: bytes) -> None:
    assert plain_job(body) is None
