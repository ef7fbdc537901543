from __future__ import annotations

from collections.abc import Mapping
from typing import get_args

from prometheus_client.parser import text_string_to_metric_families

from node.domain import events as ev
from node.domain.ids import NodeId
from node.domain.results import Points
from node.domain.states import Life, LifeInput
from node.observability.bus import EventBus
from node.observability.metrics import Metrics
from node.observability.metrics_subscriber import MetricsSubscriber
from tests.unit.observability.sample_events import EVENTS, NODE


def counted(*events: ev.Event, fleet: int = 3, per_node: bool = False) -> tuple[Metrics, list[str]]:
    metrics, told = Metrics(per_node=per_node), list[str]()
    bus = EventBus(told.append)
    bus.attach(MetricsSubscriber(metrics, fleet))
    for event in events:
        bus.emit(event)
    return metrics, told


def value(metrics: Metrics, name: str, labels: Mapping[str, str] | None = None) -> float | None:
    return metrics.registry.get_sample_value(f"llm_node_{name}", dict(labels or {}))


def test_every_kind_that_can_be_counted_is() -> None:
    uncounted = set(get_args(ev.Event)) - set(MetricsSubscriber(Metrics(), 0).handlers())
    assert uncounted == {ev.HoldsChanged, ev.Notice}


def test_events_become_figures() -> None:
    metrics, told = counted(*EVENTS)
    assert told == []
    assert value(metrics, "polls_total", {"outcome": "job"}) == 1
    assert value(metrics, "polls_total", {"outcome": "none"}) == 1
    assert value(metrics, "polls_total", {"outcome": "failed"}) == 1
    assert value(metrics, "poll_duration_seconds_count") == 2
    assert value(metrics, "step_duration_seconds_count", {"step": "register", "outcome": "error"}) == 1
    assert value(metrics, "step_retries_total", {"step": "register"}) == 1
    assert value(metrics, "jobs_received_total") == 1
    assert value(metrics, "jobs_finished_total", {"executor": "stored", "outcome": "success"}) == 1
    assert value(metrics, "jobs_finished_total", {"executor": "none", "outcome": "error"}) == 1
    assert value(metrics, "output_tokens_total", {"executor": "stored"}) == 12
    assert value(metrics, "results_total", {"outcome": "accepted"}) == 1
    assert value(metrics, "results_total", {"outcome": "already there"}) == 1
    assert value(metrics, "results_total", {"outcome": "refused"}) == 1
    assert value(metrics, "jobs_lost_total") == 1
    assert value(metrics, "points") == 12.5
    assert value(metrics, "auth_healthy") == 1
    assert value(metrics, "proxy_checks_total", {"outcome": "error"}) == 1
    assert value(metrics, "engine_available", {"engine": "ollama"}) == 0
    assert value(metrics, "engine_request_duration_seconds_count", {"engine": "ollama", "outcome": "success"}) == 1
    assert value(metrics, "job_phase_seconds_count", {"phase": "first_token"}) == 2
    assert value(metrics, "job_phase_seconds_sum", {"phase": "load"}) == 2
    assert value(metrics, "crashes_total") == 2
    assert value(metrics, "node_jobs_total", {"node": NODE, "outcome": "success"}) is None


def test_a_nodes_report_of_its_proxy_is_counted_but_has_no_time() -> None:
    metrics, _ = counted(ev.ProxyChecked("http://a:1", 0.25), ev.ProxyChecked("http://a:1", 0.0, "node-1: it failed"))
    assert value(metrics, "proxy_checks_total", {"outcome": "error"}) == 1
    assert value(metrics, "proxy_check_duration_seconds_count") == 1


def test_nodes_are_counted_where_they_stand() -> None:
    metrics, _ = counted(
        ev.LifeChanged(NODE, Life.NEW, LifeInput.START, Life.STARTING),
        ev.LifeChanged(NODE, Life.STARTING, LifeInput.READY, Life.RUNNING),
        ev.LifeChanged(NodeId("node-2"), Life.NEW, LifeInput.START, Life.STARTING),
    )
    assert {life.value: value(metrics, "nodes", {"life": life.value}) for life in Life} == {
        "new": 1,
        "starting": 1,
        "running": 1,
        "recovering": 0,
        "draining": 0,
        "stopped": 0,
        "failed": 0,
    }


def test_points_are_the_fleets_last() -> None:
    metrics, _ = counted(
        ev.PointsChecked(NODE, Points(10, 10)),
        ev.PointsChecked(NodeId("node-2"), Points(5, 5)),
        ev.PointsChecked(NODE, Points(12, 12)),
    )
    assert value(metrics, "points") == 17


def test_nodes_are_labels_only_where_asked_for() -> None:
    metrics, _ = counted(*EVENTS, per_node=True)
    assert value(metrics, "node_jobs_total", {"node": NODE, "outcome": "success"}) == 1
    assert value(metrics, "node_points", {"node": NODE}) == 12.5
    assert value(metrics, "node_running", {"node": NODE}) == 0


def test_the_exposition_is_well_formed_and_its_labels_are_few() -> None:
    metrics, _ = counted(*EVENTS)
    families = list(text_string_to_metric_families(metrics.exposition().decode()))
    assert all(family.documentation.endswith(".") for family in families if not family.name.endswith("_created"))
    labels = {label for family in families for sample in family.samples for label in sample.labels}
    assert labels <= {"life", "state", "outcome", "step", "executor", "engine", "le"} | {
        "model",
        "action",
        "phase",
        "reason",
        "rule",
        "version",
        "python",
        "worker",
    }


def test_two_programs_in_one_process_do_not_share_figures() -> None:
    one, _ = counted(*EVENTS)
    two, _ = counted()
    assert value(one, "crashes_total") == 2
    assert value(two, "crashes_total") == 0
