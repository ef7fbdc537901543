from __future__ import annotations

import pytest

from node.domain.ids import AccountId, NodeId
from node.domain.secret import Secret
from node.sandbox.nodes import NodeRecord, Nodes
from node.sandbox.policy import KnownIdentity, SandboxPolicy
from node.sandbox.refusals import SecretDenied
from tests.unit.sandbox.building import SECRET

A, B = NodeId("a"), NodeId("b")
CLOSED = SandboxPolicy(open_registration=False, node_secrets={A: Secret("right")})


def test_the_first_secret_is_remembered_but_not_in_clear() -> None:
    nodes = Nodes(SandboxPolicy(), SECRET)
    record = nodes.check_secret(A, Secret("first"))
    assert record.proof
    assert "first" not in record.proof
    assert nodes.check_secret(A, Secret("first")) is record
    with pytest.raises(SecretDenied):
        nodes.check_secret(A, Secret("other"))
    assert nodes.check_secret(B, Secret("other")).proof != record.proof


def test_an_empty_secret_is_denied() -> None:
    with pytest.raises(SecretDenied):
        Nodes(SandboxPolicy(), SECRET).check_secret(A, Secret(""))


def test_closed_registration_takes_listed_nodes_only() -> None:
    nodes = Nodes(CLOSED, SECRET)
    nodes.check_secret(A, Secret("right"))
    with pytest.raises(SecretDenied):
        nodes.check_secret(A, Secret("wrong"))
    with pytest.raises(SecretDenied):
        nodes.check_secret(B, Secret("right"))
    with pytest.raises(SecretDenied):
        nodes.register(B, "", 0)
    assert nodes.register(A, "", 0).registered


def test_a_listed_secret_counts_in_open_registration_too() -> None:
    nodes = Nodes(SandboxPolicy(node_secrets={A: Secret("right")}), SECRET)
    with pytest.raises(SecretDenied):
        nodes.check_secret(A, Secret("wrong"))
    nodes.check_secret(A, Secret("right"))


@pytest.mark.parametrize(
    ("node", "pub_key", "account", "holds"),
    [
        (A, "key", "acc", True),
        (A, "other", "acc", False),
        (A, "key", "other", False),
        (B, "anything", "anyone", True),
        (B, "", "anyone", False),
        (B, "anything", "", False),
    ],
)
def test_identities_hold_unless_another_one_is_known(node: NodeId, pub_key: str, account: str, holds: bool) -> None:
    policy = SandboxPolicy(identities={A: KnownIdentity("key", AccountId("acc"))})
    assert Nodes(policy, SECRET).identity_holds(node, pub_key, account) is holds


def test_uptime_counts_from_sign_to_sign_and_a_gap_for_one_lease_at_most() -> None:
    nodes = Nodes(SandboxPolicy(lease_s=100, points_per_minute=6, points_per_job=1), SECRET)
    record = nodes.register(A, "", 10)
    nodes.seen(record, 20)
    assert record.uptime_s == 10
    nodes.seen(record, 1020)
    assert record.uptime_s == 110
    nodes.leave(record, 1030)
    nodes.seen(record, 1090)
    assert record.uptime_s == 120
    nodes.register(A, "", 1100)
    nodes.register(A, "", 1130)
    assert record.uptime_s == 150
    record.succeeded = 2
    assert nodes.points(record) == pytest.approx(2 + 15)


def test_a_clock_that_goes_back_takes_no_uptime_away() -> None:
    nodes = Nodes(SandboxPolicy(), SECRET)
    record = nodes.register(A, "", 10)
    nodes.seen(record, 5)
    assert record.uptime_s == 0


def test_a_node_is_active_while_it_shows_itself() -> None:
    nodes = Nodes(SandboxPolicy(active_s=30), SECRET)
    record = nodes.register(A, "", 0)
    nodes.offer(record, ("m",))
    assert nodes.is_active(record, 30)
    assert not nodes.is_active(record, 31)
    assert nodes.another_offers("m", [B], 0)
    assert not nodes.another_offers("m", [A], 0)
    assert not nodes.another_offers("x", [B], 0)
    assert not nodes.another_offers("m", [B], 31)
    nodes.leave(record, 1)
    assert not nodes.is_active(record, 1)
    assert len(nodes) == 1


def test_who_offers_a_model_is_known_without_looking_at_all_nodes() -> None:
    nodes = Nodes(SandboxPolicy(active_s=30), SECRET)
    records = [nodes.register(NodeId(f"n-{number}"), "", 0) for number in range(5)]
    for record in records:
        nodes.offer(record, ("m", "x"))
    nodes.seen(records[1], 20)
    nodes.seen(records[3], 25)
    assert nodes.another_offers("m", [records[3].node_id], 50)
    assert not nodes.another_offers("m", [records[3].node_id], 51)
    assert not nodes.another_offers("m", [records[1].node_id, records[3].node_id], 50)
    nodes.offer(records[3], ("x",))
    assert not nodes.another_offers("m", [], 51)
    assert nodes.another_offers("x", [], 51)
    nodes.leave(records[3], 51)
    assert not nodes.another_offers("x", [], 52)
    nodes.register(records[3].node_id, "", 60)
    assert nodes.another_offers("x", [], 61)


def test_a_restored_node_offers_what_it_did() -> None:
    nodes = Nodes(SandboxPolicy(active_s=30), SECRET)
    nodes.restore(NodeRecord(A, models=("m",), registered=True), 0)
    nodes.restore(NodeRecord(B, models=("n",)), 0)
    assert nodes.another_offers("m", [], 1)
    assert not nodes.another_offers("n", [], 1)
