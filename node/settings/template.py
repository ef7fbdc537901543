"""The settings file, profiles and the ``.env`` file as ``init`` writes them, drawn from the models' own metadata."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from node.settings.catalogue import SettingInfo, catalogue, sections
from node.settings.explain import bounds_text, toml_value
from node.settings.load import CONFIG_FILES, DOTENV_FILE, PROFILE_FOLDER
from node.settings.named_values import CONFIG_VARIABLE, PROFILE_VARIABLE
from node.settings.profiles import BUILT_IN, NETWORK, PRODUCTION
from node.settings.text_file import write_new

_WIDTH: Final = 108

_TOML_HEAD: Final = """
Settings of the node, each with its default, its unit and its bounds.

Stronger than this file are, the strongest first: options of the command line, variables of the environment,
the file .env, and a profile (--profile NAME). Each setting has a variable LLM_NODE_<SECTION>__<SETTING>, such as
LLM_NODE_NODE__SLOTS; a few have a shorter one, which is named here. Relative paths start at the working directory.
`config show` prints what is in effect and where it was written, `config check` looks for mistakes.
"""

_DOTENV_HEAD: Final = """
Variables for this program alone; those of the real environment are stronger. To set one, take away the # before
its line. Times are in seconds, the items of lists are separated by commas, and an empty value counts as none.
What each setting does is written in config/node.toml. This file may hold secrets: keep it to yourself.
"""

_NETWORK_HEAD: Final = """
The intervals that the well-known network documents, for real operation: `--profile network`. Those of node.toml
are quick, so that a first run shows everything at work. A profile is stronger than node.toml, and weaker than
the environment and options.
"""

_PRODUCTION_HEAD: Final = """
What `node` goes by where no other profile is named: the intervals of the well-known network, but for a shorter rest after
a fault. A profile is stronger than node.toml, and weaker than the environment and options.
"""


def node_toml() -> str:
    """The settings file with every setting at its default."""
    parts = [_comment(_TOML_HEAD)]
    parts += [_entry(info) for info in catalogue().values() if not info.section]
    for section, about in sections().items():
        parts.append(f"\n[{section}]\n{_comment(about)}")
        parts += [_entry(info) for info in catalogue().values() if info.section == section]
    return "\n".join(parts)


def network_toml() -> str:
    """The profile ``network`` as a file."""
    return _profile(_NETWORK_HEAD, NETWORK)


def production_toml() -> str:
    """The profile ``production`` as a file."""
    return _profile(_PRODUCTION_HEAD, PRODUCTION)


def _profile(head: str, tables: Mapping[str, Mapping[str, float | str]]) -> str:
    parts = [_comment(head)]
    for section, values in tables.items():
        infos = (catalogue()[f"{section}.{key}"] for key in values)
        lines = [f"{info.key} = {toml_value(values[info.key])}{_facts(info)}\n" for info in infos]
        parts.append(f"[{section}]\n{''.join(lines)}")
    return "\n".join(parts)


def dotenv() -> str:
    """A ``.env`` file that names every variable and sets none."""
    infos = catalogue().values()
    lines = [
        _comment(_DOTENV_HEAD),
        f"#{CONFIG_VARIABLE}={CONFIG_FILES[0]}",
        f"#{PROFILE_VARIABLE}={next(iter(BUILT_IN))}",
    ]
    lines += [_variable(info) for info in infos if not info.section]
    for section, about in sections().items():
        lines += ["", _comment(about).rstrip(), *(_variable(info) for info in infos if info.section == section)]
    return "\n".join(lines) + "\n"


def starter_files() -> Mapping[Path, str]:
    """The files that ``init`` writes, by their paths from the working directory."""
    return {
        CONFIG_FILES[0]: node_toml(),
        PROFILE_FOLDER / "network.toml": network_toml(),
        PROFILE_FOLDER / "production.toml": production_toml(),
        Path(DOTENV_FILE): dotenv(),
    }


def write_starter_files(cwd: Path, *, overwrite: bool = False) -> tuple[Path, ...]:
    """Write those of the `starter_files` that are not there yet, or all, and tell which were written.

    ``.env`` is readable by its owner alone, since it may come to hold secrets.

    Raises:
        InvalidInput: a file cannot be written.
    """
    written = []
    for path, text in starter_files().items():
        if overwrite or not (cwd / path).exists():
            write_new(cwd / path, text, overwrite=overwrite, private=path.name == DOTENV_FILE)
            written.append(path)
    return tuple(written)


def _entry(info: SettingInfo) -> str:
    about = info.description
    if len(info.env_names) > 1:
        about += f" Variable: {', '.join(map(info.env_label, info.env_names[1:]))}."
    if info.flag:
        about += f" Option: {info.flag}."
    return f"{_comment(about)}{info.key} = {toml_value(info.default)}{_facts(info)}\n"


def _facts(info: SettingInfo) -> str:
    bounds = "" if info.choices else bounds_text(info)
    facts = ", ".join(fact for fact in (info.unit, bounds) if fact)
    return f"  # {facts}" if facts else ""


def _variable(info: SettingInfo) -> str:
    value = info.default
    items = ",".join(map(str, value)) if isinstance(value, tuple) else toml_value(value).strip('"')
    name = info.env_names[min(1, len(info.env_names) - 1)]
    if name in info.in_ms and isinstance(value, int | float):
        items = f"{value * 1000:g}"
    return f"#{name}={items}"


def _comment(text: str) -> str:
    paragraphs = (" ".join(part.split("\n")) for part in text.strip().split("\n\n"))
    lines = (line for part in paragraphs for line in [*textwrap.wrap(part, _WIDTH), ""])
    return "".join(f"# {line}".rstrip() + "\n" for line in lines).removesuffix("#\n")
