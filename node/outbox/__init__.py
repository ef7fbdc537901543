"""Finished results, kept on disk until a source has taken them, and the one sender of a fleet."""

from typing import Final

TOPIC: Final = "outbox"
"""Of the notices that the modules of this package emit."""
