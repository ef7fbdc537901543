"""Who a node in production is and what it is built from, before anything runs."""

from __future__ import annotations

import platform
from pathlib import Path

import pytest

from node.app.production_plan import ProductionPlan, claim_identity, plan_production
from node.app.telemetry import redactor_for
from node.domain.errors import InvalidInput, StorageInUse, StorageUnavailable
from node.domain.identity import Hardware
from node.settings.load import load
from node.settings.roster_rows import HEADER
from tests.unit.settings.test_roster import row

MACHINE = Hardware(ram_mb=16_000, cpu_cores=8, vram_mb=24_000, gpu="RTX 4090", os="Debian")
GATEWAY = "https://gateway.example"
OWN = {"NODE_ID": "n1", "NODE_SECRET": "hush-hush", "ACCOUNT_ID": "a1", "NODE_PUB_KEY": "0xabc"}


def planned(
    folder: Path,
    environ: dict[str, str] | None = None,
    *,
    node: str = "",
    claim: bool = False,
    dry_run: bool = False,
    **flags: object,
) -> ProductionPlan:
    named = {"gateway.url": GATEWAY, **{name.replace("__", "."): value for name, value in flags.items()}}
    given = {name: value for name, value in named.items() if value is not None}
    loaded = load(config_file=None, profile=None, flags=given, environ=OWN if environ is None else environ, cwd=folder)
    return plan_production(loaded, folder, MACHINE, node=node, claim=claim, dry_run=dry_run)


def write_roster(folder: Path, *names: str) -> None:
    rows = [row(name, secret=f"secret-of-{name}") for name in names]
    (folder / "nodes.csv").write_text("\n".join([HEADER, *rows]) + "\n", encoding="utf-8")


def test_the_node_is_this_machine_and_not_what_a_roster_declares(tmp_path: Path) -> None:
    write_roster(tmp_path, "one", "two")
    plan = planned(tmp_path, {}, node="two")
    (spec,) = plan.candidates
    assert spec.node_id == "two"
    assert spec.hardware == plan.hardware == MACHINE
    assert spec.models == ()
    assert [spec.node_id for spec in planned(tmp_path, {}, claim=True).candidates] == ["one", "two"]


def test_a_worker_has_the_machines_name_unless_it_has_its_own(tmp_path: Path) -> None:
    assert planned(tmp_path).worker == platform.node()
    assert planned(tmp_path, {**OWN, "WORKER_ID": "gpu-box-7"}).worker == "gpu-box-7"


def test_a_node_has_a_folder_of_its_own_whatever_its_name(tmp_path: Path) -> None:
    plan = planned(tmp_path, {**OWN, "NODE_ID": "../odd name"}, state_dir="here")
    (spec,) = plan.candidates
    assert plan.state_dir == tmp_path / "here"
    assert plan.folder(spec).parent == tmp_path / "here" / "nodes"


def test_faults_of_identity_engines_and_gateway_are_told_together(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput) as caught:
        planned(tmp_path, {"NODE_ID": "n1"}, gateway__url=None, engines__routes="a*=nowhere")
    text = str(caught.value)
    for said in ("NODE_SECRET", "ACCOUNT_ID", "NODE_PUB_KEY", "no engine 'nowhere'", "no gateway is named"):
        assert said in text


def test_no_secret_shows_in_a_plan(tmp_path: Path) -> None:
    environ = {**OWN, "OPENAI_API_KEY": "sk-engine", "NODE_PROXY": "user:proxypass@127.0.0.1:1"}
    plan = planned(tmp_path, {**environ, "ERROR_WEBHOOK_URL": "https://hooks.example/T0KEN"})
    known = {secret.reveal() for secret in plan.secrets()}
    assert {"hush-hush", "sk-engine", "proxypass", "https://hooks.example/T0KEN"} <= known
    for secret in ("hush-hush", "sk-engine", "proxypass", "T0KEN"):
        assert secret not in repr(plan)


def test_secrets_in_parts_of_addresses_and_beside_the_settings_are_known(tmp_path: Path) -> None:
    environ = {
        **OWN,
        "ERROR_WEBHOOK_URL": "https://hooks.example/services/B000000000000XYZ?auth=query-key",
        "OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318/v1/traces?key=collector-key",
        "OTEL_EXPORTER_OTLP_HEADERS": "x-key=header-key",
        "HTTP_PROXY": "http://user:env-pass@127.0.0.1:1",
    }
    known = {secret.reveal() for secret in planned(tmp_path, environ).secrets()}
    assert {"B000000000000XYZ", "query-key", "collector-key", "header-key", "env-pass"} <= known


def test_a_dry_run_goes_by_no_proxy_and_checks_tokens_by_no_key_of_the_real_gateway(tmp_path: Path) -> None:
    environ = {**OWN, "NODE_PROXY": "user:proxypass@127.0.0.1:1", "HTTP_PROXY": "http://127.0.0.1:1"}
    given = {"gateway__jwt_key": "signing-key", "gateway__trust_env_proxies": "true"}
    real, trial = (planned(tmp_path, environ, dry_run=dry_run, **given) for dry_run in (False, True))
    assert real.settings.gateway.jwt_key
    assert real.settings.gateway.trust_env_proxies
    assert real.candidates[0].proxy is not None
    assert not trial.settings.gateway.jwt_key
    assert not trial.settings.gateway.trust_env_proxies
    assert trial.candidates[0].proxy is None
    assert trial.settings.gateway.url == GATEWAY


@pytest.mark.parametrize(
    ("use", "owned", "falls_back"),
    [
        ("owned", "", False),
        ("owned", GATEWAY, True),
        ("owned", "https://another.example", False),
        ("always", "", True),
        ("never", GATEWAY, False),
    ],
)
def test_other_models_run_for_ones_own_gateway_or_by_order(
    tmp_path: Path, use: str, owned: str, falls_back: bool
) -> None:
    plan = planned(tmp_path, engines__use_fallbacks=use, gateway__owned=owned)
    assert plan.falls_back is falls_back


def test_a_dry_run_needs_neither_identity_nor_gateway(tmp_path: Path) -> None:
    plan = planned(tmp_path, {}, dry_run=True, gateway__url=None)
    assert plan.is_dry_run
    assert plan.falls_back
    (spec,) = plan.candidates
    assert spec.node_id == "dry-run"
    assert spec.hardware == MACHINE
    assert planned(tmp_path, OWN, dry_run=True).candidates[0].node_id == "n1"
    write_roster(tmp_path, "one")
    assert planned(tmp_path, {}, dry_run=True, claim=True).candidates[0].node_id == "one"


def test_each_identity_is_claimed_once_in_the_rosters_order(tmp_path: Path) -> None:
    write_roster(tmp_path, "one", "two")
    plan = planned(tmp_path, {}, claim=True)
    first, second = claim_identity(plan), claim_identity(plan)
    assert [first.spec.node_id, second.spec.node_id] == ["one", "two"]
    assert first.folder != second.folder
    with pytest.raises(StorageInUse, match="one, two; look at them with 'status'"):
        claim_identity(plan)
    first.release()
    again = claim_identity(plan)
    assert again.spec.node_id == "one"
    again.release()
    second.release()


def test_a_state_folder_that_cannot_be_made_is_no_identity_in_use(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StorageUnavailable, match="name another folder with --state-dir"):
        claim_identity(planned(tmp_path, state_dir="file"))


def test_a_proxy_is_told_by_its_address_and_never_by_its_login(tmp_path: Path) -> None:
    for proxy in ("10.0.0.1:8080", "user:hunter2-pass@10.0.0.1:8080", "http://us%40er:hunter2%20pass@10.0.0.1:8080"):
        plan = planned(tmp_path, {**OWN, "NODE_PROXY": proxy})
        redact = redactor_for(plan.secrets()).redact
        told = redact(f"by proxy http://10.0.0.1:8080, which was given as {proxy}")
        assert "http://10.0.0.1:8080" in told
        assert "hunter2" not in told
        (spec,) = plan.candidates
        assert str(spec.proxy) in redact(str(spec.proxy))
