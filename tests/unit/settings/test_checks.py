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


def test_a_time_for_jobs_of_production_counts_alone_and_is_held_to_the_lease(
    faults_here: Faults, load_here: Load
) -> None:
    wanted = {"WORKER_TIMEOUT": "20000"}
    short = {"gateway.lease_s": 60, "sandbox.lease_s": 60}
    assert load_here(environ=wanted, flags={**short, "timeouts.result_s": 10}).settings.worker.timeout_s == 20
    (fault,) = faults_here(environ=wanted, flags=short)
    assert "timeouts.result_s" in fault.remedy


@pytest.mark.parametrize(("given", "fits"), [("0", True), ("30", False), ("999", False), ("1000", True)])
def test_seconds_where_milliseconds_are_asked_for_are_a_fault(
    faults_here: Faults, load_here: Load, given: str, fits: bool
) -> None:
    if fits:
        load_here(environ={"WORKER_TIMEOUT": given})
        return
    (fault,) = faults_here(environ={"WORKER_TIMEOUT": given})
    assert "milliseconds" in fault.remedy


def test_one_secret(faults_here: Faults) -> None:
    (fault,) = faults_here(environ={"NODE_SECRET": "s3cret-text", "NODE_SECRET_FILE": "run/secret"})
    assert "keep one" in fault.remedy
    assert "s3cret-text" not in str(fault)


def test_one_way_to_check_signatures(faults_here: Faults) -> None:
    (fault,) = faults_here(environ={"LLM_NODE_GATEWAY__JWT_KEY": "k3y"}, toml="[gateway]\njwks_url='https://x/jwks'\n")
    assert fault.place == "environment LLM_NODE_GATEWAY__JWT_KEY"
    assert "k3y" not in str(fault)


@pytest.mark.parametrize("url", ["[gateway]\nurl = ''\n", "[node]\nslots = 2\n"])
def test_an_auth_service_needs_a_gateway_beside_it(faults_here: Faults, load_here: Load, url: str) -> None:
    auth = {"API_AUTH_URL": "https://auth.example"}
    faults = faults_here(environ={**auth, "MAX_START_DELAY": "1", "MIN_START_DELAY": "2"}, toml=url)
    assert [fault.column for fault in faults] == ["fleet.min_start_delay_s", "gateway.auth_url"]
    fault = faults[1]
    assert fault.place == "environment API_AUTH_URL"
    assert "https://auth.example" in fault.problem
    assert "gateway.url" in fault.remedy
    assert "API_GATEWAY_URL" in fault.remedy
    assert load_here(environ=auth, flags={"--gateway": "https://gateway.example"})


def test_the_auth_service_is_blamed_though_a_stronger_source_left_the_gateway_empty(faults_here: Faults) -> None:
    (fault,) = faults_here(flags={"--gateway": ""}, toml="[gateway]\n\nauth_url = 'https://auth.example'\n")
    assert (fault.place, fault.line, fault.column) == ("config/node.toml", 3, "gateway.auth_url")


def test_a_gateway_that_is_not_usable_is_the_one_fault(faults_here: Faults) -> None:
    (fault,) = faults_here(environ={"API_AUTH_URL": "https://auth.example", "API_GATEWAY_URL": "gateway"})
    assert fault.column == "gateway.url"


def _pem(text: str, kind: str = "PUBLIC KEY") -> str:
    return f"-----BEGIN {kind}-----\n{text}\n-----END {kind}-----\n"


@pytest.mark.parametrize(
    "key", [_pem("c2VjcmV0"), _pem("c2VjcmV0", "PRIVATE KEY"), "-----BEGIN", _pem("", "CERTIFICATE")]
)
def test_a_pem_key_that_checks_no_signature_is_a_fault(faults_here: Faults, key: str) -> None:
    (fault,) = faults_here(flags={"gateway.jwt_key": key})
    assert fault.column == "gateway.jwt_key"
    assert "public key" in fault.remedy
    assert "c2VjcmV0" not in str(fault)


def test_a_public_key_and_a_shared_secret_can_be_used(load_here: Load) -> None:
    public = _pem("MCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=")
    for key in (public, "shared"):
        assert load_here(flags={"gateway.jwt_key": key}).settings.gateway.jwt_key.reveal() == key.strip()


def test_certificates_are_looked_for_in_the_working_directory(load_here: Load, tmp_path: Path) -> None:
    (tmp_path / "ca.pem").touch()
    assert load_here(flags={"gateway.ca_file": "ca.pem"}).settings.gateway.ca_file == Path("ca.pem")


def test_a_rule_waits_for_its_settings_to_be_valid_and_others_do_not(faults_here: Faults) -> None:
    faults = faults_here(
        flags={"fleet.max_start_delay_s": "soon", "fleet.min_start_delay_s": 9, "synthetic.tokens_min": 500}
    )
    assert [fault.column for fault in faults] == ["fleet.max_start_delay_s", "synthetic.tokens_min"]


@pytest.mark.parametrize(
    "address", ["nonsense-hunter2", "ftp://host/hunter2", "https://", "http://host:x/hunter2", "h 2"]
)
def test_a_webhook_is_an_address_and_is_not_quoted(faults_here: Faults, address: str) -> None:
    (fault,) = faults_here(environ={"ERROR_WEBHOOK_URL": address})
    assert "http://" in fault.problem
    assert "hunter2" not in str(fault)


def test_a_webhook_may_hold_a_login(load_here: Load) -> None:
    address = "https://user:hunter2@hooks.example/T0/B1?key=2"
    assert load_here(environ={"ERROR_WEBHOOK_URL": f" {address} "}).settings.events.webhook.reveal() == address


@pytest.mark.parametrize("topic", ["bad/topic", "..", "x" * 250, "a b"])
def test_a_topic_has_a_name_that_kafka_takes(faults_here: Faults, topic: str) -> None:
    (fault,) = faults_here(environ={"KAFKA_TOPIC": topic})
    assert "topic of Kafka" in fault.problem
