"""Flags over environment over .env over profile over settings file over defaults."""

from __future__ import annotations

from pathlib import Path

import pytest

from node.settings.load import load_settings
from node.settings.model import Settings
from tests.unit.settings.conftest import Faults, Load

LAYERS = ("default", "file", "profile", "dotenv", "environ", "flags")


@pytest.mark.parametrize("strongest", range(len(LAYERS)))
def test_the_strongest_layer_that_names_a_setting_wins(load_here: Load, tmp_path: Path, strongest: int) -> None:
    named = LAYERS[1 : strongest + 1]
    (tmp_path / "config" / "profiles").mkdir(parents=True)
    (tmp_path / "config" / "profiles" / "mine.toml").write_text(
        "[node]\nslots = 12\n" if "profile" in named else "", encoding="utf-8"
    )
    loaded = load_here(
        toml="[node]\nslots = 11\n" if "file" in named else "",
        profile="mine",
        dotenv="LLM_NODE_NODE__SLOTS=13\n" if "dotenv" in named else "",
        environ={"LLM_NODE_NODE__SLOTS": "14"} if "environ" in named else {},
        flags={"node.slots": 15} if "flags" in named else {},
    )
    assert loaded.settings.node.slots == (1, 11, 12, 13, 14, 15)[strongest]


def test_layers_are_merged_setting_by_setting(load_here: Load) -> None:
    settings = load_here(
        toml="[node]\nslots = 2\npoll_cycle_s = 7\n[fleet]\nstart_spacing_s = 1\n",
        environ={"LLM_NODE_NODE__POLL_CYCLE_S": "8"},
        flags={"node.refusals": 9},
    ).settings
    assert (settings.node.slots, settings.node.poll_cycle_s, settings.node.refusals) == (2, 8.0, 9)
    assert settings.fleet.start_spacing_s == 1.0


def test_without_any_file_the_defaults_hold(load_here: Load) -> None:
    loaded = load_here()
    assert loaded.settings == Settings()
    assert loaded.config_file is None
    assert loaded.origins == {}


def test_nothing_but_the_arguments_is_read(load_here: Load, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LLM_NODE_NODE__SLOTS", "9")
    monkeypatch.setenv("STATE_DIR", "/elsewhere")
    monkeypatch.setenv("NODE", '{"slots": 9}')
    assert load_here().settings == Settings()


@pytest.mark.parametrize("place", ["config/node.toml", "node.toml"])
def test_the_settings_file_is_found_in_its_two_places(tmp_path: Path, place: str) -> None:
    (tmp_path / "config").mkdir()
    (tmp_path / "node.toml").write_text("[node]\nslots = 2\n", encoding="utf-8")
    (tmp_path / place).write_text("[node]\nslots = 3\n", encoding="utf-8")
    assert load_settings(config_file=None, profile=None, flags={}, environ={}, cwd=tmp_path).node.slots == 3


def test_a_named_settings_file_is_read_in_place_of_the_others(load_here: Load, tmp_path: Path) -> None:
    (tmp_path / "other.toml").write_text("[node]\nslots = 4\n", encoding="utf-8")
    toml = "[node]\nslots = 2\n"
    assert load_here(toml=toml, config_file=Path("other.toml")).settings.node.slots == 4
    assert load_here(toml=toml, environ={"LLM_NODE_CONFIG": "other.toml"}).settings.node.slots == 4
    assert load_here(toml=toml, dotenv="LLM_NODE_CONFIG=other.toml").settings.node.slots == 4


def test_a_named_settings_file_must_be_there(faults_here: Faults) -> None:
    (fault,) = faults_here(config_file=Path("missing.toml"))
    assert (fault.place, fault.problem) == ("missing.toml", "there is no such file")


def test_flags_that_were_not_given_do_not_count(load_here: Load) -> None:
    assert load_here(flags={"--gateway": None, "node.slots": None}).settings == Settings()


def test_flags_may_be_named_by_their_options(load_here: Load) -> None:
    settings = load_here(
        flags={"--gateway": "http://127.0.0.1:8080/", "--nodes": Path("fleet.csv"), "--prompts": ["a.csv", "b.csv"]}
    ).settings
    assert settings.gateway.url == "http://127.0.0.1:8080"
    assert settings.fleet.roster == Path("fleet.csv")
    assert settings.stored.files == (Path("a.csv"), Path("b.csv"))


def test_settings_cannot_be_changed() -> None:
    settings = Settings()
    with pytest.raises(ValueError, match="frozen"):
        settings.node.slots = 3
    with pytest.raises(ValueError, match="frozen"):
        settings.state_dir = Path("elsewhere")
