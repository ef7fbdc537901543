"""The files that settings name: roster, proxies and prompt files, and what stands in for those that are missing.

A file that is missing under its default name is no fault, so that the program runs in an empty folder; one
that a flag, a variable or a profile names, or the settings file by another name, must be there. Reading blocks:
it is for the time before the event loop runs.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from node.domain.errors import InputFault, InvalidInput
from node.domain.identity import NodeSpec
from node.domain.proxies import ProxyAddress
from node.settings.catalogue import catalogue
from node.settings.layers import DEFAULT_ORIGIN, OriginKind
from node.settings.load import Loaded
from node.settings.proxies import ProxyList, load_proxies
from node.settings.roster import Roster, load_roster, parse_roster
from node.settings.simulated import roster_text
from node.settings.text_file import display_path


@dataclass(frozen=True, slots=True)
class FleetInputs:
    """The nodes and proxies of a run, and the rows and lines that were left out.

    ``simulated`` says that there is no roster and the nodes were made up.
    """

    nodes: tuple[NodeSpec, ...]
    proxies: tuple[ProxyAddress, ...]
    faults: tuple[InputFault, ...]
    simulated: bool


def read_fleet_inputs(loaded: Loaded, cwd: Path) -> FleetInputs:
    """Read the roster and the proxies; ``cwd`` is what their paths are relative to.

    Raises:
        InvalidInput: a file is missing or unusable, no node is left, or anything is wrong and ``fleet.strict``
            is set; always with everything that is wrong in both files.
    """
    fleet = loaded.settings.fleet
    unreadable: list[InputFault] = []
    roster, pool = Roster((), ()), ProxyList((), ())
    simulated = _stood_in_for(loaded, "fleet.roster", fleet.roster, cwd)
    try:
        roster = _simulated() if simulated else _roster(fleet.roster, cwd)
    except InvalidInput as error:
        unreadable += error.faults
    try:
        if fleet.proxies and not _stood_in_for(loaded, "fleet.proxies", fleet.proxies, cwd):
            pool = load_proxies(cwd / fleet.proxies, place=display_path(fleet.proxies, cwd))
    except InvalidInput as error:
        unreadable += error.faults
    faults = (*unreadable, *roster.faults, *pool.faults)
    if unreadable or not roster.nodes or (fleet.strict and faults):
        raise InvalidInput(faults)
    return FleetInputs(roster.nodes, pool.proxies, faults, simulated)


def prompt_files(loaded: Loaded, cwd: Path) -> tuple[Path, ...]:
    """The prompt files to read, by their paths below ``cwd``; default files that are missing are left out.

    Raises:
        InvalidInput: a file that was asked for is missing.
    """
    origin = loaded.origins.get("stored.files", DEFAULT_ORIGIN)
    files = loaded.settings.stored.files
    missing = [path for path in files if not (cwd / path).is_file()]
    faults = [
        origin.fault(f"there is no file {str(path)!r}", "correct the path", "stored.files")
        for path in missing
        if not _stood_in_for(loaded, "stored.files", path, cwd)
    ]
    if faults:
        raise InvalidInput(faults)
    return tuple(cwd / path for path in files if path not in missing)


def _stood_in_for(loaded: Loaded, name: str, path: Path, cwd: Path) -> bool:
    """Whether this file is missing, and may be."""
    default = catalogue()[name].default
    by_default = path in default if isinstance(default, tuple) else path == default
    said = loaded.origins.get(name, DEFAULT_ORIGIN).kind not in {OriginKind.DEFAULT, OriginKind.FILE}
    return by_default and not said and not (cwd / path).exists()


def _roster(path: Path, cwd: Path) -> Roster:
    place = display_path(path, cwd)
    roster = load_roster(cwd / path, place=place)
    if roster.nodes:
        return roster
    empty = InputFault(place, "the file names no usable node", "add a row, or write a roster with `roster --nodes 20`")
    return Roster((), (*roster.faults, empty))


def _simulated() -> Roster:
    return parse_roster(roster_text(), "simulated roster")
