"""Keys of a plan that are given on the command line."""

from __future__ import annotations

from pathlib import Path

import pytest

from node.domain.errors import InvalidInput
from node.loadtest.plan.model import Plan
from node.loadtest.plan.overrides import parse_override
from node.loadtest.plan.reading import read_scenario
from tests.unit.loadtest.plan.plans import SCENARIOS


def plan_with(*given: str) -> Plan:
    return read_scenario(SCENARIOS / "smoke.toml", "plan.toml", tuple(map(parse_override, given))).plan


def faults_of(*given: str) -> list[str]:
    with pytest.raises(InvalidInput) as caught:
        plan_with(*given)
    return [str(fault) for fault in caught.value.faults]


@pytest.mark.parametrize(
    "value",
    [
        '["p99.poll < 50ms", "jobs.lost == 0"]',
        "['p99.poll < 50ms', 'jobs.lost == 0']",
        ' [ "p99.poll < 50ms",\n "jobs.lost == 0", ] ',
    ],
)
def test_a_list_is_json_or_toml(value: str) -> None:
    assert list(map(str, plan_with(f"thresholds={value}").thresholds)) == ["p99.poll < 50ms", "jobs.lost == 0"]


def test_texts_need_no_quotes_and_numbers_are_numbers() -> None:
    plan = plan_with("duration=70s", "seed = 7", "warm_up=steady", "name=a=b", 'description="[1]"')
    assert (plan.duration_s, plan.seed, plan.warm_up_s) == (70, 7, None)
    assert (plan.name, plan.description) == ("a=b", "[1]")


@pytest.mark.parametrize("key", ["duration", "duration_s"])
def test_a_key_takes_the_place_of_the_same_key_with_its_unit(key: str) -> None:
    assert plan_with(f"{key}={'71s' if key == 'duration' else 71}").duration_s == 71


def test_tables_and_places_in_lists_are_reached_by_their_path() -> None:
    plan = plan_with("nodes.slots=3", "gateway.lease=7s", 'engine={"tokens_per_s": 0}', "jobs.arrivals[1].rate=3/s")
    assert (plan.nodes.slots, plan.gateway.lease_s) == (3, 7)
    assert plan.engine.model_dump()["tokens_per_s"]["value"] == 0
    assert plan.model_dump()["jobs"]["arrivals"][0]["rate_per_s"] == 3


def test_what_is_wrong_with_them_is_told_by_their_name() -> None:
    found = faults_of('thresholds=["p99.pol < 50ms"]', "nodes.slot=3", "duration=fast")
    assert len(found) == 3
    assert found[0].startswith("--plan-set [")
    assert {fault.partition("]:")[0] for fault in found} == {
        "--plan-set [duration",
        "--plan-set [thresholds[1]",
        "--plan-set [nodes.slot",
    }


@pytest.mark.parametrize("key", ["nodes.stages[99].to", "faults[99]", "duration.s", "name[1]"])
def test_what_is_not_there_cannot_be_replaced(key: str) -> None:
    assert f"--plan-set: the plan has no {key}".startswith(faults_of(f"{key}=1")[0].partition(" — ")[0])


@pytest.mark.parametrize("text", ["", "duration", "=3", "a b=3", "nodes.stages[0].to=3", "a..b=1", "[1]=2"])
def test_what_is_no_assignment_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput, match="not of the form key=value"):
        parse_override(text)


def test_what_is_nested_without_end_is_a_text() -> None:
    assert parse_override("name=" + "[" * 100_000).value == "[" * 100_000


def test_a_file_is_as_it_was(tmp_path: Path) -> None:
    before = plan_with()
    plan_with("duration=70s", "nodes.slots=2")
    assert plan_with() == before
