"""Listens to what nodes do and keeps the figures."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from itertools import islice
from types import MappingProxyType
from typing import Any

from node.domain import events as ev
from node.domain.ids import NodeId
from node.domain.presence import Presence, describe
from node.domain.results import Points
from node.domain.states import Life, Session
from node.monitors.feed import Feed
from node.monitors.histogram import Histogram
from node.monitors.snapshot import FleetView, NodeView
from node.monitors.stats import NodeStats, RateWindow, Tally
from node.ports.clock import Clock


class NodeMonitor:
    """Figures of every node and of the fleet, from events alone; it only listens.

    Make it inside the running loop, and use it there. ``fleet`` are the nodes there will be; one that is not among
    them is added when it is first heard of.
    """

    def __init__(self, clock: Clock, fleet: Iterable[NodeId] = ()) -> None:
        self._clock = clock
        self._wall = clock.wall
        self._monotonic = clock.monotonic
        self._started = now = clock.monotonic()
        self._nodes = {node: NodeStats(node) for node in fleet}
        self._changed: dict[NodeStats, None] = {}
        """Nodes whose presence is to be told anew: looked at by who asks, not at each of a job's events."""
        self._lives = Counter({Life.NEW: len(self._nodes)})
        self._presences = Counter({Presence.INITIALIZING: len(self._nodes)})
        self._tally = Tally()
        self._jobs_running = 0
        self._jobs = RateWindow(now)
        self._polls = RateWindow(now)
        self._poll_s = Histogram()
        self._lateness_s = Histogram()
        self._job_s = Histogram()
        self._result_s = Histogram()
        self._polls_failed = 0
        self._points = Points(0.0, 0.0)
        self._auth = ("closed", "")
        self._proxies: dict[str, bool] = {}
        self._engines: dict[str, bool] = {}
        self._crashes = 0
        self._feed = Feed()

    def handlers(self) -> Mapping[type[Any], Callable[[Any], object]]:
        """What to call for which kind of event, as an `EventBus` asks for it."""
        return {
            ev.LifeChanged: self._on_life,
            ev.SessionChanged: self._on_session,
            ev.HoldsChanged: self._on_holds,
            ev.PollStarted: self._on_poll_started,
            ev.PollEnded: self._on_poll_ended,
            ev.PollFailed: self._on_poll_failed,
            ev.StepEnded: self._on_step,
            ev.JobClaimed: self._on_job_claimed,
            ev.JobSkipped: self._on_job_skipped,
            ev.JobEnded: self._on_job_ended,
            ev.ResultAccepted: self._on_result_accepted,
            ev.ResultDelayed: self._on_result_delayed,
            ev.ResultBuried: self._on_result_buried,
            ev.ResultUnsafe: self._on_result_unsafe,
            ev.ResultLost: self._on_result_lost,
            ev.PointsChecked: self._on_points,
            ev.AuthHealthChanged: self._on_auth,
            ev.ProxyChecked: self._on_proxy_checked,
            ev.ProxyAssigned: self._on_proxy_assigned,
            ev.EngineChanged: self._on_engine,
            ev.Notice: self._on_notice,
            ev.Crash: self._on_crash,
        }

    def snapshot(self) -> FleetView:
        """The fleet now. It takes some 0.1 ms, and half a microsecond for each node that was heard of since the last."""
        self._settle_changed()
        now = self._clock.monotonic()
        poll = self._poll_s.summary()
        good = sum(self._proxies.values())
        return FleetView(
            at=self._clock.wall(),
            uptime_s=now - self._started,
            total=len(self._nodes),
            by_life=MappingProxyType({life: self._lives[life] for life in Life}),
            by_presence=MappingProxyType({presence: self._presences[presence] for presence in Presence}),
            jobs=self._tally.counts(),
            jobs_running=self._jobs_running,
            jobs_per_s=self._jobs.per_second(now),
            polls=poll.count,
            polls_failed=self._polls_failed,
            polls_per_s=self._polls.per_second(now),
            poll=poll,
            lateness=self._lateness_s.summary(),
            job=self._job_s.summary(),
            result=self._result_s.summary(),
            points=self._points,
            auth=self._auth[0],
            auth_reason=self._auth[1],
            proxies_good=good,
            proxies_bad=len(self._proxies) - good,
            engines=MappingProxyType(dict(self._engines)),
            crashes=self._crashes,
            happenings=self._feed.happenings(),
        )

    def nodes(self, limit: int | None = None) -> tuple[NodeView, ...]:
        """The first ``limit`` nodes of the fleet, or all (None), now. A thousand take some milliseconds."""
        self._settle_changed()
        return tuple(stats.view() for stats in islice(self._nodes.values(), limit))

    def node(self, node: NodeId) -> NodeView | None:
        """One node now; None when it was never heard of."""
        self._settle_changed()
        stats = self._nodes.get(node)
        return None if stats is None else stats.view()

    def _heard(self, node: NodeId) -> NodeStats:
        stats = self._nodes.get(node) or self._meet(node)
        stats.last_activity_at = self._wall()
        return stats

    def _meet(self, node: NodeId) -> NodeStats:
        stats = self._nodes[node] = NodeStats(node)
        self._lives[stats.life] += 1
        self._presences[stats.presence] += 1
        return stats

    def _settle_changed(self) -> None:
        """Count anew what changed, so that a snapshot need not visit every node."""
        changed, self._changed = self._changed, {}
        for stats in changed:
            presence = describe(stats.life, stats.holds, busy_slots=stats.jobs_running, polling=stats.polling)
            if presence is not stats.presence:
                self._presences[stats.presence] -= 1
                self._presences[presence] += 1
                stats.presence = presence

    def _free_slot(self, stats: NodeStats) -> None:
        if stats.jobs_running:
            stats.jobs_running -= 1
            self._jobs_running -= 1
            self._changed[stats] = None

    def _tell(self, kind: str, text: str, *, is_trouble: bool = False) -> None:
        self._feed.add(kind, text, now=self._clock.monotonic(), wall=self._clock.wall(), is_trouble=is_trouble)

    def _on_life(self, event: ev.LifeChanged) -> None:
        stats = self._heard(event.node)
        self._lives[stats.life] -= 1
        self._lives[event.after] += 1
        stats.life = event.after
        stats.polling = False
        if event.after.is_over:
            self._jobs_running -= stats.jobs_running
            stats.jobs_running = 0
        self._changed[stats] = None
        is_trouble = event.after in {Life.RECOVERING, Life.FAILED}
        if is_trouble:
            stats.note_error(event.reason or event.input.value)
        because = f": {event.reason}" if event.reason else ""
        self._tell(f"life {event.after.value}", f"{event.node} is {event.after.value}{because}", is_trouble=is_trouble)

    def _on_session(self, event: ev.SessionChanged) -> None:
        self._heard(event.node)
        if event.state is Session.REJECTED:
            because = f": {event.reason}" if event.reason else ""
            self._tell("session", f"{event.node}'s session is denied{because}", is_trouble=True)

    def _on_holds(self, event: ev.HoldsChanged) -> None:
        stats = self._nodes.get(event.node) or self._meet(event.node)
        stats.last_activity_at = self._wall()
        stats.holds = event.holds
        self._changed[stats] = None

    def _on_poll_started(self, event: ev.PollStarted) -> None:
        self._lateness_s.record(event.lateness_s)
        stats = self._nodes.get(event.node) or self._meet(event.node)
        stats.last_activity_at = self._wall()
        stats.polling = True
        self._changed[stats] = None

    def _on_poll_ended(self, event: ev.PollEnded) -> None:
        self._poll_s.record(event.took_s)
        self._polls.mark(self._monotonic())
        stats = self._nodes.get(event.node) or self._meet(event.node)
        stats.last_activity_at = self._wall()
        stats.polling = False
        self._changed[stats] = None

    def _on_poll_failed(self, event: ev.PollFailed) -> None:
        self._polls_failed += 1
        self._polls.mark(self._clock.monotonic())
        stats = self._heard(event.node)
        stats.polling = False
        stats.note_error(event.reason)
        self._changed[stats] = None
        self._tell("poll", f"{event.node}: poll failed: {event.reason}", is_trouble=True)

    def _on_step(self, event: ev.StepEnded) -> None:
        stats = self._heard(event.node)
        if event.error:
            stats.note_error(f"{event.step}: {event.error}")
            self._tell(f"step {event.step}", f"{event.node}: {event.step} failed: {event.error}", is_trouble=True)

    def _on_job_claimed(self, event: ev.JobClaimed) -> None:
        node = event.key.node
        stats = self._nodes.get(node) or self._meet(node)
        stats.last_activity_at = self._wall()
        stats.tally.received += 1
        self._tally.received += 1
        stats.jobs_running += 1
        self._jobs_running += 1
        self._changed[stats] = None

    def _on_job_skipped(self, event: ev.JobSkipped) -> None:
        self._heard(event.key.node).tally.skipped += 1
        self._tally.skipped += 1
        self._tell("skipped", f"{event.key.node}: job {event.key.job} not run again: {event.reason}")

    def _on_job_ended(self, event: ev.JobEnded) -> None:
        node, took_s, now = event.key.node, event.took_s, self._monotonic()
        stats = self._heard(node)
        self._free_slot(stats)
        self._job_s.record(took_s)
        self._jobs.mark(now)
        stats.add_job_time(took_s)
        if event.error:
            stats.tally.failed += 1
            self._tally.failed += 1
            stats.note_error(event.error)
            self._tell("job failed", f"{node}: job {event.key.job} failed: {event.error}", is_trouble=True)
            return
        stats.tally.succeed(event.executor)
        self._tally.succeed(event.executor)
        if not self._feed.count("job done", now):
            self._tell("job done", f"{node}: job {event.key.job} done by {event.executor} in {took_s:.2f} s")

    def _on_result_accepted(self, event: ev.ResultAccepted) -> None:
        self._result_s.record(event.took_s)
        for tally in (self._heard(event.key.node).tally, self._tally):
            tally.accepted += 1
            tally.already += event.already

    def _on_result_delayed(self, event: ev.ResultDelayed) -> None:
        self._heard(event.key.node).note_error(event.reason)
        self._tell("delayed", f"{event.key.node}: a result waits: {event.reason}", is_trouble=True)

    def _on_result_buried(self, event: ev.ResultBuried) -> None:
        stats = self._heard(event.key.node)
        stats.tally.refused += 1
        self._tally.refused += 1
        stats.note_error(event.reason)
        text = f"{event.key.node}: the result of job {event.key.job} is refused for good: {event.reason}"
        self._tell("refused", text, is_trouble=True)

    def _on_result_unsafe(self, event: ev.ResultUnsafe) -> None:
        self._heard(event.key.node).note_error(event.reason)
        self._tell("unsafe", f"{event.key.node}: a result is not on disk yet: {event.reason}", is_trouble=True)

    def _on_result_lost(self, event: ev.ResultLost) -> None:
        node = event.key.node
        stats = self._heard(node)
        stats.tally.unkept += 1
        self._tally.unkept += 1
        stats.note_error(event.reason)
        self._free_slot(stats)
        self._tell("lost", f"{node}: the result of job {event.key.job} is lost: {event.reason}", is_trouble=True)

    def _on_points(self, event: ev.PointsChecked) -> None:
        stats = self._heard(event.node)
        before = stats.points or Points(0.0, 0.0)
        self._points = Points(
            self._points.points + event.points.points - before.points, self._points.raw + event.points.raw - before.raw
        )
        stats.points = event.points

    def _on_auth(self, event: ev.AuthHealthChanged) -> None:
        self._auth = (event.state, event.reason)
        because = f": {event.reason}" if event.reason else ""
        self._tell(f"auth {event.state}", f"auth circuit {event.state}{because}", is_trouble=event.state != "closed")

    def _on_proxy_checked(self, event: ev.ProxyChecked) -> None:
        self._proxies[event.proxy] = not event.error
        if event.error:
            self._tell("proxy", f"proxy {event.proxy} is bad: {event.error}", is_trouble=True)

    def _on_proxy_assigned(self, event: ev.ProxyAssigned) -> None:
        self._heard(event.node).proxy = event.proxy
        self._tell("assigned", f"{event.node} goes through {event.proxy}")

    def _on_engine(self, event: ev.EngineChanged) -> None:
        self._engines[event.engine] = event.available
        state = "available" if event.available else "missing"
        because = f": {event.reason}" if event.reason else ""
        self._tell(f"engine {event.engine}", f"{event.engine} is {state}{because}", is_trouble=not event.available)

    def _on_notice(self, event: ev.Notice) -> None:
        text = event.text if event.node is None else f"{event.node}: {event.text}"
        self._tell(f"notice {event.topic}", text)

    def _on_crash(self, event: ev.Crash) -> None:
        self._crashes += 1
        if event.node is not None:
            self._heard(event.node).note_error(event.error)
        self._tell("crash", f"{event.task} died of a defect: {event.error}", is_trouble=True)
