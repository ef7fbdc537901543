from __future__ import annotations

import random
from typing import get_args

import pytest

from node.domain.errors import InvalidInput
from node.sandbox.bugs import BUGS, Bug, BugKind, Bugs, parse_bugs
from node.sandbox.policy import SandboxPolicy, dump_policy, load_policy


def test_bugs_are_read_with_and_without_a_share() -> None:
    assert parse_bugs(["lose-result=0.05", "double-accept", "starve = 50%"]) == (
        Bug("lose-result", 0.05),
        Bug("double-accept"),
        Bug("starve", 0.5),
    )
    assert parse_bugs([]) == ()


@pytest.mark.parametrize("share", ["", "x", "0", "-0.1", "1.01", "101%", "nan", "inf", "1e999", "5%%"])
def test_a_share_lies_above_0_and_up_to_1(share: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        parse_bugs([f"lose-result={share}"])
    assert "share" in caught.value.faults[0].problem


def test_all_mistakes_are_told_at_once_with_what_may_be_meant() -> None:
    with pytest.raises(InvalidInput) as caught:
        parse_bugs(["lose-results", "double-accept", "double-accept=0.5", "=1", "starve=2"], "--sandbox-fault")
    faults = caught.value.faults
    assert [fault.place for fault in faults] == [
        "--sandbox-fault lose-results",
        "--sandbox-fault double-accept=0.5",
        "--sandbox-fault =1",
        "--sandbox-fault starve=2",
    ]
    assert "lose-result" in faults[0].remedy
    assert "twice" in faults[1].problem
    assert "swap-result" in faults[2].remedy


@pytest.mark.parametrize("kind", get_args(BugKind))
def test_each_bug_is_explained_and_survives_the_way_to_the_child(kind: BugKind) -> None:
    assert "Ledger" in BUGS[kind] or kind in {"stale-token", "forget-node", "false-conflict"}
    policy = SandboxPolicy(bugs=(Bug(kind, 0.25),))
    assert load_policy(dump_policy(policy)) == policy
    assert parse_bugs([str(Bug(kind, 0.25)), str(Bug("starve" if kind != "starve" else "lose-job"))])[0].kind == kind


def test_a_document_with_an_unknown_bug_is_refused() -> None:
    for bug in ('{"kind": "nonsense"}', '{"kind": "starve", "share": 0}'):
        with pytest.raises(InvalidInput):
            load_policy(f'{{"bugs": [{bug}]}}')


def test_a_value_out_of_its_bounds_is_none() -> None:
    with pytest.raises(ValueError, match="kind"):
        Bug("nonsense")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="share"):
        Bug("starve", 1.5)


def test_strikes_come_from_the_seed_in_their_share_and_are_counted() -> None:
    def draws(seed: int) -> list[bool]:
        bugs = Bugs([Bug("lose-result", 0.2), Bug("starve")], random.Random(seed))
        struck = [bugs.strikes("lose-result") for _ in range(2000)]
        assert not bugs.strikes("double-accept")
        assert bugs.strikes("starve")
        assert bugs.report() == [
            {"kind": "lose-result", "share": 0.2, "occasions": 2000, "struck": sum(struck)},
            {"kind": "starve", "share": 1.0, "occasions": 1, "struck": 1},
        ]
        return struck

    assert draws(1) == draws(1) != draws(2)
    # Five standard deviations of a binomial distribution.
    assert abs(sum(draws(1)) - 400) < 5 * (2000 * 0.2 * 0.8) ** 0.5


def test_a_bug_that_was_not_planted_or_always_strikes_takes_no_chance() -> None:
    source = random.Random(1)
    before = source.getstate()
    bugs = Bugs([Bug("starve")], source)
    assert (bugs.strikes("lose-result"), bugs.strikes("starve")) == (False, True)
    assert (bugs.has("lose-result"), bugs.has("starve")) == (False, True)
    assert source.getstate() == before
