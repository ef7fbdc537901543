"""A circuit breaker's states and what moves it from one to the next."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from types import MappingProxyType
from typing import Final


class Circuit(Enum):
    """Whether requests may pass."""

    CLOSED = "closed"
    """They may: the service is held to be healthy."""
    OPEN = "open"
    """They wait."""
    HALF_OPEN = "half-open"
    """One may pass, to see whether the service is back."""


class CircuitInput(Enum):
    """What is learnt of the service."""

    TRIPPED = "too many failures in a row"
    ELAPSED = "time for a probe"
    PROBE_FAILED = "the probe failed"
    ANSWERED = "the service answered"


CIRCUIT_TABLE: Final[Mapping[tuple[Circuit, CircuitInput], Circuit]] = MappingProxyType(
    {
        (Circuit.CLOSED, CircuitInput.TRIPPED): Circuit.OPEN,
        (Circuit.CLOSED, CircuitInput.ANSWERED): Circuit.CLOSED,
        (Circuit.OPEN, CircuitInput.ELAPSED): Circuit.HALF_OPEN,
        (Circuit.OPEN, CircuitInput.ANSWERED): Circuit.CLOSED,
        (Circuit.HALF_OPEN, CircuitInput.PROBE_FAILED): Circuit.OPEN,
        (Circuit.HALF_OPEN, CircuitInput.ANSWERED): Circuit.CLOSED,
    }
)
"""An answer closes the circuit whoever got it, also one who had asked before it opened."""
