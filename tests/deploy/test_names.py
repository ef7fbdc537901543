"""Every variable, setting and option that deploy/ and docs/operations.md use is one that the program knows."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest
import typer
import yaml

from node.cli.main import app
from node.settings.catalogue import catalogue
from node.settings.load import load
from node.settings.named_values import CONFIG_VARIABLE, PROFILE_VARIABLE
from tests.deploy.tools import DEPLOY, ROOT

PAGE = (ROOT / "docs/operations.md").read_text()
KNOWN = {name for info in catalogue().values() for name in info.env_names} | {CONFIG_VARIABLE, PROFILE_VARIABLE}
OF_OTHERS = {
    "HOME",
    "NVIDIA_DRIVER_CAPABILITIES",
    "NVIDIA_VISIBLE_DEVICES",
    "PATH",
    "PIP_DISABLE_PIP_VERSION_CHECK",
    "PIP_NO_CACHE_DIR",
    "POD_NAME",
    "PYTHONASYNCIODEBUG",
    "PYTHONDONTWRITEBYTECODE",
    "PYTHONPATH",
    "PYTHONUNBUFFERED",
}
"""Variables of Python, of the container's platform, and of its driver."""

ROOT_COMMAND = typer.main.get_command(app)


OF_COMPOSE = {"MODELS", "NODE_IMAGE", "OLLAMA_MEMORY", "OLLAMA_MEMORY_LIMIT", "OLLAMA_VERSION"}
"""What compose.yaml asks for itself."""


def pods() -> Iterator[tuple[str, dict[str, Any]]]:
    """The pods of both manifests that run a node, by their file's name."""
    for name in ("statefulset", "deployment"):
        text = (DEPLOY / f"kubernetes/{name}/{name}.yaml").read_text()
        yield f"{name}.yaml", yaml.safe_load(text)["spec"]["template"]["spec"]


def variables() -> Iterator[tuple[str, str, str]]:
    """File, name and value of every variable that a node is given."""
    for block in re.findall(r"^ENV ((?:.*\\\n)*.*)", (DEPLOY / "Dockerfile").read_text(), re.MULTILINE):
        for entry in shlex.split(block.replace("\\\n", " ")):
            yield ("Dockerfile", *entry.split("=", 1))
    for name in ("compose.yaml", "compose.dev.yaml"):
        for variable, value in yaml.safe_load((DEPLOY / name).read_text())["services"]["node"]["environment"].items():
            yield name, variable, re.sub(r"\$\{\w+:?[-?]?([^}]*)\}", r"\1", str(value))
    for entry in re.findall(r"^Environment=(.*)$", (DEPLOY / "llm-node.service").read_text(), re.MULTILINE):
        yield ("llm-node.service", *entry.split("=", 1))
    yield from kubernetes_variables()
    for name, value in re.findall(r"^(\w+)=(.*)$", (DEPLOY / "example.env").read_text(), re.MULTILINE):
        yield "example.env", name, value


def kubernetes_variables() -> Iterator[tuple[str, str, str]]:
    """Those of the manifests."""
    for name, pod in pods():
        for given in pod["containers"][0]["env"]:
            yield name, given["name"], given.get("value", "")
    for name, value in re.findall(r"^(\w+)=(.*)$", (DEPLOY / "kubernetes/base/node.env").read_text(), re.MULTILINE):
        yield "node.env", name, value


VARIABLES = list(variables())


def command_lines() -> Iterator[tuple[str, list[str]]]:
    """Where a command line of ours stands, and its words after the program's name."""
    yield "Dockerfile", [*re.findall(r'^CMD \["(.*)"\]$', (DEPLOY / "Dockerfile").read_text(), re.MULTILINE)]
    for name in ("compose.yaml", "compose.dev.yaml"):
        yield name, yaml.safe_load((DEPLOY / name).read_text())["services"]["node"]["command"]
    for name, pod in pods():
        yield name, pod["containers"][0]["args"]
    (start,) = re.findall(r"^ExecStart=(.*)$", (DEPLOY / "llm-node.service").read_text(), re.MULTILINE)
    yield "llm-node.service", start.split()[1:]
    ours = r"(?:(?:^[$#] (?:/\S+/)?|`|node |-- )llm-node |`(?=outbox |config ))([^`|\n#)]*)"
    for line in re.findall(ours, PAGE, re.MULTILINE):
        yield "operations.md", line.split()


COMMAND_LINES = list(command_lines())


def resolve(words: list[str]) -> list[str]:
    """What is wrong with a command line."""
    command: click.Command = ROOT_COMMAND
    rest = list(words)
    while isinstance(getattr(command, "commands", None), dict) and rest and not rest[0].startswith("-"):
        found = command.commands.get(rest[0])  # type: ignore[attr-defined]
        if found is None and rest[0].endswith(".toml") and command.name == "loadtest":
            rest.insert(0, "run")
            continue
        if found is None:
            return [f"no command {rest[0]}"]
        command = found
        rest.pop(0)
    known = {option for parameter in command.params for option in parameter.opts} | {"--help"}
    return [f"no option {word} of {command.name}" for word in rest if word.startswith("-") and word not in known]


@pytest.mark.parametrize("file", sorted({file for file, _, _ in VARIABLES}))
def test_every_variable_is_known(file: str) -> None:
    names = {name for place, name, _ in VARIABLES if place == file}
    assert names
    assert not names - KNOWN - OF_OTHERS - (OF_COMPOSE if file == "example.env" else set())


def test_what_compose_asks_for_is_told_and_passes_for_no_setting() -> None:
    text = (DEPLOY / "compose.yaml").read_text()
    asked = set(re.findall(r"\$\{(\w+)", text))
    told = {name for place, name, _ in VARIABLES if place == "example.env"}
    assert asked & told >= OF_COMPOSE
    assert told <= asked
    assert not [name for name in OF_COMPOSE if name.startswith("LLM_NODE_")]


@pytest.mark.parametrize("file", sorted({file for file, _, _ in VARIABLES}))
def test_the_values_can_be_used(file: str, tmp_path: Path) -> None:
    given = {name: value for place, name, value in VARIABLES if place == file and name in KNOWN and "$" not in value}
    given = {name: value for name, value in given.items() if not value.startswith(("%t", "the "))}
    loaded = load(config_file=None, profile=None, flags={}, environ=given, cwd=tmp_path)
    assert loaded.settings


def test_the_settings_file_that_is_mounted_can_be_used(tmp_path: Path) -> None:
    assert load(config_file=DEPLOY / "config/node.toml", profile=None, flags={}, environ={}, cwd=tmp_path).origins


@pytest.mark.parametrize(("place", "words"), COMMAND_LINES, ids=lambda value: str(value)[:60])
def test_every_command_line_is_one_of_ours(place: str, words: list[str]) -> None:
    assert not resolve(words)


def test_command_lines_were_found() -> None:
    assert len([place for place, _ in COMMAND_LINES if place == "operations.md"]) > 10
    assert resolve(["node", "--no-such-option"])
    assert resolve(["no-such-command"])


def test_the_page_names_settings_and_variables_that_exist() -> None:
    sections = {info.section for info in catalogue().values() if info.section}
    named = {name for name in re.findall(r"`([a-z_]+\.[a-z_]+)`", PAGE) if name.partition(".")[0] in sections}
    assert len(named) > 15
    assert not named - catalogue().keys() - {"node.env", "node.toml"}
    upper = set(re.findall(r"`([A-Z][A-Z0-9]*_[A-Z0-9_]+)`", PAGE))
    assert not upper - KNOWN - {"COMPOSE_FILE", "LLM_NODE_STOP__DRAIM_S", "NODE_IMAGE", "OLLAMA_HOST"}


def test_the_table_of_variables_names_their_settings() -> None:
    table = PAGE.partition("| variable | setting |")[2].partition("\n\n")[0]
    for line in table.splitlines()[2:]:
        variables, settings = (re.findall(r"`([\w.]+)`", cell) for cell in line.split("|")[1:3])
        for variable, setting in zip(variables, settings, strict=False):
            assert variable in catalogue()[setting].env_names, line
