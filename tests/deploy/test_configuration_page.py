"""docs/configuration.md is complete and true."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from node.app.engines import plan_engines
from node.domain.secret import Secret
from node.settings.catalogue import ENV_PREFIX, SettingInfo, catalogue
from node.settings.load import load
from tests.deploy.test_names import resolve
from tests.deploy.tools import ROOT

PAGE = (ROOT / "docs/configuration.md").read_text()


def shown(info: SettingInfo, variable: str) -> str:
    """A default as the table has it, in the variable's own unit."""
    match info.default:
        case bool():
            return str(info.default).lower()
        case int() | float():
            return f"{info.default * (1000 if variable in info.in_ms else 1):.10g}"
        case tuple():
            return ",".join(map(str, info.default)) or "–"
        case Secret():
            return info.default.reveal() or "–"
        case _:
            return str(info.default or "–")


def table() -> dict[str, list[str]]:
    text = PAGE.partition("| variable | setting |")[2].partition("\n\n")[0]
    cells = ([cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines()[2:])
    return {name: rest[:-1] for name, *rest in cells}


def test_every_short_name_is_told_with_its_setting_and_default() -> None:
    expected = {}
    for info in catalogue().values():
        for name in info.env_names:
            if not name.startswith(ENV_PREFIX):
                unit = " (ms)" if name in info.in_ms else ""
                expected[f"`{name}`{unit}"] = [f"`{info.name}`", shown(info, name)]
    assert table() == expected


def test_settings_that_are_named_exist() -> None:
    sections = {info.section for info in catalogue().values() if info.section}
    named = {name for name in re.findall(r"`([a-z_]+\.[a-z_]+)`", PAGE) if name.partition(".")[0] in sections}
    assert named
    assert not named - catalogue().keys() - {"node.toml"}


def test_the_example_of_engines_can_be_used(tmp_path: Path) -> None:
    (example,) = re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL)
    (tmp_path / "node.toml").write_text(example)
    loaded = load(config_file=None, profile=None, flags={}, environ={}, cwd=tmp_path)
    assert [name for name, _, _ in plan_engines(loaded, tmp_path).entries] == ["gpu0", "vllm"]


@pytest.mark.parametrize("line", re.findall(r"(?:^\$ |`)llm-node ([^`\n]*)", PAGE, re.MULTILINE))
def test_every_command_line_is_one_of_ours(line: str) -> None:
    assert not resolve(line.split())


@pytest.mark.parametrize("target", sorted(set(re.findall(r"\]\(([^)#]+)", PAGE))))
def test_links_lead_somewhere(target: str) -> None:
    assert (ROOT / "docs" / target).exists()
