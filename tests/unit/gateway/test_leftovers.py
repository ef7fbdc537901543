"""Connections whose insides are not known are not used again."""

from __future__ import annotations

import httpx

from node.gateway.leftovers import has_leftovers


def test_what_cannot_be_looked_into_has_leftovers() -> None:
    """So that another version of httpx costs connections, and never another's reply."""
    assert has_leftovers(httpx.Response(200, content=b"{}"))
