"""Every setting's name in the environment, and how values are written there."""

from __future__ import annotations

from pathlib import Path

import pytest

from node.settings.catalogue import SettingInfo, catalogue
from node.settings.checks import value_of
from tests.unit.settings.conftest import Faults, Load

KNOWN_NAMES = {
    "API_GATEWAY_URL": ("gateway.url", "https://gateway.example", "https://gateway.example"),
    "API_AUTH_URL": ("gateway.auth_url", "https://auth.example", "https://auth.example"),
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
        case "list" if info.choices:
            return info.choices[-1]
        case "list":
            return "http://one.example, http://two.example"
        case "path":
            return "some/where"
        case "text" if "url" in info.key:
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
