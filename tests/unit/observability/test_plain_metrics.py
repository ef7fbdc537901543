"""Plain counters and histograms tell the same as prometheus_client's own."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest

from node.observability.metric_families import FAST_S, Families

LABELS = st.sampled_from(["a", "b", 'odd "one"\n'])
VALUES = st.floats(0, 100) | st.sampled_from(FAST_S)


def told(registry: CollectorRegistry) -> str:
    return re.sub(r"(_created\S*) .*", r"\1", generate_latest(registry).decode())


@given(st.lists(st.tuples(LABELS, VALUES)))
def test_they_tell_the_same(measured: list[tuple[str, float]]) -> None:
    plain, stock = CollectorRegistry(), CollectorRegistry()
    made = Families(plain)
    ours = made.plain_counter("things", "Things.", "kind"), made.plain_histogram("time_seconds", "Time.", "kind")
    bare = made.plain_counter("all", "All."), made.plain_histogram("all_seconds", "All times.")
    counter = Counter("llm_node_things", "Things.", ["kind"], registry=stock)
    histogram = Histogram("llm_node_time_seconds", "Time.", ["kind"], registry=stock, buckets=FAST_S)
    all_things = Counter("llm_node_all", "All.", registry=stock)
    all_times = Histogram("llm_node_all_seconds", "All times.", registry=stock, buckets=FAST_S)
    for label, value in measured:
        ours[0].labels(label).value += 1
        ours[1].labels(label).observe(value)
        bare[0].labels().value += 1
        bare[1].labels().observe(value)
        counter.labels(label).inc()
        histogram.labels(label).observe(value)
        all_things.inc()
        all_times.observe(value)
    assert told(plain) == told(stock)
