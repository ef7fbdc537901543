from __future__ import annotations

import json
import traceback
from pathlib import Path

import pytest

from node.domain.errors import InvalidInput
from node.domain.ids import AccountId, NodeId
from node.domain.secret import Secret
from node.sandbox.policy import (
    FaultRule,
    KnownIdentity,
    Prompt,
    SandboxPolicy,
    WorkloadPolicy,
    dump_policy,
    load_policy,
)

FULL = SandboxPolicy(
    data_dir=Path("/data"),
    open_registration=False,
    node_secrets={NodeId("n"): Secret("hidden-secret")},
    identities={NodeId("n"): KnownIdentity("pub", AccountId("acc"))},
    api_keys=(Secret("hidden-key"),),
    control_token=Secret("hidden-token"),
    seed=7,
    workload=WorkloadPolicy(prompts=(Prompt("m", "line one\nline two"),), limit=3),
    faults=(FaultRule("poll", "status", status=503, retry_after="2"),),
)


@pytest.mark.parametrize("policy", [SandboxPolicy(), FULL])
def test_a_policy_survives_the_way_to_the_child_as_one_line(policy: SandboxPolicy) -> None:
    document = dump_policy(policy)
    assert b"\n" not in document
    assert load_policy(document) == policy


def test_what_a_document_leaves_out_has_its_default() -> None:
    assert load_policy("{}") == SandboxPolicy()


def test_no_secret_is_seen_in_a_policys_repr() -> None:
    assert "hidden" not in repr(FULL)


@pytest.mark.parametrize(
    ("document", "place"),
    [
        ("no json", "document"),
        ('{"lease_s": "soon"}', "lease_s"),
        ('{"lease_s": 0}', "document"),
        ('{"port": 70000}', "document"),
        ('{"control_token": 5}', "control_token"),
        ('{"faults": [{"step": "poll", "kind": "explode"}]}', "faults.0.kind"),
        ('{"faults": [{"step": "poll", "kind": "status", "status": 99}]}', "faults.0"),
        ('{"faults": [{"step": "unknown", "kind": "status"}]}', "faults.0"),
        ('{"faults": [{"step": "poll", "kind": "status", "probability": 2}]}', "faults.0"),
        ('{"faults": [{"step": "poll", "kind": "delay", "delay_s": -1}]}', "faults.0"),
        ('{"workload": {"rate_per_s": -1}}', "workload"),
        ('{"workload": {"share_other": 1.5}}', "workload"),
    ],
)
def test_a_faulty_document_is_refused_with_its_place(document: str, place: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        load_policy(document)
    assert place in caught.value.faults[0].place


def test_a_refused_document_does_not_show_its_secrets() -> None:
    document = json.dumps({"lease_s": 0, "control_token": "hidden" + "-token"})
    with pytest.raises(InvalidInput) as caught:
        load_policy(document)
    assert "hidden-token" not in "".join(traceback.format_exception(caught.value))
