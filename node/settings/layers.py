"""Where settings come from: layers of raw values, each value with its origin."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, NamedTuple

from node.domain.errors import InputFault


class OriginKind(Enum):
    """The layers, the strongest first."""

    FLAG = "flag"
    ENVIRONMENT = "environment"
    DOTENV = ".env"
    PROFILE = "profile"
    FILE = "file"
    DEFAULT = "default"


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a value was written: a flag's or variable's name, or a file and the line in it, counted from 1.

    ``via`` is the variable's name where the file is a ``.env``.
    """

    kind: OriginKind
    place: str = ""
    line: int | None = None
    via: str = ""

    def __str__(self) -> str:
        where = self.place if self.line is None else f"{self.place}:{self.line}"
        match self.kind:
            case OriginKind.DEFAULT:
                return "default"
            case OriginKind.FILE:
                return where
            case OriginKind.DOTENV:
                return f"{where} {self.via}"
            case OriginKind.FLAG | OriginKind.ENVIRONMENT | OriginKind.PROFILE:
                return f"{self.kind.value} {where}"

    def fault(self, problem: str, remedy: str, name: str = "") -> InputFault:
        """A fault of what was written here; ``name`` is the setting's, empty where the fault is not one setting's."""
        place = f"environment {self.place}" if self.kind is OriginKind.ENVIRONMENT else self.place
        return InputFault(place or str(self), problem, remedy, self.line, name or None)


DEFAULT_ORIGIN = Origin(OriginKind.DEFAULT)


class Given(NamedTuple):
    """A value as it was written, and where."""

    value: object
    origin: Origin


@dataclass(frozen=True, slots=True)
class Layer:
    """The values of one source by the names of their settings, and what was wrong with the source itself."""

    given: Mapping[str, Given] = field(default_factory=dict)
    faults: tuple[InputFault, ...] = ()

    def nested(self) -> dict[str, Any]:
        """Its values as the settings model takes them: a table a section."""
        tables: dict[str, Any] = {}
        for name, (value, _) in self.given.items():
            section, _, key = name.rpartition(".")
            (tables.setdefault(section, {}) if section else tables)[key] = value
        return tables

    def without(self, names: frozenset[str]) -> Layer:
        """The same layer less these settings."""
        return Layer({name: given for name, given in self.given.items() if name not in names}, self.faults)
