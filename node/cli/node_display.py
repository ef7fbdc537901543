"""One node in production without a screen: lines for a journal, as text, or as JSON where the logs are JSON."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from rich.console import Console

from node.app.assembly import Fleet
from node.app.telemetry import Telemetry
from node.cli.output import OutputLoss
from node.cli.plain import json_line
from node.domain.presence import Presence
from node.domain.states import Hold
from node.monitors.report import figures_line
from node.observability.status_document import hold_names
from node.runtime.signals import Signal
from node.settings.model import Settings


class NodeDisplay:
    """A `node.app.display.Display`. Engines, troubles and the node's life come to the console by way of the log."""

    def __init__(self, console: Console, settings: Settings, loss: OutputLoss) -> None:
        self._console = console
        self._interval_s = settings.fleet.status_report_s
        self._json = settings.logging.json_lines
        self._loss = loss

    def say(self, text: str) -> None:
        """See `Display.say`."""
        self._console.print(json_line("notice", text=text) if self._json else text, markup=False, soft_wrap=True)

    async def watch(self, fleet: Fleet, telemetry: Telemetry, stop: Signal) -> None:
        """See `Display.watch`."""
        logs = telemetry.logs
        self._loss.told_to(lambda text: logs.write(logging.WARNING, {"event": "output lost", "reason": text}))
        while not await stop.wait(self._interval_s):
            self._report(fleet, telemetry)

    def _report(self, fleet: Fleet, telemetry: Telemetry) -> None:
        nodes, waiting = telemetry.monitor.nodes(), fleet.outbox.count()
        does = ", ".join(f"{node.node}: {condition(node.presence.value, hold_names(node.holds))}" for node in nodes)
        line = f"{does} | {figures_line(telemetry.monitor.snapshot())}"
        if self._json:
            line = json_line("status", text=line, unsent=waiting)
        elif waiting:
            line += f" | unsent {waiting}"
        self._console.print(line, markup=False, soft_wrap=True)


def condition(presence: str, holds: Sequence[str]) -> str:
    """What a node does, in some words: its `Presence`, and what keeps it from claiming, each by its name."""
    if presence != Presence.PAUSED.value:
        return f"{presence} (claims nothing: {', '.join(holds)})" if holds else presence
    ordered = hold_names(Hold.PAUSED)
    others = [hold for hold in holds if hold not in ordered]
    held = f"held back by {', '.join(others)}" if others else ""
    return " and ".join(part for part in (presence if set(ordered) & set(holds) else "", held) if part)
