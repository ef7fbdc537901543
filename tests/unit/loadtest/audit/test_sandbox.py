"""The audit of real nodes at the real sandbox, in virtual time: a planted bug of each kind is named."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass

import pytest

from node.domain.errors import TryLater
from node.domain.identity import NodeSpec
from node.domain.ids import JobId, NodeId, SourceId
from node.domain.jobs import Job
from node.domain.policies import NodePolicy, Range, StaggerPolicy
from node.domain.proxies import ProxyAddress
from node.domain.results import FinishedJob
from node.domain.secret import Secret
from node.domain.verdict import Ruling, Verdict
from node.executors.synthetic import SyntheticPolicy
from node.loadtest.audit.book import Book
from node.loadtest.audit.digest import digest
from node.loadtest.audit.gateway_word import Credit, GatewayWord
from node.loadtest.audit.kinds import Kind
from node.loadtest.audit.phases import job_phases
from node.loadtest.audit.policy import AuditPolicy
from node.loadtest.audit.reconcile import reconcile
from node.loadtest.audit.report import AuditReport, AuditVerdict
from node.loadtest.audit.views import Said
from node.loadtest.audit.watch import Watch
from node.loadtest.figures.figures import Count, Measure
from node.loadtest.figures.recorder import Recorder, steady_wall
from node.observability.bus import EventBus
from node.ports.membership import Link, LinkFactory, Membership
from node.ports.source import JobSource
from node.protocol.messages import InputMessage, JobRequest, ResultBody
from node.sandbox.bugs import Bug, BugKind
from node.sandbox.gateway import Gateway
from node.sandbox.job_rows import decode
from node.sandbox.policy import SandboxPolicy, WorkloadPolicy
from node.sandbox.refusals import NoResultYet
from tests.support import fleet as fleet_module
from tests.support.fleet import MODELS, GatewayHost, Plan, World, fleet, gateway
from tests.support.virtual_time import in_virtual_time

LEASE_S = 20.0
JOBS = 90
KEY = Secret("developer")

PLANTED: dict[BugKind, tuple[set[Kind], set[Kind]]] = {
    "lose-result": ({Kind.LOST}, {Kind.LOST}),
    "false-conflict": ({Kind.LOST}, {Kind.LOST}),
    "double-accept": ({Kind.DUPLICATED}, {Kind.DUPLICATED}),
    "double-credit": ({Kind.DOUBLE_CREDITED}, {Kind.DOUBLE_CREDITED}),
    "no-credit": ({Kind.UNCREDITED}, {Kind.UNCREDITED}),
    "credit-other": ({Kind.DOUBLE_CREDITED, Kind.UNCREDITED}, {Kind.MISCREDITED}),
    "double-deliver": ({Kind.DOUBLE_DELIVERED}, {Kind.DOUBLE_DELIVERED}),
    "no-redelivery": ({Kind.ORPHANED}, {Kind.ORPHANED}),
    "leak-lease": ({Kind.LATE_DELIVERED}, {Kind.LEAKED_LEASE}),
    "short-lease": ({Kind.DOUBLE_DELIVERED}, {Kind.DOUBLE_DELIVERED}),
    "endless-lease": ({Kind.ORPHANED}, {Kind.LEAKED_LEASE}),
    "wrong-model": ({Kind.WRONG_MODEL}, {Kind.WRONG_MODEL}),
    "starve": ({Kind.STUCK}, {Kind.STUCK}),
    "lose-job": ({Kind.STUCK}, {Kind.STUCK}),
    "phantom-job": ({Kind.PHANTOM}, {Kind.PHANTOM}),
    "swap-result": ({Kind.ALTERED}, {Kind.ALTERED}),
    "corrupt-result": ({Kind.ALTERED}, {Kind.ALTERED}),
}
"""What names the bug by public endpoints, and by the sandbox's ledger too."""


OF_LEASES: set[BugKind] = {"no-redelivery", "short-lease", "endless-lease"}


class Killed:
    """A source whose node can be cut off from its gateway without goodbye; what is sent is written down."""

    def __init__(self, source: JobSource, node: NodeId, stage: Stage) -> None:
        self._source = source
        self._node = node
        self._stage = stage

    @property
    def source_id(self) -> SourceId:
        return self._source.source_id

    async def claim(self, still_wanted: Callable[[], bool] | None = None) -> Job | None:
        if self._node in self._stage.dead:
            raise TryLater("the node is dead")
        job = await self._source.claim(still_wanted)
        if self._node in self._stage.dead:
            raise TryLater("the node died")
        return job

    async def settle(self, finished: FinishedJob) -> Verdict:
        if self._node in self._stage.dead:
            return Verdict(Ruling.RETRY, "the node is dead")
        self._stage.watch.sent(finished)
        verdict = await self._source.settle(finished)
        if verdict.ruling is Ruling.OK and self._stage.answers_twice():
            again = await self._source.settle(finished)
            if again.ruling is Ruling.OK:
                self._stage.book.accepted(finished.key.job, self._node, self._stage.now(), already=False)
        return verdict


@dataclass(frozen=True)
class KilledLink:
    membership: Membership
    source: JobSource
    inner: Link

    async def aclose(self) -> None:
        await self.inner.aclose()


class Stage:
    """What a driver does: submits, kills, listens, and asks the gateway at the end."""

    def __init__(self, host: GatewayHost) -> None:
        self.host = host
        self.book = Book()
        self.dead: set[NodeId] = set()
        self._answers = 0
        now = steady_wall(host.clock)
        self.now = now
        self.watch = Watch(self.book, now)
        self.recorder = Recorder(now)
        bus = EventBus()
        bus.attach(self.watch)
        bus.attach(self.recorder)
        tell = host.history.emit

        def emit(event: object) -> None:
            tell(event)  # type: ignore[arg-type]
            key = getattr(event, "key", None)
            node = getattr(event, "node", None) if key is None else key.node
            if node not in self.dead:
                bus.emit(event)  # type: ignore[arg-type]

        host.history.emit = emit  # type: ignore[method-assign]

    def answers_twice(self) -> bool:
        self._answers += 1
        return self._answers % 5 == 0

    def links(self, links: LinkFactory, _audit: object) -> Stage:
        self._links = links
        return self

    def open(self, spec: NodeSpec, proxy: ProxyAddress | None, on_lost: Callable[[], None]) -> KilledLink:
        link = self._links.open(spec, proxy, on_lost)
        return KilledLink(link.membership, Killed(link.source, spec.node_id, self), link)

    @property
    def gateway(self) -> Gateway:
        return self.host.sandbox.gateway

    async def submit(self, number: int) -> None:
        model = MODELS[number % len(MODELS)]
        request = JobRequest(model=model, messages=[InputMessage(role="user", content=f"{number}")], max_output=64)
        intended_at = self.now()
        self.recorder.offered()
        job = await self.gateway.submit(request, KEY)
        self.watch.submitted(job.job_id, model, intended_at)
        self.recorder.submitted(job.job_id, intended_at)

    def kill(self, world: World, count: int) -> None:
        busy = [name for name, node in world.manager.nodes.items() if node.busy_slots and name not in self.dead]
        victims = busy[:count]
        self.watch.crashed(victims)
        self.recorder.crashed(victims)
        self.dead.update(victims)

    async def play(self, world: World) -> None:
        await asyncio.sleep(15)
        for number in range(JOBS):
            await asyncio.sleep(0.5)
            await self.submit(number)
            if number in {20, 50}:
                self.kill(world, 2)
            self.recorder.tick()
        await asyncio.sleep(4 * LEASE_S + 5)
        self.recorder.tick()

    async def report(self, *, deep: bool) -> AuditReport:
        book = Book.from_document(json.loads(json.dumps(self.book.to_document())))
        word = GatewayWord(book, AuditPolicy(lease_s=LEASE_S))
        for job in [job.job for job in book if job.is_submitted]:
            self.look_up(book, job)
        word.job_count = Credit(0, self.gateway.network().jobs)
        nodes = [row["node_id"] for row in self.gateway.node_rows(0, 1000)]
        word.job_credits = {NodeId(node): Credit(0, self.gateway.jobs_done(node)) for node in nodes}
        if deep:
            page = await self.gateway.job_page(0, 10_000)
            for row in page.rows:
                word.take_row(decode(json.loads(row)))
        return reconcile(word, self.now())

    def look_up(self, book: Book, job: JobId) -> None:
        try:
            _, answer = self.gateway.answer(job, KEY)
        except NoResultYet:
            book.said(job, Said.PENDING)
            return
        said = Said.SUCCESS if answer.status == "success" else Said.ERROR
        body = ResultBody.model_validate_json(answer.result)
        book.said(job, said, digest(answer.status, body), answer.model_name)


def played(monkeypatch: pytest.MonkeyPatch, *bugs: Bug) -> tuple[Stage, AuditReport, AuditReport]:
    """The stage after a run, and the reports by public endpoints and by the ledger."""
    ended: list[tuple[Stage, AuditReport, AuditReport]] = []

    @in_virtual_time
    async def run() -> None:
        plan = Plan(
            nodes=12,
            node=NodePolicy(poll_cycle_s=1.0, poll_failures=10**6, recovery=Range(20, 60)),
            stagger=StaggerPolicy(min_s=0, max_s=5, spacing_s=0.1),
            sandbox=SandboxPolicy(
                lease_s=LEASE_S,
                bugs=bugs,
                prefer_other_s=5.0,
                workload=WorkloadPolicy(other_models=MODELS, running=False),
            ),
            speed=SyntheticPolicy(min_tokens=40, max_tokens=200, tokens_per_s=40),
        )
        async with gateway(plan) as host:
            stage = Stage(host)
            monkeypatch.setattr(fleet_module, "WatchedLinks", stage.links)
            async with fleet(plan, host) as world:
                await stage.play(world)
                ended.append((stage, await stage.report(deep=False), await stage.report(deep=True)))

    run()
    return ended[0]


def test_a_good_gateway_is_clean_and_its_figures_agree(monkeypatch: pytest.MonkeyPatch) -> None:
    stage, public, deep = played(monkeypatch)
    for report in (public, deep):
        assert report.broken == ()
        assert report.verdict is AuditVerdict.CLEAN
        assert (report.jobs.submitted, report.jobs.answered, report.jobs.credited) == (JOBS, JOBS, JOBS)
        assert report.jobs.redelivered >= 2
    figures = stage.recorder.figures
    assert figures.counts[Count.ACCEPTED] == JOBS
    phases = job_phases(stage.book)
    for measure in (Measure.CLAIM, Measure.JOB, Measure.REDELIVERY):
        assert phases[measure].count == figures.histograms[measure].count
        assert phases[measure].percentiles_s(50, 99) == pytest.approx(figures.histograms[measure].percentiles_s(50, 99))
    assert figures.histograms[Measure.JOB].count == JOBS
    assert figures.histograms[Measure.REDELIVERY].count == 4


@pytest.mark.parametrize("kind", list(PLANTED))
def test_a_planted_bug_of_the_sandbox_is_named(kind: BugKind, monkeypatch: pytest.MonkeyPatch) -> None:
    # Few leases run out here, so that a bug of those must strike whenever it can.
    _, public, deep = played(monkeypatch, Bug(kind, 1.0 if kind in OF_LEASES else 0.3))
    for report, expected in zip((public, deep), PLANTED[kind], strict=True):
        found = {finding.kind for finding in report.broken}
        assert expected <= found, (kind, found)
        assert report.verdict is AuditVerdict.BROKEN
