"""Settings become policies, each of them."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import pytest

from node.domain.policies import NodePolicy, OutboxPolicy, ProxyPolicy, Range
from node.settings.catalogue import catalogue
from node.settings.model import Settings
from node.settings.policies import Policies, to_policies
from tests.unit.settings.conftest import Load

FLEET_WIDE = {"points_check_s", "models_update", "recovery"}


def test_by_default_policies_are_the_networks_own_but_for_the_quick_intervals() -> None:
    policies, settings = to_policies(Settings()), Settings()
    quick = {name: getattr(policies.node, name) for name in FLEET_WIDE}
    assert dataclasses.replace(NodePolicy(), **quick) == policies.node
    assert policies.outbox == OutboxPolicy()
    assert policies.proxy == ProxyPolicy()
    for name in ("timeouts", "retry", "session", "stop", "auth"):
        assert getattr(policies, name) == type(getattr(policies, name))()
    assert policies.node.recovery == Range(settings.fleet.recovery_min_s, settings.fleet.recovery_max_s)


def test_a_first_run_is_quick() -> None:
    policies = to_policies(Settings())
    stagger = policies.stagger
    last_start_s = stagger.max_s + 3 * stagger.spacing_s + stagger.jitter_s
    assert last_start_s + Settings().stored.delay_max_s < 10
    assert policies.node.recovery.high < 10


def _leaves(value: object, path: str = "") -> Iterator[tuple[str, object]]:
    if dataclasses.is_dataclass(value):
        for field in dataclasses.fields(value):
            yield from _leaves(getattr(value, field.name), f"{path}.{field.name}")
    else:
        yield path, value


def test_no_policy_is_beyond_the_reach_of_settings(load_here: Load) -> None:
    """Every number is set to another one than its default; nothing of any policy may stay as it was."""
    flags: dict[str, object] = {"proxy.echo_url": "http://127.0.0.1/ip"}
    for name, info in catalogue().items():
        if info.kind in {"whole number", "number"}:
            assert isinstance(info.default, int | float)
            flags[name] = info.default + 1 if info.unit != "share" else info.default + 0.05
    flags["sandbox.lease_s"] = 600
    before = dict(_leaves(to_policies(Settings())))
    after = dict(_leaves(to_policies(load_here(flags=flags).settings)))
    assert {path for path, value in after.items() if before[path] == value} == set()
    assert {field.name for field in dataclasses.fields(Policies)} == {path.split(".")[1] for path in after}


def test_the_echo_address_of_the_sandbox_gives_way_to_the_operators() -> None:
    own = Settings([{"proxy": {"echo_url": "http://mine/ip"}}])
    assert to_policies(Settings()).proxy.echo_url == ProxyPolicy().echo_url
    assert to_policies(Settings(), echo_url="http://127.0.0.1:1/ip").proxy.echo_url == "http://127.0.0.1:1/ip"
    assert to_policies(own, echo_url="http://127.0.0.1:1/ip").proxy.echo_url == "http://mine/ip"


@pytest.mark.parametrize(
    ("asked_s", "lease_s", "deadline_s"), [(0, 300, 230), (100, 300, 100), (300, 300, 239), (300, 600, 300)]
)
def test_a_workers_time_out_is_held_to_the_lease(
    load_here: Load, asked_s: float, lease_s: float, deadline_s: float
) -> None:
    settings = load_here(flags={"sandbox.lease_s": lease_s, "worker.timeout_s": asked_s}).settings
    policy = to_policies(settings).node
    assert policy.job_deadline_s == deadline_s
    assert policy.heeds_job_limits is (asked_s == 0)


def test_values_in_other_units() -> None:
    settings = Settings([{"ollama": {"think": "off"}, "gateway": {"url": "http://g"}, "stored": {"delay_min_s": 1}}])
    assert settings.gateway.max_reply_bytes == 16 * 1024 * 1024
    assert settings.gateway.effective_auth_url == "http://g"
    assert settings.stored.delay == Range(1, 1.5)
    assert settings.ollama.think_or_default is False
    assert Settings().ollama.think_or_default is None
