"""What a gateway shows of itself at one moment."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple


@dataclass(frozen=True, slots=True)
class NetworkStats:
    """The network at one moment.

    ``active_nodes`` are in session and were seen within the policy's ``active_s``; ``models`` are what they offer,
    by name. ``jobs`` and ``accepted`` count all jobs and answers since the journal, or else the gateway, began.
    """

    active_nodes: int
    known_nodes: int
    models: tuple[str, ...]
    jobs: int
    accepted: int


class JobPage(NamedTuple):
    """Rows as `Ledger.page` gives them, where the next page begins, and how many jobs have no row any more.

    ``now`` is the gateway's time, in Unix seconds.
    """

    now: float
    rows: list[bytes]
    next_after: int | None
    dropped: int
