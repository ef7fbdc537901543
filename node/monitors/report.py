"""The fleet in a line, every so often."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from node.domain.presence import Presence
from node.monitors.histogram import Latency
from node.monitors.snapshot import FleetView
from node.runtime.signals import Signal

AUTH_WORDS: Final = {"closed": "healthy", "open": "down", "half-open": "probing"}
"""What the states of the auth circuit mean to people."""


def report_line(fleet: FleetView) -> str:
    """One line of plain text without an end of line; latencies in ms; what has no figures yet is left out."""
    present = ", ".join(
        f"{fleet.by_presence[presence]} {presence.value}" for presence in Presence if fleet.by_presence[presence]
    )
    return f"{fleet.total} nodes: {present or 'none'} | {figures_line(fleet)}"


def figures_line(fleet: FleetView) -> str:
    """The same line without what nodes do at the moment."""
    jobs = fleet.jobs
    parts = [
        f"jobs {jobs.answered}/{jobs.received} ({jobs.succeeded} ok, {jobs.failed} failed), {fleet.jobs_per_s:.1f}/s",
        f"polls {fleet.polls} ({fleet.polls_failed} failed), {fleet.polls_per_s:.1f}/s",
        _latency("poll", fleet.poll),
        _latency("job", fleet.job),
        f"refused {jobs.refused}" if jobs.refused else "",
        f"points {fleet.points.points:g}",
        f"auth {AUTH_WORDS.get(fleet.auth, fleet.auth)}",
    ]
    if fleet.proxies_good or fleet.proxies_bad:
        parts.append(f"proxies {fleet.proxies_good} good, {fleet.proxies_bad} bad")
    return " | ".join(part for part in parts if part)


class PeriodicReport:
    """Tells a line about the fleet every ``interval_s`` seconds, the first one after that time."""

    def __init__(self, snapshot: Callable[[], FleetView], tell: Callable[[str], object], interval_s: float) -> None:
        self._snapshot = snapshot
        self._tell = tell
        self._interval_s = interval_s

    async def run(self, stop: Signal) -> None:
        """Go on until ``stop`` is set; what ``tell`` raises ends it."""
        while not await stop.wait(self._interval_s):
            self._tell(report_line(self._snapshot()))


def _latency(name: str, latency: Latency) -> str:
    if not latency.count:
        return ""
    return f"{name} p50 {latency.p50_s * 1000:.0f} ms, p99 {latency.p99_s * 1000:.0f} ms"
