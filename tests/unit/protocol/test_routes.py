"""Every endpoint, as the gateway's documentation names it."""

from __future__ import annotations

from node.protocol.routes import Host, Proof, Step


def test_the_nodes_own_endpoints() -> None:
    named = {step.label: (step.route.method, step.route.path, step.route.proof) for step in list(Step)[:8]}
    assert named == {
        "check_secret": ("POST", "/check_node_secret", Proof.NONE),
        "check_identity": ("POST", "/node/check", Proof.NONE),
        "register": ("POST", "/worker/register_node", Proof.NONE),
        "update_models": ("POST", "/worker/update_models", Proof.BEARER),
        "poll": ("GET", "/worker/get_job", Proof.BEARER),
        "update_result": ("POST", "/worker/update_result", Proof.BEARER),
        "points": ("GET", "/get_points", Proof.BEARER),
        "leave": ("POST", "/worker/deregister_node", Proof.BEARER),
    }


def test_one_step_alone_is_the_auth_services() -> None:
    assert [step for step in Step if step.route.host is Host.AUTH] == [Step.CHECK_IDENTITY]


def test_no_two_steps_share_a_route() -> None:
    assert len(list(Step)) == len({(step.route.method, step.route.path) for step in Step})
