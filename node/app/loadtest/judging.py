"""From what a run measured to what it comes to: the gateway is asked, the audit made, thresholds evaluated."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import ceil
from typing import Final

from node.app.loadtest.assembly import LoadGateway
from node.app.loadtest.probing import Prober
from node.domain.errors import TransportError
from node.domain.ids import JobId
from node.domain.secret import Secret
from node.loadtest.audit.book import Book
from node.loadtest.audit.gateway_word import Credit, GatewayWord
from node.loadtest.audit.policy import AuditPolicy
from node.loadtest.audit.reconcile import Audit
from node.loadtest.driver.idleness import unmet_premises
from node.loadtest.driver.judged import (
    Stretch,
    evaluated,
    figures_by_name,
    judged_histograms,
    judged_phases,
    judged_stretch,
    load_lateness,
    take_in_turns,
)
from node.loadtest.driver.outcome import LoadOutcome
from node.loadtest.driver.policy import DriverPolicy
from node.loadtest.driver.public_counts import node_job_counts, total_job_count
from node.loadtest.driver.run import ShardRecord
from node.loadtest.driver.shortage import shortages
from node.loadtest.driver.target import Target
from node.loadtest.driver.testimony import ask_for_results
from node.loadtest.driver.verdict import verdict
from node.loadtest.figures.figures import Measure
from node.loadtest.figures.health import HealthLimits
from node.loadtest.plan.scenario import Scenario
from node.loadtest.report.accused import accused_jobs
from node.loadtest.thresholds.measured import unsure
from node.ports.transport import Transport

_SLACK_S: Final = 1.0
"""What the clocks of this program and of a sandbox on this machine may be apart."""

_PATIENCE_S: Final = 30.0
_PATIENCE_S_A_JOB: Final = 0.05
"""How long a gateway may take over all its results, which it may as well never tell; and over all nodes' credits."""

_SAMPLE: Final = 1000
"""Jobs whose results are asked for where a ledger tells of all: what is shown to developers is to be what is stored."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """Where the gateway's word comes from, and what is known of the run besides its record.

    A gateway without control is asked through its public endpoints, by ``developer``. ``jobs_before`` is how many jobs
    it had been given before the run, None where it does not tell, ``jobs_after`` when all had settled: None where it is
    to be asked. ``are_nodes_new`` says that it knew none of the nodes before. ``bugs`` were planted into a sandbox,
    ``defects`` are those of this program.
    """

    scenario: Scenario
    gateway: LoadGateway
    developer: Transport
    api_key: Secret
    audit: AuditPolicy
    jobs_before: int | None = None
    jobs_after: int | None = None
    are_nodes_new: bool = True
    bugs: tuple[str, ...] = ()
    defects: tuple[str, ...] = ()


async def judge_run(record: ShardRecord, evidence: Evidence, policy: DriverPolicy) -> LoadOutcome:
    """Ask the gateway, audit and judge; others have their turns meanwhile, but nothing may write into the record."""
    plan = evidence.scenario.plan
    word = GatewayWord(record.book, evidence.audit)
    notes = [f"left out, since this gateway cannot be told to: {fault}" for fault in record.left_out]
    notes += await _ask(word, record, evidence, policy)
    if record.nodes and not record.is_cut_short:
        target = Target(evidence.developer, evidence.gateway.url, evidence.api_key)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_PATIENCE_S):
                await Prober(evidence.gateway, target).probe(word, record.nodes[0])
    lateness = load_lateness(record.figures, record.times)
    health = record.health.verdict(HealthLimits(), lateness, shortages(record.figures.errors))
    # Who was stopped, or too slow himself, cannot blame a gateway for what was not fetched from it.
    is_in_doubt = not record.is_settled and (record.is_cut_short or health.is_void)
    stretch, is_whole = judged_stretch(record.figures, plan, record.times), plan.warm_up_s == 0
    phases = judged_phases(record.figures, record.book, stretch, record.times, is_whole=is_whole)
    audit = Audit(word, record.times.settled_at, is_cut_short=is_in_doubt)
    await take_in_turns(record.book, audit.take, phases.take)
    report = audit.report()
    histograms = judged_histograms(record.figures, phases.histograms(), stretch, is_whole=is_whole)
    values = figures_by_name(plan, record.figures, histograms, report, stretch, word.policy.lease_s)
    premises = unmet_premises(plan, record.figures, has_nodes=bool(record.nodes))
    doubts = unsure(plan.thresholds, histograms, phases.open)
    outcomes = (*evaluated(plan, values, doubts), *(premise.evaluate(values) for premise in premises))
    notes += _notes(record, stretch, phases.open[Measure.JOB])
    return LoadOutcome(
        plan=plan,
        gateway=evidence.gateway.url,
        verdict=verdict(outcomes, report, health, evidence.defects, was_stopped=record.is_cut_short or is_in_doubt),
        times=record.times,
        outcomes=outcomes,
        report=report,
        health=health,
        stretch=stretch,
        histograms=histograms,
        values=values,
        figures=record.figures,
        own_health=record.health,
        bugs=evidence.bugs,
        notes=tuple(notes),
        defects=evidence.defects,
        accused=accused_jobs(report, record.book),
    )


def _notes(record: ShardRecord, stretch: Stretch, still_open: int) -> Iterator[str]:
    if record.refused:
        yield f"{record.refused} nodes were refused by the gateway: their secret or identity was denied"
    if record.is_cut_short and not record.is_settled:
        yield "jobs were open when it was stopped: they count as stuck, which accuses nobody"
    elif not record.is_settled:
        yield "the time to settle was over before every job that could be claimed had its result"
    if still_open:
        counted = "they count as jobs that took as long as they were old by then"
        yield f"{still_open} of the jobs that are judged had no result at the end: {counted}"
    if not stretch.is_steady:
        yield f"{stretch.rule}: all of the load is judged"


async def _ask(word: GatewayWord, record: ShardRecord, evidence: Evidence, policy: DriverPolicy) -> list[str]:
    """Enter what the gateway says; sentences on what it did not."""
    gateway = evidence.gateway
    target = Target(evidence.developer, gateway.url, evidence.api_key)
    if gateway.control is None:
        return await _ask_publicly(word, record, evidence, target, policy)
    try:
        times, before, after = record.times, evidence.jobs_before or 0, evidence.jobs_after
        is_whole = await gateway.control.testify(word, times.begun_at - _SLACK_S, times.settled_at, before)
        word.job_count = Credit(before, await gateway.control.submitted() if after is None else after)
    except TransportError as error:
        return [f"the sandbox did not show its ledger: {error}"]
    notes = [] if is_whole else ["the sandbox had forgotten a part of its ledger"]
    sample = record.jobs[:: max(1, ceil(len(record.jobs) / _SAMPLE))]
    return notes + await _ask_for_results(record.book, sample, target, policy)


async def _ask_for_results(book: Book, jobs: Sequence[JobId], target: Target, policy: DriverPolicy) -> list[str]:
    try:
        async with asyncio.timeout(_PATIENCE_S + _PATIENCE_S_A_JOB * len(jobs)):
            await ask_for_results(book, jobs, target, policy)
    except TimeoutError:
        return ["the gateway took too long to tell all results: of some jobs it is not known whether they have one"]
    return []


async def _ask_publicly(
    word: GatewayWord, record: ShardRecord, evidence: Evidence, target: Target, policy: DriverPolicy
) -> list[str]:
    if notes := await _ask_for_results(record.book, record.jobs, target, policy):
        return notes
    if evidence.jobs_before is not None:
        jobs = await total_job_count(target, policy) if evidence.jobs_after is None else evidence.jobs_after
        word.job_count = None if jobs is None else Credit(evidence.jobs_before, jobs)
    if not evidence.are_nodes_new:
        return []
    try:
        async with asyncio.timeout(_PATIENCE_S + _PATIENCE_S_A_JOB * len(record.nodes)):
            counts = await node_job_counts(record.nodes, target, policy)
    except TimeoutError:
        return ["the gateway took too long to tell what each node was credited with"]
    word.job_credits = {node: Credit(0.0, count) for node, count in counts.items()}
    return []
