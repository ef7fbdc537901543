"""Profiles: named sets of settings that are laid over the settings file."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Final

from node.domain.errors import InputFault
from node.domain.policies import NodePolicy, StaggerPolicy
from node.settings.explain import closest
from node.settings.layers import Layer, Origin, OriginKind
from node.settings.text_file import display_path
from node.settings.toml_file import table_layer, toml_layer

_NODE: Final = NodePolicy()
_STAGGER: Final = StaggerPolicy()

NETWORK: Final[Mapping[str, Mapping[str, float | str]]] = MappingProxyType(
    {
        "node": {"poll_cycle_s": _NODE.poll_cycle_s},
        "fleet": {
            "min_start_delay_s": _STAGGER.min_s,
            "max_start_delay_s": _STAGGER.max_s,
            "start_spacing_s": _STAGGER.spacing_s,
            "start_jitter_s": _STAGGER.jitter_s,
            "recovery_min_s": _NODE.recovery.low,
            "recovery_max_s": _NODE.recovery.high,
            "models_update_min_s": _NODE.models_update.low,
            "models_update_max_s": _NODE.models_update.high,
            "points_check_s": _NODE.points_check_s,
            "status_report_s": 60.0,
        },
        "ollama": {"model_override": "llama3.1:latest"},
    }
)
"""The intervals that the well-known network documents, and the one model that its nodes run."""

PRODUCTION: Final[Mapping[str, Mapping[str, float | str]]] = MappingProxyType(
    {
        "fleet": {
            "recovery_min_s": 10.0,
            "recovery_max_s": 60.0,
            "models_update_min_s": _NODE.models_update.low,
            "models_update_max_s": _NODE.models_update.high,
            "points_check_s": _NODE.points_check_s,
            "status_report_s": 60.0,
        },
    }
)
"""What `node` goes by where no other profile is named: the network's own intervals, but for a shorter rest after a fault."""

BUILT_IN: Final[Mapping[str, Mapping[str, Mapping[str, float | str]]]] = MappingProxyType(
    {"network": NETWORK, "production": PRODUCTION}
)
"""Profiles that are there without a file; a file of the same name takes their place."""


def profile_layer(profile: str, folders: Iterable[Path], cwd: Path) -> Layer:
    """A profile by its name, looked for in these folders and among the built-in ones, or by its file's path.

    Never raises: a profile that is not there or not usable is a fault of the layer.
    """
    if "/" in profile or profile.endswith(".toml"):
        path = cwd / profile
        return toml_layer(path, display_path(path, cwd), OriginKind.PROFILE)
    places = [cwd / folder for folder in folders]
    for path in (place / f"{profile}.toml" for place in places):
        if path.is_file():
            return toml_layer(path, display_path(path, cwd), OriginKind.PROFILE)
    tables = BUILT_IN.get(profile)
    if tables is not None:
        return table_layer(tables, Origin(OriginKind.PROFILE, f"{profile} (built in)"), {})
    known = sorted({*BUILT_IN, *(path.stem for place in places for path in place.glob("*.toml"))})
    guess = closest(profile, known)
    remedy = (f"did you mean {guess}? " if guess else "") + f"The profiles are {', '.join(known)}"
    return Layer(faults=(InputFault("profile", f"there is no profile {profile!r}", remedy),))
