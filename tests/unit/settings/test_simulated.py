"""Rosters that are made up."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.domain.errors import InvalidInput
from node.settings.roster import load_roster, parse_roster
from node.settings.simulated import ACCOUNTS, MODELS, NODES, roster_text, write_roster

ROOT = Path(__file__).parents[3]
MODEL_NAMES = st.text('abc:.-," ', min_size=1, max_size=8).filter(str.strip)


@given(
    nodes=st.integers(1, 40),
    seed=st.integers(),
    accounts=st.integers(1, 50),
    models=st.lists(MODEL_NAMES, min_size=1, max_size=4, unique_by=str.strip),
)
def test_what_is_written_is_read_back(nodes: int, seed: int, accounts: int, models: list[str]) -> None:
    text = roster_text(nodes, seed=seed, accounts=accounts, models=models)
    assert text == roster_text(nodes, seed=seed, accounts=accounts, models=models)
    roster = parse_roster(text, "nodes.csv")
    assert roster.faults == ()
    assert len(roster.nodes) == nodes
    assert all(spec.models[0] == models[0].strip() for spec in roster.nodes)
    assert {model for spec in roster.nodes for model in spec.models} <= {model.strip() for model in models}
    sizes = Counter(spec.identity.account_id for spec in roster.nodes).values()
    assert len(sizes) == min(nodes, accounts)
    assert max(sizes) - min(sizes) <= 1


def test_another_seed_is_another_roster() -> None:
    assert roster_text(seed=1) != roster_text(seed=2)


def test_a_roster_is_written_to_a_new_file(tmp_path: Path) -> None:
    path = tmp_path / "new" / "nodes.csv"
    write_roster(path, 1000, accounts=50)
    assert len(load_roster(path).nodes) == 1000
    with pytest.raises(InvalidInput, match="there already"):
        write_roster(path)
    write_roster(path, 3, overwrite=True)
    assert len(load_roster(path).nodes) == 3


@pytest.mark.parametrize(
    "given", [{"nodes": 0}, {"accounts": 0}, {"models": []}, {"models": ["a|b"]}, {"models": [" "]}]
)
def test_a_roster_of_nothing_is_not_written(tmp_path: Path, given: dict[str, int]) -> None:
    with pytest.raises(InvalidInput):
        write_roster(tmp_path / "nodes.csv", **given)
    with pytest.raises(InvalidInput):
        write_roster(Path("nul\0"))


def test_the_roster_of_this_repository() -> None:
    roster = load_roster(ROOT / "nodes.csv")
    assert roster.faults == ()
    assert len(roster.nodes) == NODES == 20
    assert len({spec.identity.account_id for spec in roster.nodes}) == ACCOUNTS == 5
    assert {model for spec in roster.nodes for model in spec.models} == set(MODELS)
    assert (ROOT / "nodes.csv").read_text(encoding="utf-8") == roster_text()
