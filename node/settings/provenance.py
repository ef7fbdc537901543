"""The effective settings and where each came from, fit to be shown."""

from __future__ import annotations

from dataclasses import dataclass

from node.settings.catalogue import SettingInfo, catalogue
from node.settings.checks import value_of
from node.settings.explain import fit_to_show, toml_value
from node.settings.layers import DEFAULT_ORIGIN, Origin
from node.settings.load import Loaded


@dataclass(frozen=True, slots=True)
class Effective:
    """A setting as it is in this run: its value as TOML writes it and where it was written.

    Secrets are masked, and so is what may be one in an address: see `fit_to_show`.
    """

    info: SettingInfo
    value: str
    origin: Origin
    changed: bool
    """Whether the value is another than the default."""


def effective(loaded: Loaded) -> tuple[Effective, ...]:
    """All settings, those at their defaults too, in the order of the settings file."""
    return tuple(_effective(info, loaded) for info in catalogue().values())


def _effective(info: SettingInfo, loaded: Loaded) -> Effective:
    value = value_of(loaded.settings, info.name)
    return Effective(
        info=info,
        value=toml_value(fit_to_show(value)),
        origin=loaded.origins.get(info.name, DEFAULT_ORIGIN),
        changed=value != info.default,
    )
