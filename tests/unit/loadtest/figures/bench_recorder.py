"""What the recorder costs an event: ``python -m tests.unit.loadtest.figures.bench_recorder``."""

from __future__ import annotations

import random
import sys
import time
from collections.abc import Sequence

from node.domain import events as ev
from node.domain.ids import JobId, JobKey, NodeId, SourceId
from node.loadtest.figures.histogram import Tally
from node.loadtest.figures.recorder import Recorder
from node.observability.bus import EventBus

NODES = 20_000
ROUNDS = 5


def cost_us(events: Sequence[ev.Event], recorder: Recorder, bus: EventBus) -> float:
    """Microseconds an event, through the bus."""
    started = time.perf_counter()
    for event in events:
        bus.emit(event)
    return (time.perf_counter() - started) / len(events) * 1e6


def measure() -> dict[str, float]:
    chance = random.Random(1)
    nodes = [NodeId(f"node-{number}") for number in range(NODES)]
    recorder, bus = Recorder(time.time, 5.0), EventBus()
    bus.attach(recorder)
    polls: list[ev.Event] = []
    for number in range(100_000):
        node = nodes[number % NODES]
        polls.append(ev.PollStarted(node, chance.random() * 0.002))
        polls.append(ev.PollEnded(node, chance.lognormvariate(-6.5, 0.5), None))
    jobs: list[ev.Event] = []
    for number in range(30_000):
        key = JobKey(SourceId("gateway"), nodes[number % NODES], JobId(f"job-{number}"))
        recorder.submitted(key.job, time.time())
        jobs += [
            ev.JobClaimed(key, "m"),
            ev.JobEnded(key, "e", "m", 0.1, 10),
            ev.ResultAccepted(key, 0.2, 1, already=False),
        ]
    found = {"poll event": cost_us(polls, recorder, bus), "job event": cost_us(jobs, recorder, bus)}
    started = time.perf_counter()
    recorder.tick()
    found["tick"] = (time.perf_counter() - started) * 1e6
    values = [chance.lognormvariate(-7, 1) for _ in range(100_000)]
    tally = Tally()
    started = time.perf_counter()
    for value in values:
        tally.record(value)
    return found | {"one value": (time.perf_counter() - started) / len(values) * 1e6}


if __name__ == "__main__":
    rounds = [measure() for _ in range(ROUNDS)]
    for name in rounds[0]:
        sys.stdout.write(f"{name}: {min(one[name] for one in rounds):.2f} µs\n")
