"""Settings that do not fit each other."""

from __future__ import annotations

from pathlib import Path

import pytest

from node.settings.checks import ORDERED
from tests.unit.settings.conftest import Faults, Load


@pytest.mark.parametrize("pair", ORDERED)
def test_a_least_above_its_most_is_a_fault(faults_here: Faults, load_here: Load, pair: tuple[str, str]) -> None:
    low, high = pair
    (fault,) = faults_here(flags={low: 60, high: 50})
    assert f"{low} = 60 is above {high} = 50" in fault.problem
    load_here(flags={low: 50, high: 50})


def test_every_pair_of_least_and_most_is_checked() -> None:
    from node.settings.catalogue import catalogue

    for name in catalogue():
        for low, high in (("_min_s", "_max_s"), ("tokens_min", "tokens_max"), ("base_s", "cap_s"), (".min_", ".max_")):
            if low in name and name.replace(low, high) in catalogue():
                assert (name, name.replace(low, high)) in ORDERED


def test_the_fault_stands_where_the_strongest_source_spoke(faults_here: Faults) -> None:
    toml = "[fleet]\nmax_start_delay_s = 2\n"
    (fault,) = faults_here(toml=toml, environ={"MIN_START_DELAY": "5"})
    assert (fault.place, fault.column) == ("environment MIN_START_DELAY", "fleet.min_start_delay_s")
    assert "MAX_START_DELAY" in fault.remedy
    (fault,) = faults_here(toml="[fleet]\n\nmin_start_delay_s = 5\n")
    assert (fault.place, fault.line) == ("config/node.toml", 3)


@pytest.mark.parametrize("gateway", ["", "https://gateway.example"])
@pytest.mark.parametrize(("deadline", "fits"), [(239.5, True), (240, False)])
def test_a_job_and_two_sendings_of_its_result_fit_into_the_lease(
    faults_here: Faults, load_here: Load, gateway: str, deadline: float, fits: bool
) -> None:
    flags = {"node.job_deadline_s": deadline, "gateway.url": gateway}
    if fits:
        load_here(flags=flags)
        return
    (fault,) = faults_here(flags=flags)
    assert fault.column == "node.job_deadline_s"
    assert ("gateway.lease_s" if gateway else "sandbox.lease_s") in fault.remedy


def test_the_lease_is_that_of_the_gateway_in_use(load_here: Load) -> None:
    leases = {"gateway.lease_s": 1000, "sandbox.lease_s": 400}
    assert load_here(flags=leases).settings.lease_s == 400
    assert load_here(flags={**leases, "--gateway": "http://x"}).settings.lease_s == 1000


def test_one_way_to_check_signatures(faults_here: Faults) -> None:
    (fault,) = faults_here(environ={"LLM_NODE_GATEWAY__JWT_KEY": "k3y"}, toml="[gateway]\njwks_url='https://x/jwks'\n")
    assert fault.place == "environment LLM_NODE_GATEWAY__JWT_KEY"
    assert "k3y" not in str(fault)


def test_certificates_are_looked_for_in_the_working_directory(load_here: Load, tmp_path: Path) -> None:
    (tmp_path / "ca.pem").touch()
    assert load_here(flags={"gateway.ca_file": "ca.pem"}).settings.gateway.ca_file == Path("ca.pem")


def test_a_rule_waits_for_its_settings_to_be_valid_and_others_do_not(faults_here: Faults) -> None:
    faults = faults_here(
        flags={"fleet.max_start_delay_s": "soon", "fleet.min_start_delay_s": 9, "synthetic.tokens_min": 500}
    )
    assert [fault.column for fault in faults] == ["fleet.max_start_delay_s", "synthetic.tokens_min"]
