"""The proxy pool, ``proxies.txt``: an address a line."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from node.domain.errors import InputFault, InvalidInput
from node.domain.proxies import ProxyAddress
from node.settings.roster import PROXY_REMEDY
from node.settings.text_file import is_utf8, read_lenient_text


class ProxyList(NamedTuple):
    """The proxies of a list, in its order, and what was wrong with the other lines."""

    proxies: tuple[ProxyAddress, ...]
    faults: tuple[InputFault, ...]


def load_proxies(path: Path, *, place: str = "") -> ProxyList:
    """Read a file of proxies; ``place`` is its name in faults, its path where none is given.

    No fault repeats a line, which may hold a password.

    Raises:
        InvalidInput: the file is missing or unreadable.
    """
    text, faults = read_lenient_text(path, place or str(path))
    if faults:
        raise InvalidInput(faults)
    return parse_proxies(text, place or str(path))


def parse_proxies(text: str, place: str) -> ProxyList:
    """Read a list of proxies; ``place`` is its name in faults. Blank lines and ``#`` comments are passed over.

    Never raises: a line that is no proxy, or one that is there already, is a fault, and the others are taken.
    """
    found: dict[ProxyAddress, int] = {}
    faults: list[InputFault] = []
    for line, content in enumerate(text.replace("\r\n", "\n").replace("\r", "\n").split("\n"), 1):
        address = content.strip()
        if not address or address.startswith("#"):
            continue
        try:
            proxy = _parse(address)
        except ValueError as error:
            faults.append(InputFault(place, str(error), PROXY_REMEDY, line))
            continue
        if proxy in found:
            faults.append(InputFault(place, f"the same proxy is in line {found[proxy]}", "remove one of them", line))
        else:
            found[proxy] = line
    return ProxyList(tuple(found), tuple(faults))


def _parse(address: str) -> ProxyAddress:
    if not is_utf8(address) or "\0" in address:
        raise ValueError("the line is not text in UTF-8")
    return ProxyAddress.parse(address)
