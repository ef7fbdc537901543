"""Records of shards, put together."""

from __future__ import annotations

import pytest

from node.domain.ids import JobId, NodeId
from node.loadtest.audit.phases import job_phases
from node.loadtest.driver.run import Times
from node.loadtest.driver.self_watch import LAG
from node.loadtest.figures.figures import Count, Measure
from node.loadtest.figures.health import Health, HealthLimits
from node.loadtest.figures.series import Mark
from node.loadtest.shards.merging import Gathered, LostShard, merged
from tests.unit.loadtest.shards.toy import toy_record

TIMES = Times(1000.0, 1010.0, 1012.0)


def test_a_job_of_one_shard_that_anothers_node_did_is_whole() -> None:
    record = merged(Gathered(3, {index: toy_record(index, TIMES) for index in range(3)}, []), 0.0)
    job = record.book.view(JobId("job-1"))
    assert job.is_submitted
    assert [claim.node for claim in job.claims] == ["node-2"]
    assert record.jobs == ("job-0", "job-1", "job-2")
    assert record.figures.counts[Count.SUBMITTED] == 3
    # Two of the three were seen from their submission to their end, each in two shards.
    for phase, seconds in ((Measure.CLAIM, 1.0), (Measure.JOB, 1.5)):
        assert record.figures.histograms[phase].count == 2
        assert record.figures.histograms[phase].percentiles_s(100)[0] == pytest.approx(seconds, rel=0.01)
        assert record.figures.counts[phase] == 2
        assert sum(record.figures.series.rates(phase)) == 2
        assert record.figures.histograms[phase].count == job_phases(record.book)[phase].count
    assert record.is_settled
    assert not record.is_cut_short


def test_times_span_all_and_one_that_was_cut_short_cuts_all_short() -> None:
    one, two = toy_record(0, TIMES), toy_record(1, Times(999.0, 1011.0, 1011.5), is_settled=False, is_cut_short=True)
    record = merged(Gathered(2, {1: two, 0: one}, []), 0.0)
    assert record.times == Times(999.0, 1011.0, 1012.0)
    assert record.nodes == ("node-0", "node-1")
    assert record.is_cut_short
    assert not record.is_settled


def test_a_crash_in_one_shard_and_the_redelivery_in_another_are_timed() -> None:
    one, two = toy_record(0, TIMES), toy_record(1, TIMES)
    one.book.claimed(JobId("job-0"), NodeId("victim"), 1000.2)
    one.book.presences.gone([NodeId("victim")], 1000.5)
    record = merged(Gathered(2, {0: one, 1: two}, []), 0.0)
    assert record.figures.histograms[Measure.REDELIVERY].percentiles_s(50)[0] == pytest.approx(0.5, rel=0.01)


def test_a_lost_shard_voids_the_run_and_its_nodes_count_as_crashed() -> None:
    lost = LostShard(1, "its process was killed by SIGKILL", 1005.0, ("node-1", "node-4"), running=2)
    record = merged(Gathered(2, {0: toy_record(0, TIMES)}, [lost]), 0.0)
    assert record.book.lost_shards == 1
    assert record.book.presences.gone_after(NodeId("node-4"), 0.0) == 1005.0
    assert record.figures.counts[Count.CRASHED] == 2
    assert Mark(1005.0, "shard 1 of 2 was lost") in record.figures.series.marks
    verdict = record.health.verdict(HealthLimits())
    assert verdict.is_void
    assert verdict.reasons[0].startswith("shard 1 of 2 was lost: its process was killed by SIGKILL; the 2 nodes")


def test_without_any_record_there_is_an_empty_one_that_is_void() -> None:
    lost = [LostShard(index, "why", at) for index, at in enumerate((50.0, 60.0))]
    record = merged(Gathered(2, {}, lost), 40.0)
    assert record.times == Times(40.0, 60.0, 60.0)
    assert not record.is_settled
    assert len(record.book) == 0
    assert len(record.health.verdict(HealthLimits()).reasons) == 2


def test_what_is_lost_is_kept_in_the_document_of_the_notes() -> None:
    health = Health.of_none()
    health.lost_part("a part")
    read = Health.from_document(health.to_document())
    assert read.verdict(HealthLimits()).reasons == ("a part",)


def test_of_all_nodes_there_are_the_sum_and_of_all_delays_the_worst() -> None:
    one, two = toy_record(0, TIMES), toy_record(1, TIMES)
    for record, lag_s in ((one, 0.2), (two, 0.05)):
        record.figures.series.gauge("nodes.running", 1001.5, 5)
        record.figures.series.maximum(LAG, 1001.5, lag_s)
    series = merged(Gathered(2, {0: one, 1: two}, []), 0.0).figures.series
    second = series.span.index(1001)
    assert series.levels("nodes.running")[second] == 10
    assert series.maxima(LAG)[second] == 0.2


def test_of_a_single_shard_all_stays_as_it_was() -> None:
    record = merged(Gathered(1, {0: toy_record(0, TIMES)}, []), 0.0)
    assert record.times == TIMES
    assert record.jobs == ("job-0",)


def test_times_that_a_shard_has_taken_by_itself_are_not_counted_twice() -> None:
    one, two = toy_record(0, TIMES), toy_record(1, TIMES)
    # Both ends of this job were seen by one shard, which has timed it already.
    one.book.submitted(JobId("own"), "m", 1000.0, 1000.0)
    one.book.claimed(JobId("own"), NodeId("node-0"), 1000.5, "m")
    one.figures.counts[Measure.CLAIM] += 1
    one.figures.series.count(Measure.CLAIM, 1000.5)
    record = merged(Gathered(2, {0: one, 1: two}, []), 0.0)
    assert record.figures.counts[Measure.CLAIM] == 2
    assert sum(record.figures.series.rates(Measure.CLAIM)) == 2
