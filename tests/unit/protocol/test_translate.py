"""Jobs as gateways really send them, and results as they are sent back."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.domain.identity import Hardware, Identity, NodeSpec
from node.domain.ids import AccountId, JobId, JobKey, NodeId, SourceId
from node.domain.jobs import ChatPayload, Job, MalformedPayload, Message
from node.domain.results import Embeddings, Failure, FinishedJob, Generation, Points, Success
from node.domain.secret import Secret
from node.domain.verdict import Ruling
from node.protocol import translate
from node.protocol.messages import JobData, PointsReply, PollReply, ResultUpdate
from node.protocol.routes import Step
from node.protocol.verdict import judge

GOOD: dict[str, Any] = {
    "job_id": "j1",
    "api_key": "key",
    "model": "llama3.1:latest",
    "messages": [{"role": "system", "content": "be brief"}, {"role": "user", "content": "hello"}],
    "max_output": 100,
    "temperature": 0.5,
}


def received(data: dict[str, Any]) -> Job | None:
    """The job in a poll's reply with this ``job_data``."""
    judged = judge(Step.POLL, 200, {}, json.dumps({"job_data": data}).encode())
    assert judged.verdict.ruling is Ruling.OK
    assert isinstance(judged.message, PollReply)
    assert judged.message.job_data is not None
    return translate.job(judged.message.job_data)


def payload(**changes: Any) -> ChatPayload | MalformedPayload:
    job = received({**GOOD, **changes})
    assert job is not None
    assert job.job_id == "j1"
    return job.payload


def test_a_whole_job() -> None:
    job = received(GOOD)
    messages = (Message("system", "be brief"), Message("user", "hello"))
    assert job == Job(
        job_id=JobId("j1"),
        payload=ChatPayload("llama3.1:latest", messages, max_output=100, temperature=0.5),
        receipt={translate.API_KEY: Secret("key")},
    )


def test_unknown_fields_are_ignored() -> None:
    assert payload(priority=5, nested={"a": [1]}) == payload()


@pytest.mark.parametrize(
    ("sent", "taken"),
    [(None, None), (0, None), (-1, None), (1, 1), (12.7, 12), ("12", None), (True, None), ([], None), (1e300, None)],
)
def test_max_output(sent: object, taken: int | None) -> None:
    job = payload(max_output=sent)
    assert isinstance(job, ChatPayload)
    assert job.max_output == taken


@pytest.mark.parametrize(
    ("sent", "taken"),
    [(None, None), (0, 0.0), (1.5, 1.5), (-1, -1.0), ("0.7", None), (False, None), ({}, None)],
)
def test_temperature(sent: object, taken: float | None) -> None:
    job = payload(temperature=sent)
    assert isinstance(job, ChatPayload)
    assert job.temperature == taken


@pytest.mark.parametrize("field", ["max_output", "temperature", "api_key"])
def test_a_field_may_be_absent(field: str) -> None:
    job = received({name: value for name, value in GOOD.items() if name != field})
    assert job is not None
    assert isinstance(job.payload, ChatPayload)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"model": None}, "names no model"),
        ({"model": ""}, "names no model"),
        ({"model": ["llama"]}, "names no model"),
        ({"messages": None}, "no messages"),
        ({"messages": []}, "no messages"),
        ({"messages": "hello"}, "no messages"),
        ({"messages": {"role": "user", "content": "x"}}, "no messages"),
        ({"messages": [None]}, "lacks its role or its content"),
        ({"messages": ["hello"]}, "lacks its role or its content"),
        ({"messages": [{"content": "x"}]}, "lacks its role or its content"),
        ({"messages": [{"role": "", "content": "x"}]}, "lacks its role or its content"),
        ({"messages": [{"role": "user"}]}, "lacks its role or its content"),
        ({"messages": [{"role": "user", "content": None}]}, "lacks its role or its content"),
        ({"messages": [{"role": "user", "content": [{"type": "text"}]}]}, "lacks its role or its content"),
        ({"messages": [*GOOD["messages"], 7]}, "lacks its role or its content"),
        ({"messages": [{"role": "user", "content": ""}]}, "last message is empty"),
        ({"messages": [{"role": "user", "content": " \n\t"}]}, "last message is empty"),
    ],
)
def test_a_job_that_cannot_run_says_why_and_can_be_answered(changes: dict[str, Any], reason: str) -> None:
    job = received({**GOOD, **changes})
    assert job is not None
    assert isinstance(job.payload, MalformedPayload)
    assert reason in job.payload.reason
    assert job.receipt == {translate.API_KEY: Secret("key")}


def test_a_job_with_nothing_but_an_id_can_be_answered() -> None:
    job = received({"job_id": "j1"})
    assert job == Job(JobId("j1"), MalformedPayload("", "the job names no model"))


@pytest.mark.parametrize("job_id", [None, "", [], {}, True, 1.5])
def test_a_job_without_an_id_is_none(job_id: object) -> None:
    assert received({**GOOD, "job_id": job_id}) is None


def test_a_job_id_may_be_a_number() -> None:
    job = received({**GOOD, "job_id": 17})
    assert job is not None
    assert job.job_id == "17"


def test_an_early_message_may_be_empty() -> None:
    job = payload(messages=[{"role": "system", "content": ""}, {"role": "user", "content": "x", "name": "n"}])
    assert isinstance(job, ChatPayload)
    assert job.messages == (Message("system", ""), Message("user", "x"))


def test_a_prompt_of_five_megabytes() -> None:
    job = payload(messages=[{"role": "user", "content": "x" * 5_000_000}])
    assert isinstance(job, ChatPayload)
    assert len(job.prompt) == 5_000_000


ANYTHING = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | st.lists(st.integers())


@given(st.fixed_dictionaries({}, optional=dict.fromkeys([*GOOD, "other"], ANYTHING)))
def test_no_job_makes_the_reply_unreadable(data: dict[str, Any]) -> None:
    job = received(data)
    assert job is None or isinstance(job.payload, ChatPayload | MalformedPayload)


KEY = JobKey(SourceId("http://gateway"), NodeId("n1"), JobId("j1"))


def finished(outcome: Success | Failure) -> dict[str, Any]:
    job = FinishedJob(KEY, outcome, 1.0, 2.0, {translate.API_KEY: Secret("key")})
    body = json.loads(translate.result_update(job).to_wire())
    assert isinstance(body, dict)
    return body


def test_a_success() -> None:
    assert finished(Success(Generation("hi", "llama3.1:latest", "ollama"))) == {
        "job_id": "j1",
        "api_key": "key",
        "model_name": "llama3.1:latest",
        "result": {"message": {"role": "assistant", "content": "hi"}},
        "status": "success",
    }


def test_a_success_tells_what_the_engine_told() -> None:
    made = Generation("hi", "m", "ollama", 7, 3, "half of \ud83d", first_token_s=0.12345, tokens_per_s=41.678)
    assert finished(Success(made))["result"]["usage"] == {
        "prompt_tokens": 7,
        "output_tokens": 3,
        "first_token_ms": 123.5,
        "tokens_per_s": 41.68,
        "finish_reason": "half of ?",
    }


def test_embeddings_are_not_the_gateways() -> None:
    with pytest.raises(TypeError, match="Embeddings"):
        finished(Success(Embeddings(((0.5,),), "m", "ollama")))


@pytest.mark.parametrize(
    ("sent", "taken"), [(60, 57.0), (240, 230.0), (0, None), (-1, None), (None, None), ("60", None), (1e400, None)]
)
def test_a_job_is_done_a_little_before_the_asker_leaves(sent: object, taken: float | None) -> None:
    found = translate.job(JobData.model_validate({"job_id": "j", "request_timeout_time": sent}))
    assert found is not None
    assert found.time_limit_s == taken


def test_a_failure_says_why_and_has_no_content() -> None:
    assert finished(Failure("no engine", "m")) == {
        "job_id": "j1",
        "api_key": "key",
        "model_name": "m",
        "result": {"message": {"role": "assistant", "content": ""}, "error": "no engine"},
        "status": "error",
    }


def test_a_result_without_a_receipt_is_sent_all_the_same() -> None:
    job = FinishedJob(KEY, Failure("why", ""), 1.0, 2.0)
    assert json.loads(translate.result_update(job).to_wire())["api_key"] == ""


@pytest.mark.parametrize("text", ["naïve 漢字 🙂", "half of \ud83d an emoji", "\x00\x1f\u2028", '"\\'])
def test_any_text_can_be_sent(text: str) -> None:
    sent = finished(Success(Generation(text, "m", "ollama")))["result"]["message"]["content"]
    assert sent == text.replace("\ud83d", "?")
    assert finished(Failure(text, "m"))["result"]["error"] == sent


def test_the_bodies_of_the_other_steps() -> None:
    spec = NodeSpec(
        Identity(NodeId("n1"), Secret("s3cret"), AccountId("a1"), "pub"),
        Hardware(ram_mb=16000, cpu_cores=8, vram_mb=24000, gpu="RTX", os="Linux"),
        ("a", "b"),
    )
    assert json.loads(translate.secret_check(spec).to_wire()) == {"node_id": "n1", "secret": "s3cret"}
    assert json.loads(translate.identity_check(spec).to_wire()) == {
        "node_id": "n1",
        "pub_key": "pub",
        "account_id": "a1",
    }
    assert json.loads(translate.registration(spec, "0.0.4").to_wire()) == {
        "node_url": "n1",
        "node_version": "0.0.4",
        "stats": {"ram": 16000, "cpu": 8, "vram": 24000, "gpu": "RTX", "os": "Linux"},
    }
    assert json.loads(translate.models_update(spec, ("x",)).to_wire()) == {"node_url": "n1", "models": ["x"]}
    assert json.loads(translate.leaving(spec).to_wire()) == {"node_url": "n1"}
    assert translate.points(PointsReply(points=1.5, pointsraw=2)) == Points(1.5, 2)


def test_secrets_are_not_in_what_is_printed() -> None:
    update = ResultUpdate.model_validate(finished(Success(Generation("answer", "m", "ollama"))))
    assert "key" not in repr(update).replace("api_key", "")
    assert "answer" not in repr(update)


@pytest.mark.parametrize("message", ["hi", {"content": "hi"}, {"role": "assistant", "content": "hi", "more": 1}])
def test_a_result_may_be_read_as_bare_text(message: object) -> None:
    body = {
        "job_id": "j",
        "api_key": "",
        "model_name": "m",
        "result": {"message": message, "x": 1},
        "status": "success",
    }
    update = ResultUpdate.model_validate(body)
    assert update.result.message.content == "hi"
    assert json.loads(update.to_wire())["result"]["x"] == 1
