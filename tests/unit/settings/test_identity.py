"""Who a node in production may be."""

from __future__ import annotations

from pathlib import Path

import pytest

from node.domain.errors import InvalidInput
from node.settings.identity import read_identities
from node.settings.roster_rows import HEADER
from tests.unit.settings.conftest import Load
from tests.unit.settings.test_roster import row

OWN = {"NODE_ID": "n1", "NODE_SECRET": "hush-hush", "ACCOUNT_ID": "a1", "NODE_PUB_KEY": "0xabc"}


def write_roster(folder: Path, *ids: str) -> None:
    lines = [HEADER, *(row(name, proxy="proxy:8080") for name in ids)]
    (folder / "nodes.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")


def test_the_environment_says_who_it_is(load_here: Load, tmp_path: Path) -> None:
    (spec,) = read_identities(load_here(environ=OWN), tmp_path).specs
    identity = spec.identity
    assert (identity.node_id, identity.account_id, identity.pub_key) == ("n1", "a1", "0xabc")
    assert identity.secret.reveal() == "hush-hush"
    assert spec.proxy is None
    assert spec.models == ()


def test_the_secret_may_stand_in_a_file(load_here: Load, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("from-the-file\n", encoding="utf-8")
    loaded = load_here(environ={**OWN, "NODE_SECRET": "", "NODE_SECRET_FILE": "secret"})
    (spec,) = read_identities(loaded, tmp_path).specs
    assert spec.identity.secret.reveal() == "from-the-file"


@pytest.mark.parametrize(("text", "problem"), [(" \n", "the file is empty"), (None, "")])
def test_a_secret_file_that_holds_none(load_here: Load, tmp_path: Path, text: str | None, problem: str) -> None:
    if text is not None:
        (tmp_path / "secret").write_text(text, encoding="utf-8")
    loaded = load_here(environ={**OWN, "NODE_SECRET": "", "NODE_SECRET_FILE": "secret"})
    with pytest.raises(InvalidInput) as caught:
        read_identities(loaded, tmp_path)
    (fault,) = caught.value.faults
    assert fault.place == "secret"
    assert problem in fault.problem


def test_all_that_is_missing_is_told_with_its_variable(load_here: Load, tmp_path: Path) -> None:
    with pytest.raises(InvalidInput) as caught:
        read_identities(load_here(environ={"NODE_ID": "n1", "NODE_PROXY": "pass:word@"}), tmp_path)
    faults = caught.value.faults
    assert [fault.column for fault in faults] == [
        "identity.secret",
        "identity.account_id",
        "identity.pub_key",
        "identity.proxy",
    ]
    assert "set NODE_SECRET" in str(faults[0])
    assert "pass:word" not in str(caught.value)


def test_nobody_at_all(load_here: Load, tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="--node ID"):
        read_identities(load_here(), tmp_path)


def test_a_row_of_the_roster(load_here: Load, tmp_path: Path) -> None:
    write_roster(tmp_path, "one", "two")
    (spec,) = read_identities(load_here(environ=OWN), tmp_path, node="two").specs
    assert spec.node_id == "two"
    assert spec.proxy is not None
    assert spec.models == (), "what the roster declares counts for simulations alone"
    assert spec.hardware.ram_mb == 0


def test_any_row_of_the_roster(load_here: Load, tmp_path: Path) -> None:
    write_roster(tmp_path, "one", "two")
    assert [spec.node_id for spec in read_identities(load_here(), tmp_path, claim=True).specs] == ["one", "two"]


def test_a_row_need_not_declare_models_and_machine(load_here: Load, tmp_path: Path) -> None:
    bare = row("bare", models="", ram="", cpu="", vram="", gpu="", os="")
    (tmp_path / "nodes.csv").write_text(f"{HEADER}\n{bare}\n", encoding="utf-8")
    found = read_identities(load_here(), tmp_path, claim=True)
    assert ([spec.node_id for spec in found.specs], found.faults) == (["bare"], ())


def test_rows_that_cannot_be_used_are_told(load_here: Load, tmp_path: Path) -> None:
    (tmp_path / "nodes.csv").write_text(f"{HEADER}\n{row('bad', pub_key='')}\n{row('good')}\n", encoding="utf-8")
    found = read_identities(load_here(), tmp_path, claim=True)
    assert [spec.node_id for spec in found.specs] == ["good"]
    assert [(fault.line, fault.column) for fault in found.faults] == [(2, "pub_key")]


def test_a_row_that_is_not_there(load_here: Load, tmp_path: Path) -> None:
    write_roster(tmp_path, "node-one", "node-two")
    with pytest.raises(InvalidInput, match="did you mean node-two"):
        read_identities(load_here(), tmp_path, node="node-tow")


def test_a_roster_that_is_not_there(load_here: Load, tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=r"nodes\.csv"):
        read_identities(load_here(), tmp_path, claim=True)
