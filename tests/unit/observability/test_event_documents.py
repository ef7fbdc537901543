from __future__ import annotations

import json
from typing import get_args

from node.domain import events as ev
from node.domain.states import Life, LifeInput
from node.observability.event_documents import FORMS, Documents, is_trouble
from tests.unit.observability.conftest import FixedClock
from tests.unit.observability.sample_events import EVENTS, KEY, NODE

UNTOLD = {
    ev.JobProfiled,
    ev.HoldsChanged,
    ev.PollStarted,
    ev.PollEnded,
    ev.PollFailed,
    ev.StepEnded,
    ev.StepRetried,
    ev.ResultDelayed,
    ev.PointsChecked,
    ev.ProxyChecked,
    ev.ProxyAssigned,
    ev.EngineCalled,
    ev.ModelPulling,
    ev.Notice,
}


def documents(word: str = "never there") -> Documents:
    return Documents("box-7", FixedClock(), lambda text: text.replace(word, "***"))


def test_every_kind_is_told_or_left_out_on_purpose() -> None:
    assert set(FORMS) == set(get_args(ev.Event)) - UNTOLD
    assert len({form.type for form in FORMS.values()}) == len(FORMS)


def test_every_document_is_json_with_the_same_head() -> None:
    for event in EVENTS:
        if type(event) in FORMS:
            document = json.loads(json.dumps(documents().of(event), allow_nan=False))
            assert list(document)[:5] == ["v", "type", "at", "worker", "node"]
            assert (document["v"], document["worker"]) == (1, "box-7")
            assert document["type"] == FORMS[type(event)].type


def test_a_finished_job_says_all_but_what_was_said() -> None:
    event = ev.JobEnded(KEY, "ollama", "m", 0.5, 12, prompt_tokens=30, first_token_s=0.1)
    assert documents().of(event) == {
        "v": 1,
        "type": "job.finished",
        "at": FixedClock().now,
        "worker": "box-7",
        "node": NODE,
        "job": KEY.job,
        "source": KEY.source,
        "outcome": "success",
        "executor": "ollama",
        "model": "m",
        "took_s": 0.5,
        "prompt_tokens": 30,
        "output_tokens": 12,
        "first_token_s": 0.1,
        "finish_reason": None,
        "error": "",
    }
    assert documents().of(ev.JobEnded(KEY, "", "m", 0.5, None, "full"))["outcome"] == "error"


def test_texts_pass_the_mask_and_events_of_no_node_say_so() -> None:
    event = ev.EngineChanged("ollama", available=False, reason="token hunter2 refused")
    document = documents("hunter2").of(event)
    assert document["reason"] == "token *** refused"
    assert document["node"] is None
    assert "job" not in document


def test_trouble_is_what_somebody_should_look_at() -> None:
    troubled = {FORMS[type(event)].type for event in EVENTS if is_trouble(event)}
    assert troubled == {
        "node.life",
        "node.crash",
        "job.finished",
        "job.refused",
        "job.unsafe",
        "job.lost",
        "engine.changed",
        "engine.breaker",
        "auth.changed",
        "model.moved",
    }
    assert not is_trouble(ev.LifeChanged(NODE, Life.STARTING, LifeInput.READY, Life.RUNNING))
    assert not is_trouble(ev.JobEnded(KEY, "ollama", "m", 0.5, 1))
    assert not is_trouble(ev.EngineChanged("ollama", available=True, reason=""))
