"""The files that settings name, and what stands in for them."""

from __future__ import annotations

from pathlib import Path

import pytest

from node.domain.errors import InvalidInput
from node.settings.inputs import prompt_files, read_fleet_inputs
from node.settings.load import load
from node.settings.roster_rows import HEADER
from tests.unit.settings.conftest import Load
from tests.unit.settings.test_roster import row

ROOT = Path(__file__).parents[3]


def test_in_an_empty_folder_nodes_are_made_up_and_there_is_no_pool(load_here: Load, tmp_path: Path) -> None:
    inputs = read_fleet_inputs(load_here(), tmp_path)
    assert len(inputs.nodes) == 20
    assert (inputs.proxies, inputs.faults, inputs.simulated) == ((), (), True)
    assert prompt_files(load_here(), tmp_path) == ()


def test_a_settings_file_that_names_the_default_files_changes_nothing(load_here: Load, tmp_path: Path) -> None:
    loaded = load_here(toml='[fleet]\nroster = "nodes.csv"\nproxies = "proxies.txt"\n')
    assert read_fleet_inputs(loaded, tmp_path).simulated


@pytest.mark.parametrize(
    "given",
    [
        {"flags": {"--nodes": "nodes.csv", "--proxies": "proxies.txt"}},
        {"environ": {"LLM_NODE_FLEET__ROSTER": "nodes.csv", "LLM_NODE_FLEET__PROXIES": "proxies.txt"}},
        {"toml": '[fleet]\nroster = "other.csv"\nproxies = "other.txt"\n'},
    ],
)
def test_files_that_were_asked_for_must_be_there(load_here: Load, tmp_path: Path, given: dict[str, object]) -> None:
    with pytest.raises(InvalidInput) as caught:
        read_fleet_inputs(load_here(**given), tmp_path)
    assert [fault.problem for fault in caught.value.faults] == ["there is no such file"] * 2


def test_good_rows_go_on_unless_strict(load_here: Load, tmp_path: Path) -> None:
    (tmp_path / "nodes.csv").write_text(f"{HEADER}\n{row('n1')}\n{row('n2', ram='x')}\n", encoding="utf-8")
    (tmp_path / "proxies.txt").write_text("10.0.0.1:1\nnowhere\n", encoding="utf-8")
    inputs = read_fleet_inputs(load_here(), tmp_path)
    assert [spec.node_id for spec in inputs.nodes] == ["n1"]
    assert [str(proxy) for proxy in inputs.proxies] == ["http://10.0.0.1:1"]
    assert [(fault.place, fault.line) for fault in inputs.faults] == [("nodes.csv", 3), ("proxies.txt", 2)]
    assert not inputs.simulated
    with pytest.raises(InvalidInput) as caught:
        read_fleet_inputs(load_here(flags={"--strict": True}), tmp_path)
    assert caught.value.faults == inputs.faults


def test_the_pool_may_be_left_out(load_here: Load, tmp_path: Path) -> None:
    (tmp_path / "proxies.txt").write_text("nowhere\n", encoding="utf-8")
    assert read_fleet_inputs(load_here(toml='[fleet]\nproxies = ""\n'), tmp_path).faults == ()


def test_a_roster_without_a_usable_node_stops_the_start(load_here: Load, tmp_path: Path) -> None:
    (tmp_path / "nodes.csv").write_text(f"{HEADER}\n{row('n2', ram='x')}\n", encoding="utf-8")
    with pytest.raises(InvalidInput) as caught:
        read_fleet_inputs(load_here(), tmp_path)
    assert [fault.line for fault in caught.value.faults] == [2, None]
    assert "no usable node" in caught.value.faults[1].problem


def test_prompt_files(load_here: Load, tmp_path: Path) -> None:
    (tmp_path / "mine.csv").touch()
    assert prompt_files(load_here(flags={"--prompts": ["mine.csv"]}), tmp_path) == (tmp_path / "mine.csv",)
    loaded = load_here(flags={"--prompts": ["mine.csv", "missing.csv", "config/prompts/test_prompts.csv"]})
    with pytest.raises(InvalidInput) as caught:
        prompt_files(loaded, tmp_path)
    assert [fault.place for fault in caught.value.faults] == ["--prompts", "--prompts"]


def test_the_files_of_this_repository() -> None:
    loaded = load(config_file=None, profile=None, flags={}, environ={}, cwd=ROOT)
    inputs = read_fleet_inputs(loaded, ROOT)
    assert (len(inputs.nodes), inputs.proxies, inputs.faults, inputs.simulated) == (20, (), (), False)
    assert (
        load(config_file=None, profile="network", flags={}, environ={}, cwd=ROOT).settings.fleet.points_check_s == 15840
    )
