"""Secrets are shown nowhere."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest

from node.domain.errors import InvalidInput
from node.settings.provenance import effective
from node.settings.proxies import parse_proxies
from node.settings.roster import load_roster, parse_roster
from node.settings.roster_rows import HEADER
from tests.unit.settings.conftest import Faults, Load

SECRET = "hush-7f3a"
ADDRESSES = (
    *("API_GATEWAY_URL", "API_AUTH_URL", "LLM_NODE_GATEWAY__OWNED", "LLM_NODE_GATEWAY__JWKS_URL", "KAFKA_BROKERS"),
    *("OLLAMA_BASE_URL", "OLLAMA_API_URL", "OPENAI_BASE_URL", "LLM_NODE_ENGINES__LIST", "OTEL_EXPORTER_OTLP_ENDPOINT"),
)
LOGINS = (
    f"http://user:{SECRET}@host:1",
    f"http://user:{SECRET}/with/slashes@host:1",
    f"http://user:1234/{SECRET}@host:1",
    f"http://user:1234?{SECRET}@host:1",
    f"http://user:1234#{SECRET}@host:1",
    f"http://user:a {SECRET}@host:1",
    f"http://user:'{SECRET}\"@host:1",
    f"http://user:{SECRET},and more@host:1",
    f"http://user:{SECRET}//x@host:1",
    f"http://{SECRET}@host:1",
    f"user:{SECRET}@host:1",
    f"one=ollama:http://user:12/{SECRET}@host:1",
)
"""Ways in which people write a login where none belongs."""


@pytest.fixture
def source(request: pytest.FixtureRequest) -> dict[str, object]:
    kind = request.param
    if kind == "toml":
        return {"toml": f'[gateway]\njwt_key = "{SECRET}"\n'}
    if kind == "dotenv":
        return {"dotenv": f"LLM_NODE_GATEWAY__JWT_KEY={SECRET}\n"}
    if kind == "environ":
        return {"environ": {"LLM_NODE_GATEWAY__JWT_KEY": SECRET}}
    return {"flags": {"gateway.jwt_key": SECRET}}


@pytest.mark.parametrize("source", ["toml", "dotenv", "environ", "flags"], indirect=True)
def test_settings_keep_a_secret_and_never_show_it(load_here: Load, source: dict[str, object]) -> None:
    loaded = load_here(**source)
    settings = loaded.settings
    assert settings.gateway.jwt_key.reveal() == SECRET
    texts = [repr(settings), str(settings), repr(loaded), settings.model_dump_json(), str(settings.model_dump())]
    texts += [f"{one.value} {one.origin}" for one in effective(loaded)]
    assert not any(SECRET in text for text in texts)
    shown = {one.info.name: one for one in effective(loaded)}["gateway.jwt_key"]
    assert (shown.value, shown.changed) == ('"***"', True)
    with pytest.raises(TypeError, match="not pickled"):
        pickle.dumps(settings.gateway.jwt_key)


@pytest.mark.parametrize(
    "given",
    [
        {"toml": f'[gateway]\njwt_key = ["{SECRET}"]\n'},
        {"flags": {"gateway.jwt_key": f"{SECRET}\0"}},
        {"environ": {"API_GATEWAY_URL": f"http://user:{SECRET}@gateway.example"}},
        {"toml": f'[gateway]\njwt_kee = "{SECRET}"\n'},
        {"toml": f'[gateway]\njwt_key = "{SECRET}\n'},
        {"environ": {"LLM_NODE_GATEWAY__JWT_KEYS": SECRET}},
        {"flags": {f"gateway.jwt_key:{SECRET}": "x"}},
        {"flags": {"gateway.owned": [f"http://user:{SECRET}@gateway.example"]}},
        *({"environ": {name: address}} for name in ADDRESSES for address in LOGINS),
    ],
)
def test_faults_do_not_repeat_secrets(faults_here: Faults, given: dict[str, object]) -> None:
    faults = faults_here(**given)
    assert faults
    assert SECRET not in str(InvalidInput(faults))
    assert SECRET not in repr(faults)


def test_rosters_keep_secrets_and_never_show_them(tmp_path: Path) -> None:
    path = tmp_path / "nodes.csv"
    path.write_text(f"{HEADER}\na,{SECRET},acc,pub,{SECRET}-private,u:{SECRET}@proxy:1,m,1,1,1,g,o\n", encoding="utf-8")
    roster = load_roster(path)
    assert roster.nodes[0].identity.secret.reveal() == SECRET
    assert roster.nodes[0].proxy is not None
    assert SECRET not in repr(roster)
    assert "private" not in repr(roster)


def test_faults_of_rosters_do_not_repeat_any_cell() -> None:
    rows = [
        f"a,{SECRET},acc,pub,{SECRET},{SECRET},m,{SECRET},{SECRET},{SECRET},g,o",
        f"{SECRET},{SECRET}",
        f'"{SECRET},x',
        f",{SECRET},,,,,,,,,,",
        f"a,{SECRET},acc,pub,{SECRET},http://{SECRET},m,1,1,1,g,o",
        f"a,{SECRET}\0,acc,pub,{SECRET},,m,1,1,1,g,o",
    ]
    roster = parse_roster("\n".join([HEADER, *rows]), "nodes.csv")
    assert roster.nodes == ()
    assert len({fault.line for fault in roster.faults}) == len(rows)
    assert SECRET not in repr(roster.faults)


def test_faults_of_proxies_do_not_repeat_the_line() -> None:
    text = f"u:{SECRET}@host\nftp://u:{SECRET}@host:1\nu:{SECRET}@host:99999\nu:{SECRET}@h:1\nu:{SECRET}@h:1\n"
    found = parse_proxies(text, "proxies.txt")
    assert len(found.proxies) == 1
    assert len(found.faults) == 4
    assert SECRET not in repr(found)


def test_what_may_be_a_secret_in_an_address_is_not_shown(load_here: Load) -> None:
    url = f"http://collector:4318/v1/traces?x-key={SECRET}&to=me"
    loaded = load_here(environ={"OTEL_EXPORTER_OTLP_ENDPOINT": url, "WORKER_ID": "box@rack?a=b"})
    assert loaded.settings.tracing.url == url
    shown = {one.info.name: one.value for one in effective(loaded)}
    assert shown["tracing.url"] == '"http://collector:4318/v1/traces?x-key=***&to=***"'
    assert shown["worker.id"] == '"box@rack?a=b"'


@pytest.mark.parametrize("brokers", ["kafka", "kafka:9092,[::1]:9092"])
def test_brokers_are_hosts_and_ports(load_here: Load, brokers: str) -> None:
    assert load_here(environ={"KAFKA_BROKERS": brokers}).settings.events.kafka == tuple(brokers.split(","))


@pytest.mark.parametrize("brokers", ["http://kafka:9092", "kafka:0", "kafka:port", "kafka:9092/x", ":9092"])
def test_what_is_no_broker_is_a_fault(faults_here: Faults, brokers: str) -> None:
    (fault,) = faults_here(environ={"KAFKA_BROKERS": brokers})
    assert "host:port" in fault.problem
