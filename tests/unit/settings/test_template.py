"""What `init` writes."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from node.domain.errors import InvalidInput
from node.settings.catalogue import catalogue, sections
from node.settings.load import load
from node.settings.model import Settings
from node.settings.profiles import NETWORK
from node.settings.template import dotenv, network_toml, node_toml, starter_files, write_starter_files

ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize(
    "path", ["config/node.toml", "config/profiles/network.toml", "config/profiles/production.toml"]
)
def test_the_files_of_this_repository_are_what_is_written(path: str) -> None:
    text = (ROOT / path).read_text(encoding="utf-8")
    assert text == starter_files()[Path(path)], "write it again: python main.py init --force"


def test_the_settings_file_names_every_setting_in_order_at_its_default(tmp_path: Path) -> None:
    (tmp_path / "node.toml").write_text(node_toml(), encoding="utf-8")
    loaded = load(config_file=None, profile=None, flags={}, environ={}, cwd=tmp_path)
    assert loaded.settings == Settings()
    assert list(loaded.origins) == list(catalogue())
    assert list(tomllib.loads(node_toml()))[1:] == list(sections())


def test_each_setting_has_its_unit_and_names_beside_it() -> None:
    lines = node_toml().split("\n")
    assert "poll_cycle_s = 5  # seconds, 0.05 to 3600" in lines
    assert "max_reply_mb = 16  # MiB, 1 to 1024" in lines
    text = " ".join(line.removeprefix("# ") for line in lines)
    for info in catalogue().values():
        assert all(name in text for name in (info.flag, *info.env_names[1:], info.unit))
    assert max(map(len, lines)) <= 120


def test_the_profile_holds_what_is_built_in() -> None:
    assert tomllib.loads(network_toml()) == NETWORK


def test_the_variables_file_sets_nothing_until_a_line_is_freed(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text(dotenv(), encoding="utf-8")
    loaded = load(config_file=None, profile=None, flags={}, environ={}, cwd=tmp_path)
    assert loaded.origins == {}
    freed = "\n".join(line.removeprefix("#") for line in dotenv().split("\n") if not line.startswith("# "))
    freed = freed.replace("LLM_NODE_PROFILE=network", "").replace("LLM_NODE_CONFIG=config/node.toml", "")
    (tmp_path / ".env").write_text(freed, encoding="utf-8")
    loaded = load(config_file=None, profile=None, flags={}, environ={}, cwd=tmp_path)
    assert loaded.settings == Settings()
    unset = {info.name for info in catalogue().values() if info.default in ("", (), None) or info.secret}
    assert set(loaded.origins) == set(catalogue()) - unset


def test_starter_files_are_written_once(tmp_path: Path) -> None:
    assert write_starter_files(tmp_path) == tuple(starter_files())
    assert (tmp_path / ".env").stat().st_mode & 0o777 == 0o600
    (tmp_path / "config" / "node.toml").write_text("[node]\nslots = 2\n", encoding="utf-8")
    (tmp_path / ".env").unlink()
    assert write_starter_files(tmp_path) == (Path(".env"),)
    assert "slots = 2" in (tmp_path / "config" / "node.toml").read_text(encoding="utf-8")
    assert write_starter_files(tmp_path, overwrite=True) == tuple(starter_files())
    assert (tmp_path / "config" / "node.toml").read_text(encoding="utf-8") == node_toml()
    assert not list(tmp_path.rglob("*.part"))


def test_a_place_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "config").write_text("a file", encoding="utf-8")
    with pytest.raises(InvalidInput, match="cannot be written"):
        write_starter_files(tmp_path)
