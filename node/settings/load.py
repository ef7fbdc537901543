"""Loading settings: flags over environment over ``.env`` over profile over settings file over defaults."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from pydantic import ValidationError

from node.domain.errors import InputFault, InvalidInput
from node.domain.secret import Secret
from node.settings.catalogue import catalogue
from node.settings.checks import check
from node.settings.explain import remedy, shown
from node.settings.foreign_secrets import secrets_of_environment
from node.settings.layers import Layer, Origin, OriginKind
from node.settings.model import Settings
from node.settings.named_values import (
    CONFIG_VARIABLE,
    PROFILE_VARIABLE,
    Dotenv,
    environment_layer,
    flag_layer,
)
from node.settings.profiles import profile_layer
from node.settings.text_file import display_path
from node.settings.toml_file import toml_layer
from node.settings.vocabulary import Milliseconds

CONFIG_FILES: Final = (Path("config/node.toml"), Path("node.toml"))
"""Where the settings file is looked for in the working directory when none is named."""

PROFILE_FOLDER: Final = Path("config/profiles")
DOTENV_FILE: Final = ".env"

_BOUNDS: Final = ("greater_than_equal", "less_than_equal")
"""What pydantic calls the errors that repeat a bound."""


@dataclass(frozen=True, slots=True)
class Loaded:
    """Settings and where each of them was written; a setting without an origin has its default.

    ``config_file`` is the settings file that was read, None where there is none; ``profile`` is empty
    where none was asked for. ``foreign`` are secrets of the environment that are no settings; see `foreign_secrets`.
    """

    settings: Settings
    origins: Mapping[str, Origin]
    config_file: Path | None
    profile: str
    foreign: tuple[Secret, ...] = ()


def load_settings(
    *,
    config_file: Path | None,
    profile: str | None,
    flags: Mapping[str, object],
    environ: Mapping[str, str],
    cwd: Path,
) -> Settings:
    """The settings alone, as `load` finds them.

    Raises:
        InvalidInput: with everything that is wrong, in all sources.
    """
    return load(config_file=config_file, profile=profile, flags=flags, environ=environ, cwd=cwd).settings


def load(
    *,
    config_file: Path | None,
    profile: str | None,
    flags: Mapping[str, object],
    environ: Mapping[str, str],
    cwd: Path,
    usual_profile: str = "",
) -> Loaded:
    """Find, read, merge and check the settings; nothing is read but the arguments and the files they lead to.

    ``config_file`` and ``profile`` are what flags name; without them the variables ``LLM_NODE_CONFIG`` and
    ``LLM_NODE_PROFILE`` count, then `CONFIG_FILES`. ``flags`` maps a setting's dotted name or its option
    (``--gateway``) to a value, or to None where the option was not given. Variables that are empty count as not
    there. Paths, also those in settings, are relative to ``cwd``. ``usual_profile`` counts where none is named at
    all. Reading blocks.

    Raises:
        InvalidInput: with everything that is wrong, in all sources.
    """
    dotenv = Dotenv(cwd / DOTENV_FILE, DOTENV_FILE)
    variables = {**dotenv.variables, **{name: value for name, value in environ.items() if value.strip()}}
    file = _config_file(config_file, variables.get(CONFIG_VARIABLE, "").strip(), cwd)
    profile = profile or variables.get(PROFILE_VARIABLE, "").strip() or usual_profile
    layers = [flag_layer(flags), environment_layer(environ), dotenv.layer()]
    if profile:
        beside = [file.parent / "profiles"] if file else []
        layers.append(profile_layer(profile, [*beside, PROFILE_FOLDER], cwd))
    if file:
        layers.append(toml_layer(file, display_path(file, cwd), OriginKind.FILE))
    faults = [fault for layer in layers for fault in layer.faults]
    settings, doubtful, invalid = _validate(layers)
    faults += invalid
    origins = _origins(layers)
    faults += check(settings, origins, cwd, doubtful)
    if faults:
        raise InvalidInput(faults)
    return Loaded(settings, origins, file, profile, tuple(secrets_of_environment(environ)))


def _config_file(named: Path | None, variable: str, cwd: Path) -> Path | None:
    if named is not None or variable:
        return cwd / (named or variable)
    return next((cwd / path for path in CONFIG_FILES if (cwd / path).is_file()), None)


def _origins(layers: Sequence[Layer]) -> dict[str, Origin]:
    origins: dict[str, Origin] = {}
    for layer in layers:
        for name, given in layer.given.items():
            origins.setdefault(name, given.origin)
    return origins


def _validate(layers: Sequence[Layer]) -> tuple[Settings, frozenset[str], list[InputFault]]:
    """The settings less what is not usable, the names of that, and its faults.

    What takes an unusable value's place, a weaker layer's or the default, is looked at in turn.
    """
    faults: list[InputFault] = []
    doubtful: frozenset[str] = frozenset()
    while True:
        try:
            return Settings([layer.nested() for layer in layers]), doubtful, faults
        except ValidationError as error:
            bad = {_name(detail["loc"]): detail for detail in reversed(error.errors(include_url=False))}
        for name, detail in reversed(bad.items()):
            faults.append(_fault(name, detail, layers))
        doubtful |= frozenset(bad)
        layers = _without_strongest(layers, frozenset(bad))


def _without_strongest(layers: Sequence[Layer], names: frozenset[str]) -> list[Layer]:
    left, kept = set(names), []
    for layer in layers:
        here = frozenset(left.intersection(layer.given))
        kept.append(layer.without(here))
        left -= here
    if left == names:
        raise AssertionError(f"the defaults of {', '.join(sorted(names))} are not valid")
    return kept


def _name(location: tuple[int | str, ...]) -> str:
    name = ".".join(str(part) for part in location[:2])
    return name if name in catalogue() else str(location[0])


def _fault(name: str, detail: Any, layers: Sequence[Layer]) -> InputFault:
    info = catalogue()[name]
    given = next(layer.given[name] for layer in layers if name in layer.given)
    reason = detail["msg"].removeprefix("Value error, ").removeprefix("Input ").rstrip(".")
    reason = reason[0].lower() + reason[1:]
    # A password with a comma in it makes two items of one address: only the whole shows that there is one.
    is_whole = len(detail["loc"]) <= name.count(".") + 1 or (isinstance(given.value, str) and "@" in given.value)
    item = given.value if is_whole else detail["input"]
    if {given.origin.place, given.origin.via}.intersection(info.in_ms):
        info, item = info.counted_in_ms(), Milliseconds.from_seconds(str(item))
        reason = "out of bounds" if detail["type"] in _BOUNDS else reason
    return given.origin.fault(f"{shown(item, secret=info.secret)}: {reason}", remedy(info), name)
