from __future__ import annotations

import pytest

from node.domain import events as ev
from node.domain.states import Session
from node.observability.bus import EventBus
from node.observability.metrics import Metrics
from node.observability.metrics_subscriber import MetricsSubscriber
from node.observability.model_names import OTHER, ModelNames
from tests.unit.observability.sample_events import EVENTS, KEY, NODE
from tests.unit.observability.test_metrics import counted, value

VLLM = {"engine": "vllm", "model": "m"}


def test_engine_calls_become_rates_times_speeds_and_tokens() -> None:
    metrics, told = counted(*EVENTS)
    assert told == []
    assert value(metrics, "engine_requests_total", {**VLLM, "outcome": "success"}) == 1
    assert value(metrics, "engine_requests_total", {**VLLM, "outcome": "overload"}) == 1
    assert value(metrics, "engine_request_duration_seconds_count", {"engine": "ollama", "outcome": "error"}) == 1
    assert value(metrics, "engine_first_token_seconds_sum", VLLM) == 0.5
    assert value(metrics, "engine_output_tokens_per_second_sum", VLLM) == 50
    assert value(metrics, "engine_prompt_tokens_total", VLLM) == 40
    assert value(metrics, "engine_output_tokens_total", VLLM) == 100


def test_answers_are_counted_by_why_they_ended_and_refusals_apart_from_failures() -> None:
    reasons = ["stop", "length", "length", "tool_calls", "made up", None]
    answers = [ev.EngineCalled("vllm", "m", 1.0, 5, first_token_s=0.5, finish_reason=reason) for reason in reasons]
    others = [
        ev.EngineCalled("vllm", "m", 1.0, None),
        ev.EngineCalled("vllm", "m", 1.0, None, "too long", is_refusal=True),
        ev.EngineCalled("vllm", "m", 1.0, None, "broke off", first_token_s=0.5),
    ]
    metrics, _ = counted(ev.ModelsAnnounced(NODE, ("m",)), *answers, *others)
    told = dict.fromkeys(("stop", "unknown"), 1.0) | {"length": 2.0, "other": 2.0}
    for reason, count in told.items():
        assert value(metrics, "engine_finishes_total", {"engine": "vllm", "reason": reason}) == count
    assert value(metrics, "engine_requests_total", {**VLLM, "outcome": "refusal"}) == 1
    assert value(metrics, "engine_requests_total", {**VLLM, "outcome": "error"}) == 1


def test_models_rules_and_fallbacks_are_counted() -> None:
    metrics, _ = counted(*EVENTS)
    ollama = {"engine": "ollama", "model": "m"}
    assert value(metrics, "model_changes_total", {**ollama, "action": "load", "outcome": "success"}) == 1
    assert value(metrics, "model_changes_total", {**ollama, "action": "pull", "outcome": "error"}) == 1
    assert value(metrics, "model_change_duration_seconds_sum", {"engine": "ollama", "action": "load"}) == 3
    assert value(metrics, "model_pull_completed_bytes", ollama) == 10
    assert value(metrics, "model_pull_size_bytes", ollama) == 4_000
    assert value(metrics, "fallbacks_total", {"model": "m"}) == 1
    assert value(metrics, "rules_broken_total", {"rule": "max_messages"}) == 1


def test_one_state_of_a_circuit_is_set_at_a_time() -> None:
    states = ["open", "open", "half-open", "open", "half-open", "closed"]
    metrics = Metrics()
    bus = EventBus()
    bus.attach(MetricsSubscriber(metrics, 1))
    bus.emit(ev.ModelsAnnounced(NODE, ("m",)))
    for state in states:
        bus.emit(ev.BreakerChanged("vllm", "m", state))
        shown = {
            name: value(metrics, "breaker_state", {**VLLM, "state": name}) for name in ("open", "half-open", "closed")
        }
        assert {name for name, is_set in shown.items() if is_set} == {state}
    assert value(metrics, "breaker_openings_total", VLLM) == 2


def test_renewals_are_grants_after_the_first() -> None:
    metrics, _ = counted(*(ev.SessionChanged(NODE, Session.VALID, generation) for generation in (1, 2, 3)))
    assert value(metrics, "session_renewals_total") == 2


def test_job_time_is_told_by_outcome() -> None:
    metrics, _ = counted(*EVENTS, ev.JobEnded(KEY, "stored", "m", 2.0, None))
    assert value(metrics, "job_duration_seconds_count", {"executor": "stored", "outcome": "success"}) == 2
    assert value(metrics, "job_duration_seconds_count", {"executor": "none", "outcome": "error"}) == 1


def test_a_flood_of_models_makes_few_series() -> None:
    metrics = Metrics(max_models=3)
    bus = EventBus()
    bus.attach(MetricsSubscriber(metrics, 1))
    for number in range(100):
        bus.emit(ev.EngineCalled("vllm", f"m{number}", 1.0, 10))
        bus.emit(ev.BreakerChanged("vllm", f"m{number}", "open"))
    assert value(metrics, "engine_output_tokens_total", {"engine": "vllm", "model": OTHER}) == 970
    assert value(metrics, "engine_output_tokens_total", {"engine": "vllm", "model": "m2"}) == 10
    assert value(metrics, "engine_output_tokens_total", {"engine": "vllm", "model": "m3"}) is None
    assert value(metrics, "breaker_state", {"engine": "vllm", "model": OTHER, "state": "open"}) == 97


@pytest.mark.parametrize("most", [0, 1, 2])
def test_names_once_let_through_stay(most: int) -> None:
    names = ModelNames(most)
    assert names.label("") == ""
    labels = [names.label(name, works=True) for name in ("a", "b", "c", "a", "b", "c")]
    assert labels[:3] == labels[3:]
    assert labels.count(OTHER) == 2 * (3 - most)


def test_names_that_others_make_up_take_no_label_and_no_series() -> None:
    metrics = Metrics(max_models=3)
    bus = EventBus()
    bus.attach(MetricsSubscriber(metrics, 1))
    refused = [ev.EngineCalled("vllm", f"made-up-{number}", 0.1, None, "no such model") for number in range(10_000)]
    for event in refused[:100]:
        bus.emit(event)
    few = len(metrics.exposition().splitlines())
    for event in refused[100:]:
        bus.emit(event)
        bus.emit(ev.BreakerChanged("vllm", event.model, "open"))
        bus.emit(ev.BreakerChanged("vllm", event.model, "closed"))
        bus.emit(ev.FellBack(event.model, "m", "its circuit is open"))
        bus.emit(ev.ModelMoved("vllm", event.model, "pull", 1.0, "not found"))
        bus.emit(ev.ModelPulling("vllm", event.model, 1, 2))
        bus.emit(ev.RuleBroken("max_messages", event.model))
    assert len(metrics.exposition().splitlines()) < few + 100
    bus.emit(ev.ModelsAnnounced(NODE, ("real",)))
    bus.emit(ev.EngineCalled("vllm", "real", 0.1, None, "out of memory"))
    bus.emit(ev.EngineCalled("vllm", "found", 0.1, 5))
    for model, outcome in (("real", "error"), ("found", "success")):
        labels = {"engine": "vllm", "model": model, "outcome": outcome}
        assert value(metrics, "engine_requests_total", labels) == 1
    labels = {"engine": "vllm", "model": OTHER, "outcome": "error"}
    assert value(metrics, "engine_requests_total", labels) == 10_000
