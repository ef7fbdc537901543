"""The alerts fire when they should and name what is there; so does the dashboard."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.deploy.exposition import faults, full_metrics
from tests.deploy.tools import DEPLOY, ROOT, run

ALERTS = DEPLOY / "prometheus/alerts.yaml"
RULES = {rule["alert"]: rule for group in yaml.safe_load(ALERTS.read_text())["groups"] for rule in group["rules"]}
DASHBOARD = json.loads((DEPLOY / "grafana/dashboard.json").read_text())

PLACE = 'instance="a",job="llm-node"'
OTHER = 'instance="b",job="llm-node"'
HEALTHY = {
    f"up{{{PLACE}}}": "1+0x160",
    f"up{{{OTHER}}}": "1+0x160",
    f"llm_node_uptime_seconds{{{PLACE}}}": "0+60x160",
    f"llm_node_ready{{{PLACE}}}": "1+0x160",
    f'llm_node_nodes{{{PLACE},life="running"}}': "1+0x160",
    f'llm_node_nodes{{{PLACE},life="draining"}}': "0+0x160",
    f"llm_node_last_poll_age_seconds{{{PLACE}}}": "3+0x160",
    f"llm_node_slots{{{PLACE}}}": "4+0x160",
    f"llm_node_slots_used{{{PLACE}}}": "1+0x160",
    f'llm_node_held{{{PLACE},reason="paused"}}': "0+0x160",
    f'llm_node_held{{{PLACE},reason="memory"}}': "0+0x160",
    f'llm_node_held{{{PLACE},reason="disk"}}': "0+0x160",
    f'llm_node_held{{{PLACE},reason="engine"}}': "0+0x160",
    f'llm_node_held{{{PLACE},reason="gpu-busy"}}': "0+0x160",
    f'llm_node_held{{{PLACE},reason="back-off"}}': "0+0x160",
    f"llm_node_event_loop_lag_seconds{{{PLACE}}}": "0.01+0x160",
    f"llm_node_crashes_total{{{PLACE}}}": "0+0x160",
    f"llm_node_auth_healthy{{{PLACE}}}": "1+0x160",
    f'llm_node_jobs_finished_total{{{PLACE},executor="ollama",outcome="success"}}': "0+10x160",
    f'llm_node_jobs_finished_total{{{PLACE},executor="ollama",outcome="error"}}': "0+1x160",
    f"llm_node_jobs_lost_total{{{PLACE}}}": "0+0x160",
    f"llm_node_outbox_oldest_age_seconds{{{PLACE}}}": "2+0x160",
    f'llm_node_results_total{{{PLACE},outcome="refused"}}': "1+0x160",
    f"llm_node_results_unsafe_total{{{PLACE}}}": "0+0x160",
    f"llm_node_disk_free_bytes{{{PLACE}}}": "90000000000+0x160",
    f'llm_node_events_dropped_total{{{PLACE},outlet="kafka"}}': "0+0x160",
    f'llm_node_engine_available{{{PLACE},engine="ollama"}}': "1+0x160",
    f'llm_node_breaker_state{{{PLACE},engine="ollama",model="m",state="open"}}': "0+0x160",
    f'llm_node_engine_requests_total{{{PLACE},engine="ollama",model="m",outcome="success"}}': "0+100x160",
    f'llm_node_engine_requests_total{{{PLACE},engine="ollama",model="m",outcome="overload"}}': "0+1x160",
    f'llm_node_engine_first_token_seconds_bucket{{{PLACE},engine="ollama",model="m",le="1.0"}}': "0+9x160",
    f'llm_node_engine_first_token_seconds_bucket{{{PLACE},engine="ollama",model="m",le="80.0"}}': "0+9x160",
    f'llm_node_engine_first_token_seconds_bucket{{{PLACE},engine="ollama",model="m",le="+Inf"}}': "0+9x160",
    f'llm_node_model_changes_total{{{PLACE},engine="ollama",model="m",action="pull",outcome="error"}}': "0+0x160",
}
"""A sample a minute."""

SICK = {
    "LLMNodeDown": {"up{" + PLACE: "0+0x160"},
    "LLMNodeAbsent": {"up{" + PLACE: "_x160", "up{" + OTHER: "_x160"},
    "LLMNodeGone": {"up{" + OTHER: "1+0x120 _x40"},
    "LLMNodeRestarts": {"llm_node_uptime": " ".join(["0+60x9"] * 16)},
    "LLMNodeNotReady": {"llm_node_ready{": "0+0x160"},
    "LLMNodeNotPolling": {"llm_node_last_poll": "400+60x160"},
    "LLMNodePaused": {'reason="paused"': "1+0x160"},
    "LLMNodeResting": {'reason="memory"': "1+0x160"},
    "LLMNodeLoopSlow": {"loop_lag": "3+0x160"},
    "LLMNodeCrashes": {"crashes_total": "0+1x160"},
    "LLMNodeAuthDown": {"auth_healthy": "0+0x160"},
    "LLMNodeJobsFail": {'executor="ollama",outcome="error"': "0+10x160"},
    "LLMNodeJobsLost": {"jobs_lost_total": "0+1x160"},
    "LLMNodeOutboxStuck": {"oldest_age": "0+60x160"},
    "LLMNodeResultsRefused": {"results_total": "1+1x160"},
    "LLMNodeDiskFails": {'reason="disk"': "1+0x160"},
    "LLMNodeDiskLow": {"disk_free": "500000000+0x160"},
    "LLMNodeEventsDropped": {"events_dropped": "0+5x160"},
    "LLMNodeEngineDown": {"engine_available": "0+0x160"},
    "LLMNodeBreakerOpen": {'state="open"': "1+0x160"},
    "LLMNodeEngineOverloaded": {'outcome="overload"': "0+50x160"},
    "LLMNodeFirstTokenSlow": {'le="1.0"': "0+1x160"},
    "LLMNodeModelChangesFail": {"model_changes": "0+1x160"},
}
"""What is not healthy, for each alert: a part of a series' name, and its values."""


def scenario(changes: dict[str, str], expected: list[str]) -> dict[str, Any]:
    values = dict(HEALTHY)
    for part, changed in changes.items():
        (series,) = [name for name in HEALTHY if part in name]
        values[series] = changed
    return {
        "interval": "1m",
        "input_series": [{"series": name, "values": value} for name, value in values.items()],
        "promql_expr_test": [
            {
                "expr": 'count by (alertname) (ALERTS{alertstate="firing"})',
                "eval_time": "2h30m",
                "exp_samples": [{"labels": f'{{alertname="{name}"}}', "value": 1} for name in expected],
            }
        ],
    }


def judge(tmp_path: Path, *scenarios: dict[str, Any]) -> None:
    shutil.copy(ALERTS, tmp_path / "alerts.yaml")
    tests = {"rule_files": ["alerts.yaml"], "evaluation_interval": "5m", "tests": list(scenarios)}
    (tmp_path / "tests.yaml").write_text(yaml.safe_dump(tests))
    run("promtool", "test", "rules", tmp_path / "tests.yaml")


def test_the_rules_and_the_configuration_are_prometheus_own() -> None:
    run("promtool", "check", "rules", ALERTS)
    run("promtool", "check", "config", DEPLOY / "prometheus/prometheus.yaml")


def test_each_alert_fires_alone_for_what_it_is_about(tmp_path: Path) -> None:
    assert SICK.keys() == RULES.keys()
    judge(tmp_path, *(scenario(changes, [name]) for name, changes in SICK.items()))


def test_nothing_fires_while_all_is_well(tmp_path: Path) -> None:
    judge(tmp_path, scenario({}, []))


def test_a_node_that_drains_or_is_busy_alarms_nobody(tmp_path: Path) -> None:
    draining = {"llm_node_ready{": "0+0x160", 'life="draining"': "1+0x160", 'life="running"': "0+0x160"}
    busy = {"llm_node_last_poll": "0+60x160", "llm_node_slots_used": "4+0x160"}
    elsewhere = {"llm_node_ready{": "0+0x160", "llm_node_last_poll": "0+60x160", 'reason="gpu-busy"': "1+0x160"}
    judge(tmp_path, scenario(draining, []), scenario(busy, []), scenario(elsewhere, []))


def test_a_node_is_not_asked_to_poll_while_it_is_held_back(tmp_path: Path) -> None:
    idle = {"llm_node_ready{": "0+0x160", "llm_node_last_poll": "0+60x160"}
    paused = scenario({**idle, 'reason="paused"': "1+0x160"}, ["LLMNodePaused"])
    down = scenario(
        {**idle, "engine_available": "0+0x160", 'reason="engine"': "1+0x160"}, ["LLMNodeEngineDown", "LLMNodeNotReady"]
    )
    silent = scenario({**idle, 'reason="back-off"': "1+0x160"}, ["LLMNodeNotPolling", "LLMNodeNotReady"])
    judge(tmp_path, paused, down, silent)


@pytest.mark.parametrize("name", RULES)
def test_an_alert_names_what_nodes_tell(name: str) -> None:
    assert not faults(RULES[name]["expr"])


@pytest.mark.parametrize("name", RULES)
def test_an_alert_says_how_bad_it_is_and_where_the_runbook_is(name: str) -> None:
    rule = RULES[name]
    assert rule["labels"]["severity"] in {"critical", "warning", "info"}
    assert rule["annotations"]["summary"]
    page, _, anchor = rule["annotations"]["runbook_url"].partition("#")
    assert anchor == name.lower()
    assert f"\n### {name}\n" in (ROOT / page).read_text()


def queries() -> Iterator[tuple[str, str]]:
    for panel in DASHBOARD["panels"]:
        for target in panel.get("targets", ()):
            yield panel["title"], target["expr"]
    for variable in DASHBOARD["templating"]["list"]:
        for name in re.findall(r"label_values\((\w+)", str(variable["query"])):
            yield variable["name"], name


def test_the_dashboard_names_what_nodes_tell() -> None:
    found = [(title, fault) for title, query in queries() for fault in faults(query)]
    assert not found
    assert len(list(queries())) > 40


def test_the_dashboards_queries_are_promql(tmp_path: Path) -> None:
    texts = [query.replace("$__rate_interval", "5m").replace("$instance", ".*") for _, query in queries()]
    assert not [text for text in texts if "$" in text]
    rules = [{"record": f"panel:{number}", "expr": text} for number, text in enumerate(texts)]
    (tmp_path / "panels.yaml").write_text(yaml.safe_dump({"groups": [{"name": "panels", "rules": rules}]}))
    run("promtool", "check", "rules", tmp_path / "panels.yaml")


def test_the_dashboards_panels_lie_beside_each_other() -> None:
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])
    taken: set[tuple[int, int]] = set()
    for panel in DASHBOARD["panels"]:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken
        assert max(x for x, _ in cells) < 24
        taken |= cells


@pytest.mark.parametrize(
    "query",
    [
        "llm_node_no_such_thing > 0",
        'llm_node_held{colour="red"}',
        'llm_node_held{reason="hunger"}',
        "sum by (colour) (llm_node_polls_total)",
        "llm_node_polls",
    ],
)
def test_a_query_for_what_is_not_there_is_found(query: str) -> None:
    assert faults(query)


def test_promtool_takes_the_exposition() -> None:
    run("promtool", "check", "metrics", stdin=full_metrics().exposition().decode())
