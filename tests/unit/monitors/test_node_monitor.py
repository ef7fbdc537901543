from __future__ import annotations

import asyncio
import random
from collections.abc import Iterable
from typing import get_args

import pytest

from node.domain import events as ev
from node.domain.ids import JobId, JobKey, NodeId, SourceId
from node.domain.presence import Presence
from node.domain.results import Points
from node.domain.states import LIFE_TABLE, Hold, Life, LifeInput, Session
from node.monitors.node_monitor import NodeMonitor
from node.monitors.report import PeriodicReport, report_line
from node.runtime.signals import Signal
from tests.support.virtual_time import VirtualClock, in_virtual_time

ONE, TWO, STRANGER = NodeId("node-1"), NodeId("node-2"), NodeId("stranger")


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def wall(self) -> float:
        return 1_700_000_000.0 + self.now

    def monotonic(self) -> float:
        return self.now


def key(job: str, node: NodeId = ONE) -> JobKey:
    return JobKey(SourceId("http://gateway"), node, JobId(job))


def run(node: NodeId) -> list[ev.Event]:
    return [
        ev.LifeChanged(node, Life.NEW, LifeInput.START, Life.STARTING),
        ev.LifeChanged(node, Life.STARTING, LifeInput.READY, Life.RUNNING),
    ]


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def monitor(clock: Clock) -> NodeMonitor:
    return NodeMonitor(clock, [ONE, TWO])


def hear(monitor: NodeMonitor, events: Iterable[ev.Event]) -> None:
    handlers = monitor.handlers()
    for event in events:
        handlers[type(event)](event)


def presence(monitor: NodeMonitor, node: NodeId = ONE) -> Presence:
    view = monitor.node(node)
    assert view is not None
    return view.presence


def test_it_listens_to_all_that_concerns_it(monitor: NodeMonitor) -> None:
    unheard = set(get_args(ev.Event)) - set(monitor.handlers())
    engines = {ev.EngineCalled, ev.BreakerChanged, ev.FellBack, ev.RuleBroken, ev.ModelMoved, ev.ModelPulling}
    assert unheard == {ev.StepRetried, ev.ModelsAnnounced, ev.JobProfiled} | engines


def test_a_fleet_begins_with_new_nodes(monitor: NodeMonitor) -> None:
    view = monitor.snapshot()
    assert view.total == 2
    assert view.by_life[Life.NEW] == 2
    assert view.by_presence[Presence.INITIALIZING] == 2
    assert view.auth == "closed"
    assert view.points == Points(0, 0)


def test_presence_follows_what_a_node_does(monitor: NodeMonitor) -> None:
    seen = []
    for events in (
        run(ONE)[:1],
        run(ONE)[1:],
        [ev.PollStarted(ONE, 0.0)],
        [ev.PollEnded(ONE, 0.1, JobId("a")), ev.JobClaimed(key("a"), "m")],
        [ev.JobEnded(key("a"), "stored", "m", 0.5, None)],
        [ev.HoldsChanged(ONE, Hold.DISK)],
        [ev.HoldsChanged(ONE, Hold.BACK_OFF)],
        [ev.LifeChanged(ONE, Life.RUNNING, LifeInput.FAULT, Life.RECOVERING, "HTTP 503")],
        [ev.LifeChanged(ONE, Life.RECOVERING, LifeInput.DRAIN, Life.STOPPED)],
    ):
        hear(monitor, events)
        seen.append(presence(monitor))
    assert seen == [
        Presence.REGISTERING,
        Presence.IDLE,
        Presence.CHECKING,
        Presence.PROCESSING,
        Presence.IDLE,
        Presence.PAUSED,
        Presence.BACKING_OFF,
        Presence.ERROR,
        Presence.SHUTDOWN,
    ]


def test_jobs_are_counted_by_what_came_of_them(monitor: NodeMonitor) -> None:
    hear(
        monitor,
        [
            *(ev.JobClaimed(key(job), "m") for job in "abcd"),
            ev.JobSkipped(key("a"), "its result was accepted"),
            ev.JobEnded(key("a"), "stored", "m", 1.0, 5),
            ev.JobEnded(key("b"), "ollama", "m", 3.0, 5),
            ev.JobEnded(key("c"), "", "m", 2.0, None, "cut off"),
            ev.ResultLost(key("d"), "the node ended"),
            ev.ResultAccepted(key("a"), 1.1, 1, already=False),
            ev.ResultAccepted(key("b"), 3.1, 2, already=True),
            ev.ResultBuried(key("c"), "HTTP 404"),
            ev.ResultAccepted(key("x", TWO), 3.1, 2, already=False),
        ],
    )
    jobs = monitor.snapshot().jobs
    assert (jobs.received, jobs.answered, jobs.succeeded, jobs.failed, jobs.skipped) == (4, 3, 2, 1, 1)
    assert (jobs.accepted, jobs.already, jobs.refused, jobs.unkept) == (3, 1, 1, 1)
    assert jobs.by_executor == {"stored": 1, "ollama": 1}
    view = monitor.node(ONE)
    assert view is not None
    assert (view.jobs.received, view.jobs.accepted, view.jobs_running) == (4, 2, 0)
    assert (view.job_mean_s, view.job_max_s) == (2.0, 3.0)
    assert view.last_error == "HTTP 404"
    assert monitor.snapshot().job.count == 3


def test_latencies_rates_and_polls(monitor: NodeMonitor, clock: Clock) -> None:
    for number in range(100):
        clock.now += 0.1
        hear(monitor, [ev.PollStarted(ONE, 0.002), ev.PollEnded(ONE, 0.05, None)])
        if number % 10 == 0:
            hear(monitor, [ev.PollFailed(TWO, 0.1, "HTTP 503", 1.0), ev.JobEnded(key("a"), "s", "m", 0.5, None)])
    view = monitor.snapshot()
    assert (view.polls, view.polls_failed) == (100, 10)
    assert view.polls_per_s == pytest.approx(11.0)
    assert view.jobs_per_s == pytest.approx(1.0)
    assert view.poll.p99_s == pytest.approx(0.05, rel=0.02)
    assert view.lateness.p50_s == pytest.approx(0.002, rel=0.02)
    assert view.job.max_s == 0.5
    assert view.uptime_s == pytest.approx(10.0)


def test_points_are_the_sum_of_what_nodes_were_last_told(monitor: NodeMonitor) -> None:
    hear(
        monitor,
        [
            ev.PointsChecked(ONE, Points(10, 11)),
            ev.PointsChecked(TWO, Points(5, 5)),
            ev.PointsChecked(ONE, Points(12, 14)),
        ],
    )
    assert monitor.snapshot().points == Points(17, 19)
    assert [view.points for view in monitor.nodes()] == [Points(12, 14), Points(5, 5)]


def test_health_of_what_is_around(monitor: NodeMonitor) -> None:
    hear(
        monitor,
        [
            ev.AuthHealthChanged("open", "timed out"),
            ev.ProxyChecked("http://a:1", 0.1),
            ev.ProxyChecked("http://b:1", 0.1, "refused"),
            ev.ProxyChecked("http://b:1", 0.1),
            ev.ProxyChecked("http://c:1", 0.1, "refused"),
            ev.ProxyAssigned(ONE, "http://a:1"),
            ev.EngineChanged("ollama", available=False, reason="connection refused"),
            ev.Crash("poller", "ValueError: x", "", ONE),
            ev.Crash("sender", "ValueError: x", ""),
        ],
    )
    view = monitor.snapshot()
    assert (view.auth, view.auth_reason) == ("open", "timed out")
    assert (view.proxies_good, view.proxies_bad) == (2, 1)
    assert view.engines == {"ollama": False}
    assert view.crashes == 2
    node = monitor.node(ONE)
    assert node is not None
    assert node.proxy == "http://a:1"
    assert node.last_error == "ValueError: x"


def test_sentences_tell_what_happened(monitor: NodeMonitor) -> None:
    hear(
        monitor,
        [
            ev.LifeChanged(ONE, Life.STARTING, LifeInput.REFUSED, Life.FAILED, "the secret is denied"),
            ev.SessionChanged(ONE, Session.VALID, 1),
            ev.SessionChanged(ONE, Session.REJECTED, 1, "HTTP 401"),
            ev.StepEnded(ONE, "register", 0.1),
            ev.StepEnded(ONE, "register", 0.1, 5, "HTTP 503"),
            ev.ResultDelayed(key("a"), 1, "HTTP 503", 1.0),
            ev.ResultUnsafe(key("a"), "disk full"),
            ev.AuthHealthChanged("closed", "the service answers"),
            ev.EngineChanged("ollama", available=True, reason=""),
            ev.Notice("outbox", "3 results wait"),
            ev.Notice("protocol", "odd", ONE),
        ],
    )
    assert [happening.text for happening in monitor.snapshot().happenings] == [
        "node-1 is failed: the secret is denied",
        "node-1's session is denied: HTTP 401",
        "node-1: register failed: HTTP 503",
        "node-1: a result waits: HTTP 503",
        "node-1: a result is not on disk yet: disk full",
        "auth circuit closed: the service answers",
        "ollama is available",
        "3 results wait",
        "node-1: odd",
    ]


def test_nodes_that_nobody_announced_are_added(monitor: NodeMonitor) -> None:
    hear(monitor, run(STRANGER))
    view = monitor.snapshot()
    assert view.total == 3
    assert view.by_life[Life.NEW] == 2
    assert presence(monitor, STRANGER) is Presence.IDLE
    assert monitor.node(NodeId("unheard-of")) is None
    assert [node.node for node in monitor.nodes(limit=1)] == [ONE]


def test_last_activity_is_the_last_sign_of_life(monitor: NodeMonitor, clock: Clock) -> None:
    clock.now += 5
    hear(monitor, [ev.PollStarted(ONE, 0.0)])
    active, silent = monitor.nodes()
    assert active.last_activity_at == clock.wall()
    assert silent.last_activity_at is None


def test_a_node_that_ends_with_open_jobs_leaves_none_running(monitor: NodeMonitor) -> None:
    hear(monitor, [*run(ONE), ev.JobClaimed(key("a"), "m"), ev.JobClaimed(key("b", TWO), "m")])
    hear(monitor, [ev.LifeChanged(ONE, Life.RUNNING, LifeInput.ABORT, Life.STOPPED)])
    assert monitor.snapshot().jobs_running == 1
    hear(monitor, [ev.JobEnded(key("a"), "stored", "m", 1.0, None)])
    assert monitor.snapshot().jobs_running == 1


def test_counts_never_fall_and_always_add_up_whatever_comes_in_whatever_order(monitor: NodeMonitor) -> None:
    rng = random.Random(5)
    nodes = [ONE, TWO, STRANGER]
    lives = dict.fromkeys(nodes, Life.NEW)
    before = monitor.snapshot().jobs
    for number in range(600):
        node = rng.choice(nodes)
        k = key(str(number % 50), node)
        step = rng.choice([pair for pair in LIFE_TABLE if pair[0] is lives[node]] or [None])
        events: list[ev.Event] = [
            ev.JobClaimed(k, "m"),
            ev.JobEnded(k, "stored", "m", 0.1, None),
            ev.JobEnded(k, "", "m", 0.1, None, "bad"),
            ev.ResultAccepted(k, 0.2, 1, already=bool(number % 2)),
            ev.ResultLost(k, "x"),
            ev.PollStarted(node, 0.0),
            ev.PollEnded(node, 0.1, None),
            ev.PollFailed(node, 0.1, "x", 1.0),
            ev.HoldsChanged(node, rng.choice(list(Hold))),
        ]
        if step is not None:
            events.append(ev.LifeChanged(node, step[0], step[1], LIFE_TABLE[step]))
        event = rng.choice(events)
        if isinstance(event, ev.LifeChanged):
            lives[node] = event.after
        hear(monitor, [event])
        view = monitor.snapshot()
        jobs = view.jobs
        assert jobs.succeeded >= before.succeeded
        assert jobs.answered == jobs.succeeded + jobs.failed >= before.answered
        assert sum(view.by_life.values()) == sum(view.by_presence.values()) == view.total
        assert view.jobs_running == sum(node_view.jobs_running for node_view in monitor.nodes())
        assert all(
            count == sum(node_view.presence is kind for node_view in monitor.nodes())
            for kind, count in view.by_presence.items()
        )
        before = jobs


def test_a_snapshot_does_not_change_afterwards(monitor: NodeMonitor) -> None:
    hear(monitor, [ev.JobEnded(key("a"), "stored", "m", 1.0, None)])
    view, node = monitor.snapshot(), monitor.node(ONE)
    hear(monitor, [ev.JobEnded(key("b"), "stored", "m", 1.0, None), *run(TWO)])
    assert node is not None
    assert view.jobs.by_executor == node.jobs.by_executor == {"stored": 1}
    assert view.by_life[Life.NEW] == 2


def test_the_report_is_a_line(monitor: NodeMonitor) -> None:
    assert report_line(monitor.snapshot()) == (
        "2 nodes: 2 initializing | jobs 0/0 (0 ok, 0 failed), 0.0/s | polls 0 (0 failed), 0.0/s | points 0 | auth healthy"
    )
    hear(monitor, [*run(ONE), ev.PollEnded(ONE, 0.0625, None), ev.ResultBuried(key("a"), "x"), ev.ProxyChecked("p", 1)])
    line = report_line(monitor.snapshot())
    assert line.startswith("2 nodes: 1 initializing, 1 idle | ")
    assert "poll p50 62 ms, p99 62 ms | refused 1 | points 0 | auth healthy | proxies 1 good, 0 bad" in line


@in_virtual_time
async def test_the_report_comes_every_so_often_until_it_is_stopped() -> None:
    monitor = NodeMonitor(VirtualClock(), [ONE])
    lines: list[str] = []
    stop = Signal()
    task = asyncio.create_task(PeriodicReport(monitor.snapshot, lines.append, 60.0).run(stop))
    await asyncio.sleep(200)
    stop.set()
    await task
    assert len(lines) == 3
