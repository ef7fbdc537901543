"""The flat list of all settings, each by its dotted name, drawn from the models' own metadata."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, Literal, get_args, get_origin

from annotated_types import Ge, Le
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from node.domain.secret import Secret
from node.settings.model import Settings
from node.settings.vocabulary import Milliseconds

ENV_PREFIX: Final = "LLM_NODE_"
ENV_DELIMITER: Final = "__"

ValueKind = Literal["whole number", "number", "true or false", "text", "path", "list", "choice"]


@dataclass(frozen=True, slots=True)
class SettingInfo:
    """What there is to know about a setting.

    ``name`` is ``section.key``, or the key alone for the few that are in no section. ``env_names`` are the
    names it may be given by in the environment, the strongest first, ``in_ms`` those among them whose
    numbers are milliseconds. ``unit`` is a word for people, empty where
    there is none to tell. ``low`` and ``high`` are the bounds, both included, None where there is none. ``choices``
    are the words that a choice, or a list of choices, may hold. ``flag`` is the option that stands for it, empty
    where ``--set`` alone does.
    """

    name: str
    description: str
    kind: ValueKind
    default: object
    env_names: tuple[str, ...]
    unit: str = ""
    in_ms: tuple[str, ...] = ()
    flag: str = ""
    low: float | None = None
    high: float | None = None
    choices: tuple[str, ...] = ()
    secret: bool = False

    @property
    def section(self) -> str:
        """The table it stands in; empty for the top of the file."""
        return self.name.rpartition(".")[0]

    @property
    def key(self) -> str:
        """Its name within its table."""
        return self.name.rpartition(".")[2]

    def env_label(self, name: str) -> str:
        """One of its ``env_names`` for people, with the unit that it counts in where that is its own."""
        return f"{name} (in ms)" if name in self.in_ms else name

    def counted_in_ms(self) -> SettingInfo:
        """The same with bounds and default in milliseconds, as variables in ``in_ms`` have it."""
        low, high = (None if bound is None else bound * 1000 for bound in (self.low, self.high))
        default = self.default * 1000 if isinstance(self.default, int | float) else self.default
        return replace(self, unit="milliseconds", low=low, high=high, default=default)

    @property
    def flag_label(self) -> str:
        """The option of the command line that gives it."""
        return self.flag or f"--set {self.name}"


@functools.cache
def sections() -> Mapping[str, str]:
    """The tables of the settings file in their order, each with a sentence that says what it is about."""
    return MappingProxyType({name: (model.__doc__ or "").strip() for name, model in _models()})


@functools.cache
def catalogue() -> Mapping[str, SettingInfo]:
    """All settings by name, in the order of the settings file."""
    infos = [
        _describe(name, field)
        for name, field in Settings.model_fields.items()
        if not isinstance(field.default, BaseModel)
    ]
    infos += [
        _describe(f"{section}.{key}", field)
        for section, model in _models()
        for key, field in model.model_fields.items()
    ]
    return MappingProxyType({info.name: info for info in infos})


def _models() -> Iterator[tuple[str, type[BaseModel]]]:
    for name, field in Settings.model_fields.items():
        if isinstance(field.default, BaseModel):
            yield name, type(field.default)


def _describe(name: str, info: FieldInfo) -> SettingInfo:
    extra = info.json_schema_extra
    about: Mapping[str, Any] = extra if isinstance(extra, dict) else {}
    kind, choices = _kind(info.annotation)
    variables: Sequence[str | Milliseconds] = about.get("env", ())
    uniform = ENV_PREFIX + name.replace(".", ENV_DELIMITER).upper()
    return SettingInfo(
        name=name,
        description=info.description or "",
        kind=kind,
        default=info.default,
        env_names=(uniform, *(name if isinstance(name, str) else name.name for name in variables)),
        in_ms=tuple(name.name for name in variables if isinstance(name, Milliseconds)),
        unit=about.get("unit", ""),
        flag=about.get("flag", ""),
        low=next((float(str(part.ge)) for part in info.metadata if isinstance(part, Ge)), None),
        high=next((float(str(part.le)) for part in info.metadata if isinstance(part, Le)), None),
        choices=choices,
        secret=info.annotation is Secret,
    )


def _kind(annotation: Any) -> tuple[ValueKind, tuple[str, ...]]:
    simple: dict[Any, ValueKind] = {int: "whole number", float: "number", bool: "true or false"}
    if annotation in simple:
        return simple[annotation], ()
    if get_origin(annotation) is Literal:
        return "choice", get_args(annotation)
    if get_origin(annotation) is tuple:
        return "list", _kind(get_args(annotation)[0])[1]
    if annotation is Path or Path in get_args(annotation):
        return "path", ()
    return "text", ()
