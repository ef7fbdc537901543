"""From what a run measured to what it comes to: the gateway is asked, the audit made, thresholds evaluated."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
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
from node.loadtest.audit.reconcile import reconcile
from node.loadtest.driver.idleness import unmet_premises
from node.loadtest.driver.judged import evaluated, figures_by_name, judged_histograms, judged_stretch, load_lateness
from node.loadtest.driver.outcome import LoadOutcome
from node.loadtest.driver.policy import DriverPolicy
from node.loadtest.driver.public_counts import node_job_counts, total_job_count
from node.loadtest.driver.run import ShardRecord
from node.loadtest.driver.target import Target
from node.loadtest.driver.testimony import ask_for_results
from node.loadtest.driver.verdict import verdict
from node.loadtest.figures.health import HealthLimits
from node.loadtest.plan.scenario import Scenario
from node.loadtest.report.accused import accused_jobs
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
    it had been given before the run, None where it does not tell; ``are_nodes_new`` says that it knew none of the nodes
    before. ``bugs`` were planted into a sandbox, ``defects`` are those of this program.
    """

    scenario: Scenario
    gateway: LoadGateway
    developer: Transport
    api_key: Secret
    audit: AuditPolicy
    jobs_before: int | None = None
    are_nodes_new: bool = True
    bugs: tuple[str, ...] = ()
    defects: tuple[str, ...] = ()


async def judge_run(record: ShardRecord, evidence: Evidence, policy: DriverPolicy) -> LoadOutcome:
    """Ask the gateway, audit and judge. It blocks the event loop for the audit: nothing else may live then."""
    plan = evidence.scenario.plan
    word = GatewayWord(record.book, evidence.audit)
    notes = [f"left out, since this gateway cannot be told to: {fault}" for fault in record.left_out]
    notes += await _ask(word, record, evidence, policy)
    if record.nodes and not record.is_cut_short:
        target = Target(evidence.developer, evidence.gateway.url, evidence.api_key)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_PATIENCE_S):
                await Prober(evidence.gateway, target).probe(word, record.nodes[0])
    health = record.health.verdict(HealthLimits(), load_lateness(record.figures, record.times))
    # Who was stopped, or too slow himself, cannot blame a gateway for what was not fetched from it.
    is_in_doubt = not record.is_settled and (record.is_cut_short or health.is_void)
    report = reconcile(word, record.times.settled_at, is_cut_short=is_in_doubt)
    stretch = judged_stretch(record.figures, plan, record.times)
    histograms = judged_histograms(record.figures, record.book, stretch, is_whole=plan.warm_up_s == 0)
    values = figures_by_name(plan, record.figures, histograms, report, stretch, word.policy.lease_s)
    premises = unmet_premises(plan, record.figures, has_nodes=bool(record.nodes))
    outcomes = (*evaluated(plan, values), *(premise.evaluate(values) for premise in premises))
    if record.refused:
        notes.append(f"{record.refused} nodes were refused by the gateway: their secret or identity was denied")
    if record.is_cut_short and not record.is_settled:
        notes.append("jobs were open when it was stopped: they count as stuck, which accuses nobody")
    elif not record.is_settled:
        notes.append("the time to settle was over before every job that could be claimed had its result")
    if not stretch.is_steady:
        notes.append(f"{stretch.rule}: all of the load is judged")
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


async def _ask(word: GatewayWord, record: ShardRecord, evidence: Evidence, policy: DriverPolicy) -> list[str]:
    """Enter what the gateway says; sentences on what it did not."""
    gateway = evidence.gateway
    target = Target(evidence.developer, gateway.url, evidence.api_key)
    if gateway.control is None:
        return await _ask_publicly(word, record, evidence, target, policy)
    try:
        is_whole = await gateway.control.testify(word, record.times.begun_at - _SLACK_S, evidence.jobs_before or 0)
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
    if evidence.jobs_before is not None and (jobs := await total_job_count(target, policy)) is not None:
        word.job_count = Credit(evidence.jobs_before, jobs)
    if not evidence.are_nodes_new:
        return []
    try:
        async with asyncio.timeout(_PATIENCE_S + _PATIENCE_S_A_JOB * len(record.nodes)):
            counts = await node_job_counts(record.nodes, target, policy)
    except TimeoutError:
        return ["the gateway took too long to tell what each node was credited with"]
    word.job_credits = {node: Credit(0.0, count) for node, count in counts.items()}
    return []
