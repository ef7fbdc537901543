"""Settings by name: flags of the command line, variables of the environment, and the lines of a ``.env`` file."""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from string import ascii_letters, digits
from typing import Final

from dotenv.parser import parse_stream

from node.domain.errors import InputFault
from node.settings.catalogue import ENV_DELIMITER, ENV_PREFIX, catalogue
from node.settings.explain import closest
from node.settings.layers import Given, Layer, Origin, OriginKind
from node.settings.text_file import printable, read_text
from node.settings.vocabulary import Milliseconds

CONFIG_VARIABLE: Final = f"{ENV_PREFIX}CONFIG"
"""Names the settings file where no flag does."""

PROFILE_VARIABLE: Final = f"{ENV_PREFIX}PROFILE"
"""Names the profile where no flag does."""

_NAME_LETTERS: Final = frozenset(f"{ascii_letters}{digits}_.-")


def flag_layer(flags: Mapping[str, object]) -> Layer:
    """The settings given on the command line, by their own names or by those of their options.

    None means that an option was not given; a name that is no setting's is a fault of the layer.
    """
    by_flag = {info.flag: info.name for info in catalogue().values() if info.flag}
    given: dict[str, Given] = {}
    faults: list[InputFault] = []
    for flag, value in flags.items():
        if value is None:
            continue
        info = catalogue().get(by_flag.get(flag, flag))
        if info is None:
            faults.append(_unknown_flag(flag, [*catalogue(), *by_flag]))
        else:
            given[info.name] = Given(value, Origin(OriginKind.FLAG, info.flag_label))
    return Layer(given, tuple(faults))


def environment_layer(environ: Mapping[str, str]) -> Layer:
    """The settings among these variables; an empty variable counts as none.

    A variable that begins like ours and names no setting is a fault of the layer.
    """
    return _layer((name, value, Origin(OriginKind.ENVIRONMENT, printable(name))) for name, value in environ.items())


class Dotenv:
    """A ``.env`` file: its variables, without touching the process's environment. One that is not there is empty.

    Values are taken as they stand: ``$NAME`` and ``${NAME}`` are not replaced.
    """

    def __init__(self, path: Path, label: str) -> None:
        """Read the file; ``label`` is its name for people. Never raises: what is wrong with it `layer` tells."""
        self._label = label
        self._lines: dict[str, tuple[str, int]] = {}
        self._faults: list[InputFault] = []
        if not path.is_file():
            return
        text, faults = read_text(path, label)
        self._faults += faults
        for name, value, line in self._bindings(text):
            self._lines[name] = (value, line)

    @property
    def variables(self) -> dict[str, str]:
        """The variables by name; of several lines for one the last counts."""
        return {name: value for name, (value, _) in self._lines.items()}

    def layer(self) -> Layer:
        """The settings among them, as for `environment_layer`, and all that is wrong with the file."""
        found = _layer(
            (name, value, Origin(OriginKind.DOTENV, self._label, line, via=name))
            for name, (value, line) in self._lines.items()
        )
        return Layer(found.given, (*self._faults, *found.faults))

    def _bindings(self, text: str) -> Iterator[tuple[str, str, int]]:
        for binding in parse_stream(io.StringIO(text)):
            raw = binding.original.string
            line = binding.original.line + raw[: len(raw) - len(raw.lstrip())].count("\n")
            if binding.error:
                self._faults.append(
                    InputFault(self._label, "the line is not readable", "write NAME=value, or # before a comment", line)
                )
            elif binding.key is not None and binding.value is not None:
                yield binding.key, binding.value, line


def _layer(variables: Iterable[tuple[str, str, Origin]]) -> Layer:
    known = {name: (info.name, rank) for info in catalogue().values() for rank, name in enumerate(info.env_names)}
    given: dict[str, Given] = {}
    ranks: dict[str, int] = {}
    faults: list[InputFault] = []
    for variable, value, origin in variables:
        if variable not in known:
            if variable.startswith(ENV_PREFIX) and ENV_DELIMITER in variable:
                faults.append(_unknown_variable(variable, origin, known))
            continue
        name, rank = known[variable]
        if value.strip() and rank <= ranks.get(name, rank):
            in_ms = variable in catalogue()[name].in_ms
            given[name], ranks[name] = Given(Milliseconds.to_seconds(value) if in_ms else value, origin), rank
    return Layer(given, tuple(faults))


def _unknown_variable(variable: str, origin: Origin, known: Iterable[str]) -> InputFault:
    guess = closest(variable, known)
    hint = f"did you mean {guess}?" if guess else "`config show` lists all settings"
    return origin.fault(f"{printable(variable)} is no setting", f"{hint} Otherwise unset it")


def _unknown_flag(flag: str, known: Iterable[str]) -> InputFault:
    guess = closest(flag, known)
    remedy = f"did you mean {guess}?" if guess else "`config show` lists all settings"
    # Whoever mistypes the = may have a secret in what is taken for the name.
    begin = flag[: next((place for place, letter in enumerate(flag) if letter not in _NAME_LETTERS), len(flag))]
    shown = flag if begin == flag else f"{begin}…"
    return InputFault("command line", f"{printable(shown)} is no setting", remedy)
