"""Watching and steering a node from outside: what it tells of itself, and the three things it can be told."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from node.domain.ids import NodeId
from node.domain.presence import Presence
from node.domain.states import Hold, Life


@dataclass(frozen=True, slots=True)
class EngineStatus:
    """An engine: whether it can be reached, why not, and by model the state of the circuit before it.

    A circuit is "closed" (jobs pass), "open" or "half-open"; models whose circuit never moved are not there.
    """

    name: str
    available: bool
    reason: str = ""
    breakers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class OutboxStatus:
    """The results that wait: how many, and the age of the oldest in seconds, None while none waits."""

    depth: int
    oldest_age_s: float | None = None


@dataclass(frozen=True, slots=True)
class Status:
    """A node at one moment, free of secrets.

    ``worker`` names the process, ``last_poll_age_s`` is the time since the source last answered, None before it did.
    ``jobs`` counts by what became of them; ``models`` is what the gateway was told last.
    """

    node: NodeId
    worker: str
    version: str
    life: Life
    presence: Presence
    holds: Hold
    slots_used: int
    slots_total: int
    last_poll_age_s: float | None
    jobs: Mapping[str, int]
    outbox: OutboxStatus
    engines: tuple[EngineStatus, ...]
    models: tuple[str, ...]
    uptime_s: float


class Check(NamedTuple):
    """One condition of readiness; ``detail`` is a sentence for people, also where it holds."""

    name: str
    ok: bool
    detail: str


class StatusSource(Protocol):
    """Tells of a node; both calls return at once and are made for every request."""

    def status(self) -> Status:
        """The node now."""
        ...

    def checks(self) -> tuple[Check, ...]:
        """All that must hold for the node to take jobs, in a fixed order: it is ready when all are ok."""
        ...


class Control(Protocol):
    """Steers a node; calls return at once, may be repeated, and do nothing where there is nothing to change."""

    def pause(self) -> None:
        """Claim no more jobs; those under way go on."""
        ...

    def resume(self) -> None:
        """Claim again; has no effect on a node that drains."""
        ...

    def drain(self) -> None:
        """Claim no more jobs, end those under way within the stop's deadline, leave, and end."""
        ...
