"""A run without a live screen: a line now and then, fit for files and pipes."""

from __future__ import annotations

import json
from datetime import UTC, datetime

from rich.console import Console

from node.app.assembly import Fleet
from node.app.telemetry import Telemetry
from node.domain.events import EngineChanged
from node.monitors.report import report_line
from node.runtime.signals import Signal
from node.settings.model import Settings


class PlainDisplay:
    """A `node.app.simulation.Display` of lines: text, or JSON where the logs are JSON."""

    def __init__(self, console: Console, settings: Settings) -> None:
        self._console = console
        self._interval_s = settings.fleet.status_report_s
        self._json = settings.logging.json_lines

    def say(self, text: str) -> None:
        """See `Display.say`."""
        self._console.print(json_line("notice", text=text) if self._json else text, markup=False, soft_wrap=True)

    async def watch(self, fleet: Fleet, telemetry: Telemetry, stop: Signal) -> None:
        """See `Display.watch`."""
        end = telemetry.bus.subscribe(EngineChanged, self._on_engine)
        try:
            while not await stop.wait(self._interval_s):
                self._report(fleet, telemetry)
        finally:
            end()

    def _report(self, fleet: Fleet, telemetry: Telemetry) -> None:
        line = report_line(telemetry.monitor.snapshot())
        if self._json:
            line = json_line("status", text=line, unsent=fleet.outbox.count())
        elif waiting := fleet.outbox.count():
            line += f" | unsent {waiting}"
        self._console.print(line, markup=False, soft_wrap=True)

    def _on_engine(self, event: EngineChanged) -> None:
        self.say(engine_sentence(event))


def json_line(event: str, **fields: object) -> str:
    """One line of the output of a run whose logs are JSON: the fields, and ``timestamp`` (UTC, ISO 8601)."""
    at = datetime.now(UTC).isoformat(timespec="milliseconds")
    return json.dumps({"timestamp": at, "event": event, **fields})


def engine_sentence(event: EngineChanged) -> str:
    """What an engine's coming or going means for the run."""
    if event.available:
        return f"{event.engine} is there: it takes jobs."
    return f"{event.reason.rstrip('.')}. Until it is, its jobs go to the next executor."
