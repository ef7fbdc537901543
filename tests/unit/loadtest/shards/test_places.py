"""What every way to run shards must keep to: processes, actors of a Ray cluster, a folder that is shared."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.loadtest.shards.in_a_net_of_its_own import needs_ray, run_in_net
from tests.unit.loadtest.shards.places import CASES, PLACES, CameBack

Cases = dict[str, CameBack]


@pytest.fixture(scope="module")
def of_ray() -> Cases:
    """All cases on one machine's Ray, in a process of their own: Ray is a part of whatever process it is used in."""
    needs_ray()
    found = run_in_net("tests.unit.loadtest.shards.places", timeout_s=85)
    return {
        name: CameBack(
            {int(index): tuple(times) for index, times in one["records"].items()},
            {int(index): (nodes, why) for index, (nodes, why) in one["lost"].items()},
            one["failure"],
        )
        for name, one in found.items()
    }


@pytest.fixture(
    params=[*PLACES, pytest.param("ray", marks=[pytest.mark.slow, pytest.mark.proof, pytest.mark.timeout(100)])]
)
def place(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


async def came_back(case: str, place: str, path: Path, request: pytest.FixtureRequest) -> CameBack:
    if place == "ray":
        found: Cases = request.getfixturevalue("of_ray")
        return found[case]
    return await PLACES[place](path, *CASES[case])


async def test_all_begin_at_one_time_and_their_records_come_back(
    place: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    found = await came_back("all come back", place, tmp_path, request)
    assert found.failure == ""
    assert sorted(found.records) == [0, 1, 2]
    assert len({begun_at for begun_at, _, _ in found.records.values()}) == 1
    assert not found.lost


async def test_none_leaves_before_all_have_settled(place: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    found = await came_back("one is busy for longer", place, tmp_path, request)
    _, quick_settled_at, quick_left_at = found.records[0]
    _, slow_settled_at, slow_left_at = found.records[1]
    assert quick_settled_at < slow_settled_at
    assert min(quick_left_at, slow_left_at) >= slow_settled_at - 0.001


async def test_one_that_dies_is_lost_with_its_nodes_and_the_others_go_on(
    place: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    found = await came_back("one dies", place, tmp_path, request)
    assert list(found.records) == [0]
    nodes, why = found.lost[1]
    assert nodes == ["node-1"]
    assert why


async def test_where_one_cannot_begin_none_does(place: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    found = await came_back("one cannot begin", place, tmp_path, request)
    assert "no gateway" in found.failure
    assert not found.records
