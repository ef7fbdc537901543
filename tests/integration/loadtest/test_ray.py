"""Load tests over a Ray cluster of two nodes."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.loadtest.shards.in_a_net_of_its_own import needs_ray, run_in_net

pytestmark = [pytest.mark.slow, pytest.mark.proof, pytest.mark.timeout(110)]


@pytest.fixture(scope="module")
def found() -> dict[str, Any]:
    needs_ray()
    runs: dict[str, Any] = run_in_net("tests.integration.loadtest.ray_runs", timeout_s=100)
    return runs


def test_two_nodes_make_one_run(found: dict[str, Any]) -> None:
    run = found["in peace"]
    assert run["audit"]["jobs"]["submitted"] == 80
    assert run["audit"]["jobs"]["claimed"] == 80
    assert run["audit"]["jobs"]["answered"] == 80
    assert run["audit"]["verdict"] == "clean"
    assert run["most_nodes"] == 10
    assert run["defects"] == []
    assert not [reason for reason in run["reasons"] if "lost" in reason]


def test_a_node_that_dies_is_told_of_and_the_run_is_void(found: dict[str, Any]) -> None:
    run = found["one dies"]
    assert run["verdict"] == "void"
    (reason,) = [reason for reason in run["reasons"] if "lost" in reason]
    assert "of 2 was lost: its actor died" in reason
    assert "the 5 nodes that it ran count as crashed" in reason
    assert run["counts"]["crashed"] == 5
    assert any("was lost" in mark for mark in run["marks"])
    # Half of the jobs were the dead machine's to submit: nobody is accused for what is not known of them.
    assert 0 < run["audit"]["jobs"]["submitted"] < 80
    assert run["audit"]["verdict"] == "clean"
    assert run["audit"]["findings"]["phantom"]["count"] is None


def test_nothing_of_ray_is_left(found: dict[str, Any]) -> None:
    assert found["left"] == []
