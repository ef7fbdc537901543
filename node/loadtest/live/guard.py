"""Who may read and steer by a port of this machine: its own people, and no page of another site in their browser.

A browser lets any site send requests to the loopback address, and one whose name an attacker resolves to that address
(DNS rebinding) may even read the answers. The former are told by ``Origin`` and ``Sec-Fetch-Site``, the latter by
``Host``; orders need a token besides, which stands in the page alone.
"""

from __future__ import annotations

import hmac
from typing import Final
from urllib.parse import urlsplit

from starlette.datastructures import Headers

from node.domain.secret import Secret

ORDER_HEADER: Final = "x-run-token"

_NAMES: Final = {"127.0.0.1", "localhost", "::1"}
_OWN_SITES: Final = {"same-origin", "none"}


def is_of_this_machine(headers: Headers) -> bool:
    """Whether the request was meant for this machine by a name that nobody can give to another; the port is any."""
    try:
        place = urlsplit(f"//{headers.get('host', '')}")
    except ValueError:
        return False
    return place.hostname in _NAMES and place.username is None


def is_of_own_page(headers: Headers) -> bool:
    """Whether no other site's page has made the request: a program has, or a page of this very host and port."""
    origin = headers.get("origin")
    if origin is not None and origin != f"http://{headers.get('host', '')}":
        return False
    return headers.get("sec-fetch-site", "none") in _OWN_SITES


def may_order(headers: Headers, token: Secret) -> bool:
    """Whether the request may steer the run."""
    given = headers.get(ORDER_HEADER, "").encode("latin-1")
    return is_of_own_page(headers) and hmac.compare_digest(given, token.reveal().encode())
