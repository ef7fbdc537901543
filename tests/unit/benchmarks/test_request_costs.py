"""Ratios are those of one round, and never flatter."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from benchmarks import request_costs
from benchmarks.figures import Spread
from benchmarks.peers.found import Peer, Peers, find_peers
from benchmarks.request_costs import LOADS, contenders, found, kinds
from benchmarks.turns import Turn, Window

PEERS = Peers(
    Peer("locust", ("locust",), "2.47.0"), Peer("autocannon", ("node",), "9"), Peer("wrk", ("wrk",), "4"), Peer("httpx")
)
EVERYBODY = contenders(PEERS)


def turns(**costs_us: Sequence[float | str]) -> dict[str, list[Turn | str]]:
    """Turns of everybody at 100 µs a request, but for those named (with _ for the dot)."""
    made: dict[str, list[Turn | str]] = {}
    for each in EVERYBODY:
        costs = costs_us.get(each.key.replace(".", "_"), [100.0, 100.0])
        made[each.key] = [cost if isinstance(cost, str) else Turn((Window(5.0, cost),)) for cost in costs]
    return made


def test_the_ratio_is_to_the_faster_way_of_the_same_round() -> None:
    made = found(
        EVERYBODY,
        turns(
            jobs_node_loop_50=[10, 20],
            jobs_node_loop_200=[10, 20],
            jobs_locust_bare_50=[60, 200],
            jobs_locust_checked_50=[90, 130],
        ),
    )
    # 60 / 10 and 130 / 20 with 50 users, 100 / 10 and 100 / 20 with 200.
    assert made["node_loop.ratio_vs_locust_fast"] == Spread(6.25, 6.125, 6.375, 2)


def test_of_two_numbers_of_users_the_worse_ratio_counts() -> None:
    made = found(EVERYBODY, turns(jobs_node_loop_50=[10, 10], jobs_node_loop_200=[25, 25]))
    ratio = made["node_loop.ratio_vs_locust_fast"]
    assert isinstance(ratio, Spread)
    assert ratio.median == 4


def test_without_one_way_of_locust_there_is_no_ratio_to_the_faster() -> None:
    made = found(EVERYBODY, turns(jobs_locust_bare_200=["it ended by itself", "it ended by itself"]))
    assert made["node_loop.ratio_vs_locust_fast"] == "it ended by itself"
    assert isinstance(made["node_loop.ratio_vs_locust_checked"], Spread)


def test_a_round_in_which_somebody_failed_is_left_out() -> None:
    made = found(EVERYBODY, turns(jobs_autocannon_200=[50, "broken"], jobs_node_loop_200=[100, 1]))
    assert made["node_loop.ratio_vs_autocannon"] == Spread(0.5, 0.5, 0.5, 1)


def test_every_figure_is_announced_and_every_announced_one_is_found() -> None:
    assert list(found(EVERYBODY, turns())) == [
        *(kind.name for kind in kinds(EVERYBODY) if kind.name.startswith("requests.")),
        *(kind.name for kind in kinds(EVERYBODY) if not kind.name.startswith("requests.")),
    ]


def test_everybody_has_a_name_of_their_own_and_nodes_work_under_each_load() -> None:
    keys = [each.key for each in EVERYBODY]
    assert len(set(keys)) == len(keys)
    assert {each.load for each in EVERYBODY if each.name == "node_loop"} == set(LOADS)


def test_peers_that_are_not_here_say_so(monkeypatch: pytest.MonkeyPatch, tmp_path: object) -> None:
    monkeypatch.setenv("BENCH_VENV", f"{tmp_path}/venv")
    monkeypatch.setenv("PATH", f"{tmp_path}")
    peers = find_peers()
    everybody = contenders(peers)
    missing = {each.name for each in everybody if isinstance(each.client, str)} - {"node_interpreted"}
    assert missing == {"locust_bare", "locust_checked", "autocannon", "wrk"}
    assert peers.versions["locust"] is None
    ran = Turn((Window(5.0, 10.0),))
    none = {each.key: [each.client if isinstance(each.client, str) else ran] for each in everybody}
    assert "Locust is missing" in str(request_costs.found(everybody, none)["node_loop.ratio_vs_locust_fast"])
