"""Which gateways simulated nodes may be pointed at: loopback, and those that the operator declares as their own."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from urllib.parse import urlsplit

from node.domain.errors import NotAllowed


def check_own(urls: Iterable[str], owned: Iterable[str]) -> None:
    """Let pass what is on loopback or listed: addresses are compared by scheme, host and port.

    ``localhost`` counts as loopback; no other name does, since none is looked up.

    Raises:
        NotAllowed: one of the addresses is neither; the message says how to declare it.
    """
    own = tuple(owned)
    foreign = [url for url in urls if not _is_loopback(url) and not is_own(url, own)]
    if foreign:
        listed = ", ".join(f'"{url}"' for url in foreign)
        raise NotAllowed(
            f"simulated nodes and answers are for your own gateway, and {' and '.join(foreign)} is not declared as"
            f" yours. If it is, say so in the settings file: [gateway] owned = [{listed}]"
        )


def is_own(url: str, owned: Iterable[str]) -> bool:
    """Whether an address is among those listed, by scheme, host and port."""
    return _origin(url) in map(_origin, owned)


def _origin(url: str) -> tuple[str, str, int | None]:
    parts = urlsplit(url)
    port = parts.port or {"http": 80, "https": 443}.get(parts.scheme)
    return parts.scheme, (parts.hostname or "").rstrip("."), port


def _is_loopback(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
