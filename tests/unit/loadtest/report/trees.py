"""XML read to be looked at."""

from __future__ import annotations

from xml.etree import ElementTree as ET


def tree(text: str) -> ET.Element:
    """The document's root."""
    return ET.fromstring(text.encode("utf-8"))  # noqa: S314 - it was written a moment ago, by the code under test
