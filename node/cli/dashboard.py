"""The live screen of a run."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from node.app.assembly import Fleet
from node.app.telemetry import Telemetry
from node.cli.plain import engine_sentence
from node.domain.events import EngineChanged
from node.domain.presence import Presence
from node.monitors.histogram import Latency
from node.monitors.report import AUTH_WORDS
from node.monitors.snapshot import FleetView
from node.runtime.signals import Signal

_REFRESH_S: Final = 0.5
_BOX_WIDTH: Final = 24
_BOX_HEIGHT: Final = 10

_STYLES: Final = {
    Presence.PROCESSING: "green",
    Presence.IDLE: "cyan",
    Presence.CHECKING: "cyan",
    Presence.BACKING_OFF: "yellow",
    Presence.PAUSED: "yellow",
    Presence.DRAINING: "yellow",
    Presence.ERROR: "red",
}


class Dashboard:
    """A `node.app.simulation.Display` on a terminal: figures twice a second, and what happened last."""

    def __init__(self, console: Console, duration_s: float | None) -> None:
        self._console = console
        self._duration_s = duration_s
        self._live: Live | None = None

    def say(self, text: str) -> None:
        """See `Display.say`: above the figures, and kept when they go."""
        (self._live.console if self._live is not None else self._console).print(text, markup=False)

    async def watch(self, fleet: Fleet, telemetry: Telemetry, stop: Signal) -> None:
        """See `Display.watch`."""
        end = telemetry.bus.subscribe(EngineChanged, self._on_engine)
        try:
            with Live(console=self._console, auto_refresh=False, transient=True) as self._live:
                while not await stop.wait(_REFRESH_S):
                    self._live.update(self._render(fleet, telemetry), refresh=True)
        finally:
            self._live = None
            end()

    def _on_engine(self, event: EngineChanged) -> None:
        self.say(engine_sentence(event))

    def _render(self, fleet: Fleet, telemetry: Telemetry) -> RenderableType:
        view = telemetry.monitor.snapshot()
        boxes = [_nodes(view), _jobs(view, fleet.outbox.count()), _latencies(view), _health(view)]
        fitting = max(1, min(len(boxes), self._console.width // _BOX_WIDTH))
        parts: list[RenderableType] = [self._head(fleet, view), _row(boxes[:fitting])]
        if fitting < len(boxes):
            parts.append(_health_line(view))
        rows = self._console.height - _BOX_HEIGHT - len(parts) - 3
        if rows > 0:
            parts.append(_events(view, rows, telemetry.redactor.redact))
        return Group(*parts)

    def _head(self, fleet: Fleet, view: FleetView) -> Text:
        head = Text(overflow="ellipsis", no_wrap=True)
        head.append(f"{fleet.deployment.gateway_url}  ", style="bold")
        head.append(f"{_clock(view.uptime_s)}")
        if self._duration_s is not None:
            head.append(f" of {_clock(self._duration_s)}")
        if fleet.stopping.is_set:
            running = view.jobs_running
            head.append(f"  stopping, {running} jobs still run; Ctrl+C again stops at once", style="yellow")
        else:
            head.append("  Ctrl+C stops gracefully", style="dim")
        return head


def _row(boxes: list[Panel]) -> Table:
    grid = Table.grid(expand=True)
    for _ in boxes:
        grid.add_column(ratio=1)
    grid.add_row(*boxes)
    return grid


def _figures(title: str, rows: list[tuple[str, str | Text]]) -> Panel:
    table = Table.grid(padding=(0, 1), expand=True)
    table.add_column(style="dim", no_wrap=True)
    table.add_column(justify="right", no_wrap=True)
    for row in rows:
        table.add_row(*row)
    return Panel(table, title=title, title_align="left", height=_BOX_HEIGHT, padding=(0, 1))


def _nodes(view: FleetView) -> Panel:
    rows: list[tuple[str, str | Text]] = [
        (presence.value, Text(f"{count:,}", style=_STYLES.get(presence, "")))
        for presence, count in view.by_presence.items()
        if count
    ]
    return _figures(f"nodes {view.total:,}", rows[:8])


def _jobs(view: FleetView, unsent: int) -> Panel:
    jobs = view.jobs
    rows: list[tuple[str, str | Text]] = [
        ("per second", f"{view.jobs_per_s:.1f}"),
        ("received", f"{jobs.received:,}"),
        ("succeeded", Text(f"{jobs.succeeded:,}", style="green")),
        ("failed", Text(f"{jobs.failed:,}", style="red" if jobs.failed else "")),
        *((name, f"{count:,}") for name, count in sorted(jobs.by_executor.items())),
        ("unsent", Text(f"{unsent:,}", style="yellow" if unsent > view.total else "")),
    ]
    if jobs.refused:
        rows.append(("dead", Text(f"{jobs.refused:,}", style="red")))
    return _figures("jobs", rows[:8])


def _latencies(view: FleetView) -> Panel:
    table = Table.grid(padding=(0, 1), expand=True)
    table.add_column(style="dim", no_wrap=True)
    for _ in range(2):
        table.add_column(justify="right", no_wrap=True)
    table.add_row("ms", Text("p50", style="dim"), Text("p99", style="dim"))
    named = {"poll": view.poll, "lateness": view.lateness, "job": view.job, "result": view.result}
    for name, latency in named.items():
        table.add_row(name, *_percentiles(latency))
    table.add_row("", "", "")
    table.add_row("polls/s", f"{view.polls_per_s:.1f}", "")
    return Panel(table, title="latency", title_align="left", height=_BOX_HEIGHT, padding=(0, 1))


def _percentiles(latency: Latency) -> tuple[str, str]:
    if not latency.count:
        return "–", "–"
    return f"{latency.p50_s * 1000:,.0f}", f"{latency.p99_s * 1000:,.0f}"


def _health(view: FleetView) -> Panel:
    auth = Text(AUTH_WORDS.get(view.auth, view.auth), style="green" if view.auth == "closed" else "red")
    rows: list[tuple[str, str | Text]] = [("points", f"{view.points.points:,.1f}"), ("auth", auth)]
    if view.proxies_good or view.proxies_bad:
        rows.append(("proxies", f"{view.proxies_good} good, {view.proxies_bad} bad"))
    for engine, there in view.engines.items():
        rows.append((engine, Text("there", style="green") if there else Text("missing", style="yellow")))
    rows.append(("polls", f"{view.polls:,}"))
    rows.append(("failed", Text(f"{view.polls_failed:,}", style="yellow" if view.polls_failed else "")))
    if view.crashes:
        rows.append(("defects", Text(str(view.crashes), style="bold red")))
    return _figures("health", rows[:8])


def _health_line(view: FleetView) -> Text:
    engines = "".join(f", {name} {'there' if there else 'missing'}" for name, there in view.engines.items())
    proxies = (
        f", proxies {view.proxies_good} good {view.proxies_bad} bad" if view.proxies_good + view.proxies_bad else ""
    )
    polls = f"polls {view.polls_per_s:.1f}/s, {view.polls_failed} failed"
    text = f" {polls}, points {view.points.points:,.1f}, auth {AUTH_WORDS.get(view.auth, view.auth)}{engines}{proxies}"
    return Text(text, overflow="ellipsis", no_wrap=True)


def _events(view: FleetView, rows: int, redact: Callable[[str], str]) -> Panel:
    lines = Text(overflow="ellipsis", no_wrap=True)
    for happening in view.happenings[-rows:]:
        at = datetime.fromtimestamp(happening.at, UTC).astimezone()
        lines.append(f"{at:%H:%M:%S} ", style="dim")
        lines.append(f"{redact(str(happening))}\n", style="yellow" if happening.is_trouble else "")
    lines.rstrip()
    return Panel(lines, title="events", title_align="left", height=rows + 2, padding=(0, 1))


def _clock(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}"
