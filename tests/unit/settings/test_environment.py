"""Every setting's name in the environment, and how values are written there."""

from __future__ import annotations

from pathlib import Path

import pytest

from node.domain.errors import InvalidInput
from node.domain.secret import Secret
from node.settings.catalogue import SettingInfo, catalogue
from node.settings.checks import value_of
from tests.unit.settings.conftest import Faults, Load

KNOWN_NAMES = {
    "API_GATEWAY_URL": ("gateway.url", "https://gateway.example", "https://gateway.example"),
    "API_AUTH_URL": ("gateway.auth_url", "https://auth.example", "https://auth.example"),
    "OLLAMA_BASE_URL": ("ollama.url", "http://gpu:11434", "http://gpu:11434"),
    "OLLAMA_API_URL": ("ollama.url", "http://gpu:11434", "http://gpu:11434"),
    "MIN_START_DELAY": ("fleet.min_start_delay_s", "2.5", 2.5),
    "MAX_START_DELAY": ("fleet.max_start_delay_s", "500", 500.0),
    "NODE_SPACING_DELAY": ("fleet.start_spacing_s", "5", 5.0),
    "ERROR_RECOVERY_MIN": ("fleet.recovery_min_s", "1", 1.0),
    "ERROR_RECOVERY_MAX": ("fleet.recovery_max_s", "14400", 14400.0),
    "MODELS_UPDATE_MIN": ("fleet.models_update_min_s", "60", 60.0),
    "MODELS_UPDATE_MAX": ("fleet.models_update_max_s", "15840", 15840.0),
    "POINTS_CHECK_INTERVAL": ("fleet.points_check_s", "15840", 15840.0),
    "STATUS_REPORT_INTERVAL": ("fleet.status_report_s", "60", 60.0),
    "NODE_ID": ("identity.id", "n1", "n1"),
    "NODE_SECRET": ("identity.secret", "hush", Secret("hush")),
    "NODE_SECRET_FILE": ("identity.secret_file", "run/secret", Path("run/secret")),
    "ACCOUNT_ID": ("identity.account_id", "a1", "a1"),
    "NODE_PUB_KEY": ("identity.pub_key", "0xabc", "0xabc"),
    "NODE_PROXY": ("identity.proxy", "user:word@proxy:1", Secret("user:word@proxy:1")),
    "WORKER_ID": ("worker.id", "gpu-7", "gpu-7"),
    "WORKER_CONCURRENCY": ("worker.slots", "3", 3),
    "OLLAMA_NUM_PARALLEL": ("worker.slots", "4", 4),
    "WORKER_BATCH_SIZE": ("worker.batch_size", "20", 20),
    "WORKER_TIMEOUT": ("worker.timeout_s", "300000", 300.0),
    "OLLAMA_TIMEOUT": ("engines.timeout_s", "1500", 1.5),
    "OLLAMA_MAX_RETRIES": ("engines.retries", "5", 5),
    "OPENAI_BASE_URL": ("openai.url", "http://vllm:8000/v1", "http://vllm:8000/v1"),
    "OPENAI_API_KEY": ("openai.api_key", "sk-1", Secret("sk-1")),
    "ENABLE_CIRCUIT_BREAKER": ("breaker.enabled", "false", False),
    "CIRCUIT_BREAKER_THRESHOLD": ("breaker.failures", "9", 9),
    "CIRCUIT_BREAKER_TIMEOUT": ("breaker.open_s", "30000", 30.0),
    "ALLOWED_MODELS": ("models.allowed", "llama3*, gemma2:2b", ("llama3*", "gemma2:2b")),
    "MODEL_PRELOAD_ENABLED": ("models.preload_enabled", "no", False),
    "MODEL_PRELOAD_LIST": ("models.preload", "a,b", ("a", "b")),
    "MODEL_MEMORY_THRESHOLD": ("models.memory_threshold", "0.7", 0.7),
    "LOG_LEVEL": ("logging.level", "WARNING", "warning"),
    "ENABLE_DEBUG_MODE": ("logging.debug", "true", True),
    "PERFORMANCE_SAMPLE_RATE": ("tracing.sample_rate", "0.5", 0.5),
    "OTEL_EXPORTER_OTLP_ENDPOINT": ("tracing.url", "http://otel:4318", "http://otel:4318"),
    "HEALTH_HOST": ("health.host", "0.0.0.0", "0.0.0.0"),
    "HEALTH_PORT": ("health.port", "9000", 9000),
    "KAFKA_BROKERS": ("events.kafka", "k1:9092,k2:9092", ("k1:9092", "k2:9092")),
    "KAFKA_TOPIC": ("events.topic", "nodes", "nodes"),
    "ERROR_WEBHOOK_URL": ("events.webhook", "https://hook/x", Secret("https://hook/x")),
}


@pytest.mark.parametrize("variable", KNOWN_NAMES)
@pytest.mark.parametrize("source", ["environ", "dotenv"])
def test_a_well_known_name_sets_its_setting(load_here: Load, variable: str, source: str) -> None:
    name, text, value = KNOWN_NAMES[variable]
    given = {"environ": {variable: text}} if source == "environ" else {"dotenv": f"{variable}={text}\n"}
    beside = "" if name == "gateway.url" else "[gateway]\nurl = 'https://beside.example'\n"
    loaded = load_here(**given, toml=beside)
    assert value_of(loaded.settings, name) == value
    assert variable in str(loaded.origins[name])


def test_no_other_names_than_the_known_ones_are_taken() -> None:
    extra = {name for info in catalogue().values() for name in info.env_names[1:]}
    assert extra == set(KNOWN_NAMES)


_ITEMS = {"engines.list": "gpu0=ollama:http://one.example", "events.kafka": "kafka:9092"}
"""Items of lists that take no addresses."""


def _other_value(info: SettingInfo) -> str:
    match info.kind:
        case "whole number" | "number":
            assert isinstance(info.default, int | float)
            assert info.low is not None
            high = info.key.endswith(("max_s", "cap_s", "_max")) or info.default == info.low
            return str(info.default + 1 if high else info.low).removesuffix(".0")
        case "true or false":
            return "no" if info.default else "yes"
        case "choice":
            return next(word for word in info.choices if word != info.default).upper()
        case "list" if info.name in _ITEMS:
            return _ITEMS[info.name]
        case "list" if info.choices:
            return info.choices[-1]
        case "list":
            return "http://one.example, http://two.example"
        case "path":
            return "some/where"
        case "text" if "url" in info.key or info.name == "events.webhook":
            return "https://some.example"
        case "text":
            return "1h30m"


@pytest.mark.parametrize("name", catalogue())
def test_every_setting_has_its_uniform_name(load_here: Load, tmp_path: Path, name: str) -> None:
    (tmp_path / "some").mkdir()
    (tmp_path / "some" / "where").touch()
    info = catalogue()[name]
    variable = "LLM_NODE_" + name.upper().replace(".", "__")
    beside: dict[str, object] = {}
    if "lease" in name:
        beside = {"node.job_deadline_s": 0.1, "timeouts.result_s": 0.1}
    elif name == "gateway.auth_url":
        beside = {"gateway.url": "https://beside.example"}
    loaded = load_here(environ={variable: _other_value(info)}, flags=beside)
    assert value_of(loaded.settings, name) != info.default
    assert str(loaded.origins[name]) == f"environment {variable}"


def test_the_uniform_name_is_stronger_than_the_short_one(load_here: Load) -> None:
    both = {"LLM_NODE_GATEWAY__URL": "http://uniform", "API_GATEWAY_URL": "http://short"}
    for environ in (both, dict(reversed(both.items()))):
        assert load_here(environ=environ).settings.gateway.url == "http://uniform"


def test_of_two_well_known_names_the_first_wins(load_here: Load) -> None:
    both = {"OLLAMA_API_URL": "http://second", "OLLAMA_BASE_URL": "http://first"}
    for environ in (both, dict(reversed(both.items()))):
        assert load_here(environ=environ).settings.ollama.url == "http://first"


def test_a_number_of_milliseconds_that_is_none_is_told_as_it_was_written(load_here: Load) -> None:
    with pytest.raises(InvalidInput, match=r"environment WORKER_TIMEOUT.*'5m'"):
        load_here(environ={"WORKER_TIMEOUT": "5m"})


def test_lists_are_separated_by_commas(load_here: Load) -> None:
    settings = load_here(
        environ={
            "LLM_NODE_EXECUTORS__ORDER": "synthetic, stored,",
            "LLM_NODE_GATEWAY__OWNED": "https://a.example/,http://B.example:8080",
            "LLM_NODE_STORED__FILES": "one.csv,two.csv",
        }
    ).settings
    assert settings.executors.order == ("synthetic", "stored")
    assert settings.gateway.owned == ("https://a.example", "http://b.example:8080")
    assert settings.stored.files == (Path("one.csv"), Path("two.csv"))


@pytest.mark.parametrize(
    "given", ['["https://a.example", "http://b.example"]', ' [ "https://a.example","http://b.example" ]']
)
def test_a_list_may_be_json(load_here: Load, given: str) -> None:
    as_flag = load_here(flags={"gateway.owned": given}).settings
    as_variable = load_here(environ={"LLM_NODE_GATEWAY__OWNED": given}).settings
    assert as_flag.gateway.owned == as_variable.gateway.owned == ("https://a.example", "http://b.example")


@pytest.mark.parametrize("given", ['["https://a.example"', "[1]"])
def test_a_list_that_is_none_is_refused(load_here: Load, given: str) -> None:
    with pytest.raises(InvalidInput, match=r"gateway\.owned"):
        load_here(flags={"gateway.owned": given})


def test_an_empty_variable_counts_as_none(load_here: Load) -> None:
    loaded = load_here(
        toml='[gateway]\nurl = "http://file"\n',
        dotenv="API_GATEWAY_URL=\n",
        environ={"LLM_NODE_GATEWAY__URL": " ", "LLM_NODE_CONFIG": "", "LLM_NODE_PROFILE": ""},
    )
    assert loaded.settings.gateway.url == "http://file"


def test_an_unknown_variable_of_ours_is_a_fault(faults_here: Faults) -> None:
    (fault,) = faults_here(environ={"LLM_NODE_NODE__SLOT": "3"})
    assert fault.place == "environment LLM_NODE_NODE__SLOT"
    assert "LLM_NODE_NODE__SLOTS" in fault.remedy
    (fault,) = faults_here(environ={"LLM_NODE_XXXXXXXX__YYYYYYYYYY": "3"})
    assert "config show" in fault.remedy


def test_other_variables_are_left_alone(load_here: Load) -> None:
    """Container platforms set variables of this form for a service named llm-node."""
    load_here(environ={"LLM_NODE_SERVICE_HOST": "10.0.0.1", "LLM_NODE_PORT_80_TCP": "tcp://", "PATH": "/bin"})


@pytest.mark.parametrize("text", ["\udcff", "\0"])
def test_variables_of_odd_bytes_are_faults(faults_here: Faults, text: str) -> None:
    faults = faults_here(environ={"API_GATEWAY_URL": f"http://{text}", "LLM_NODE_STATE_DIR": f"state{text}"})
    assert "gateway.url" in {fault.column for fault in faults}
    assert all(str(fault).isprintable() for fault in faults)


@pytest.mark.parametrize(("given", "shown"), [("50", "'50': out of bounds"), ("abc", "'abc': ")])
@pytest.mark.parametrize("where", ["environment", ".env"])
def test_a_fault_of_milliseconds_speaks_of_milliseconds(
    faults_here: Faults, given: str, shown: str, where: str
) -> None:
    name = "CIRCUIT_BREAKER_TIMEOUT"
    told = {"environ": {name: given}} if where == "environment" else {"dotenv": f"{name}={given}\n"}
    (fault,) = faults_here(**told)
    assert fault.problem.startswith(shown)
    assert fault.remedy == "give a number of milliseconds, 100 to 86400000; the default is 60000"


@pytest.mark.parametrize(("word", "level"), [("WARN", "warning"), ("Critical", "error"), ("Debug", "debug")])
def test_levels_may_have_the_names_that_others_give_them(load_here: Load, word: str, level: str) -> None:
    assert load_here(environ={"LOG_LEVEL": word}).settings.logging.level == level
