"""Profiles: by name, by path, built in."""

from __future__ import annotations

from pathlib import Path

from node.domain.policies import NodePolicy, StaggerPolicy
from node.settings.load import load
from node.settings.policies import to_policies
from tests.unit.settings.conftest import Faults, Load


def test_the_network_profile_holds_the_intervals_of_the_network(load_here: Load) -> None:
    settings = load_here(profile="network").settings
    policies = to_policies(settings)
    assert policies.node == NodePolicy()
    assert policies.stagger == StaggerPolicy()
    assert settings.fleet.status_report_s == 60
    assert settings.ollama.model_override == "llama3.1:latest"


def test_a_profile_is_stronger_than_the_file_and_weaker_than_the_environment(load_here: Load) -> None:
    toml = "[fleet]\npoints_check_s = 33\nstatus_report_s = 44\n"
    settings = load_here(toml=toml, profile="network", environ={"STATUS_REPORT_INTERVAL": "55"}).settings
    assert (settings.fleet.points_check_s, settings.fleet.status_report_s) == (15840, 55)


def test_a_profile_lies_beside_the_settings_file_or_in_the_usual_folder(load_here: Load, tmp_path: Path) -> None:
    for folder, slots in {"etc/profiles": 3, "config/profiles": 4}.items():
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / "network.toml").write_text(f"[node]\nslots = {slots}\n", encoding="utf-8")
    (tmp_path / "etc" / "node.toml").touch()
    assert load_here(profile="network").settings.node.slots == 4
    assert load_here(profile="network", config_file=Path("etc/node.toml")).settings.node.slots == 3
    assert load_here(profile="etc/profiles/network.toml").settings.node.slots == 3


def test_the_environment_may_name_the_profile(load_here: Load) -> None:
    for given in ({"environ": {"LLM_NODE_PROFILE": "network"}}, {"dotenv": "LLM_NODE_PROFILE=network\n"}):
        loaded = load_here(**given)
        assert loaded.profile == "network"
        assert loaded.settings.fleet.points_check_s == 15840


def test_a_usual_profile_counts_where_none_is_named(tmp_path: Path) -> None:
    def points_check_s(profile: str | None, **environ: str) -> float:
        loaded = load(
            config_file=None, profile=profile, flags={}, environ=environ, cwd=tmp_path, usual_profile="production"
        )
        return loaded.settings.fleet.points_check_s

    own = tmp_path / "config" / "profiles" / "own.toml"
    own.parent.mkdir(parents=True)
    own.write_text("[fleet]\npoints_check_s = 5\n", encoding="utf-8")
    assert points_check_s(None) == 15840
    assert points_check_s("own") == 5
    assert points_check_s(None, LLM_NODE_PROFILE="own") == 5
    assert points_check_s(None, POINTS_CHECK_INTERVAL="77") == 77


def test_an_unknown_profile_is_a_fault_that_lists_the_known_ones(faults_here: Faults, tmp_path: Path) -> None:
    (tmp_path / "config" / "profiles").mkdir(parents=True)
    (tmp_path / "config" / "profiles" / "night.toml").touch()
    (fault,) = faults_here(profile="netwrok")
    assert "did you mean network?" in fault.remedy
    assert "network, night, production" in fault.remedy
    (fault,) = faults_here(profile="zzz")
    assert "did you mean" not in fault.remedy
    (fault,) = faults_here(profile="nowhere/zzz.toml")
    assert fault.problem == "there is no such file"
