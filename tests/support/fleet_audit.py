"""What holds always (DESIGN: invariants 1 to 5), watched while a fleet runs and checked when it has ended."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TypeVar

from node.domain.events import (
    Crash,
    Event,
    JobClaimed,
    JobEnded,
    JobSkipped,
    ResultAccepted,
    ResultBuried,
    ResultLost,
)
from node.domain.identity import NodeSpec
from node.domain.ids import JobId, JobKey, NodeId, SourceId
from node.domain.jobs import Job
from node.domain.policies import NodePolicy
from node.domain.proxies import ProxyAddress
from node.domain.results import FinishedJob
from node.domain.secret import Secret
from node.domain.states import Life
from node.domain.verdict import Ruling, Verdict
from node.manager.manager import NodeManager
from node.ports.clock import Clock
from node.ports.membership import Link, LinkFactory, Membership
from node.ports.outbox import Keeping, Outbox, ResultSender
from node.ports.source import JobSource
from node.sandbox.gateway import Gateway

E = TypeVar("E")

LAST_WORDS = {Ruling.OK, Ruling.ALREADY, Ruling.DEAD_LETTER, Ruling.REFUSED}


class Audit:
    """Watches what nodes ask of their sources, and notes what must not be."""

    def __init__(self, policy: NodePolicy, clock: Clock) -> None:
        self.violations: list[str] = []
        self.secrets: list[Secret] = []
        self.received: list[JobKey] = []
        self.settled: dict[JobKey, list[Ruling]] = {}
        self._policy = policy
        self._clock = clock
        self._manager: NodeManager | None = None
        self._outbox: Outbox | None = None
        self._sender: ResultSender | None = None

    def watch(self, manager: NodeManager, outbox: Outbox, sender: ResultSender) -> None:
        self._manager, self._outbox, self._sender = manager, outbox, sender

    def claims(self, node_id: NodeId) -> None:
        """Invariant 4, at every claim."""
        assert self._manager is not None
        assert self._sender is not None
        node = self._manager.nodes[node_id]
        if node.busy_slots >= self._policy.slots:
            self._note(f"{node_id} claims with {node.busy_slots} slots in use")
        if node.life is not Life.RUNNING:
            self._note(f"{node_id} claims while it is {node.life.value}")
        if not self._sender.accepting:
            self._note(f"{node_id} claims while the outbox takes nothing")

    def sends(self, finished: FinishedJob) -> None:
        """Invariant 1, at every submission."""
        assert self._outbox is not None
        if self._outbox.keeping(finished.key) is not Keeping.PENDING:
            self._note(f"{finished.key} is sent while it is {self._outbox.keeping(finished.key).value}")

    def heard(self, key: JobKey, verdict: Verdict) -> None:
        self.settled.setdefault(key, []).append(verdict.ruling)

    def _note(self, text: str) -> None:
        self.violations.append(f"{self._clock.monotonic():.3f} {text}")


class WatchedSource:
    """A source that the audit looks over the shoulder of."""

    def __init__(self, source: JobSource, node: NodeId, audit: Audit) -> None:
        self._source = source
        self._node = node
        self._audit = audit

    @property
    def source_id(self) -> SourceId:
        return self._source.source_id

    async def claim(self, still_wanted: Callable[[], bool] | None = None) -> Job | None:
        self._audit.claims(self._node)
        job = await self._source.claim(still_wanted)
        if job is not None:
            self._audit.received.append(JobKey(self.source_id, self._node, job.job_id))
        return job

    async def settle(self, finished: FinishedJob) -> Verdict:
        self._audit.sends(finished)
        verdict = await self._source.settle(finished)
        self._audit.heard(finished.key, verdict)
        return verdict


@dataclass(frozen=True)
class WatchedLink:
    membership: Membership
    source: JobSource
    inner: Link

    async def aclose(self) -> None:
        await self.inner.aclose()


class WatchedLinks:
    def __init__(self, links: LinkFactory, audit: Audit) -> None:
        self._links = links
        self._audit = audit

    def open(self, spec: NodeSpec, proxy: ProxyAddress | None, on_lost: Callable[[], None]) -> WatchedLink:
        link = self._links.open(spec, proxy, on_lost)
        return WatchedLink(link.membership, WatchedSource(link.source, spec.node_id, self._audit), link)


def check_invariants(
    audit: Audit, events: Iterable[Event], outbox: Outbox, gateways: Iterable[Gateway], *, crashes: int = 0
) -> None:
    """Invariants 1 to 5 over a whole run, when every life is over. ``crashes`` are those that a test has planted."""
    history = list(events)
    _check_results(history, outbox, audit)
    _check_credit(history, gateways)
    _check_answers(history, audit)
    assert audit.violations == []
    _check_slots(history, audit._policy.slots)
    _check_secrets(history, audit.secrets)
    assert len(_of(Crash, history)) == crashes, _of(Crash, history)


def _check_results(history: list[Event], outbox: Outbox, audit: Audit) -> None:
    """1. A finished result leaves the outbox accepted, refused for good or expired, and in no other way."""
    finished = [event.key for event in _of(JobEnded, history)]
    accepted = [event.key for event in _of(ResultAccepted, history)]
    buried = [event.key for event in _of(ResultBuried, history)]
    waiting = [result.key for result in outbox.pending()]
    assert Counter(finished) == Counter([*accepted, *buried, *waiting])
    assert _of(ResultLost, history) == []
    assert all(audit.settled[key][-1] in {Ruling.OK, Ruling.ALREADY} for key in accepted)
    assert all(not LAST_WORDS & set(audit.settled.get(key, ())) for key in waiting)


def _check_credit(history: list[Event], gateways: Iterable[Gateway]) -> None:
    """2. A job is credited once, and run at most once by a node."""
    assert max(Counter(event.key for event in _of(JobClaimed, history)).values(), default=1) == 1
    taken = _of(ResultAccepted, history)
    first = Counter(event.key.job for event in taken if not event.already)
    assert max(first.values(), default=1) == 1
    rows = [row for gateway in gateways for row in gateway.job_rows(0, 1_000_000)]
    credited = {JobId(row["job_id"]): row["accepted"]["node"] for row in rows if row["accepted"] is not None}
    told = {event.key.job for event in taken}
    known = {JobId(row["job_id"]) for row in rows}
    assert told & known <= credited.keys()
    claimed = {(event.key.job, event.key.node) for event in _of(JobClaimed, history)}
    assert claimed >= set(credited.items())


def _check_answers(history: list[Event], audit: Audit) -> None:
    """3. A job received is answered."""
    claimed = [event.key for event in _of(JobClaimed, history)]
    skipped = [event.key for event in _of(JobSkipped, history)]
    ended = [event.key for event in _of(JobEnded, history)]
    assert Counter(audit.received) == Counter([*claimed, *skipped])
    assert Counter(claimed) == Counter(ended)
    assert set(skipped) <= set(claimed)


def _check_slots(history: list[Event], slots: int) -> None:
    """4. No node works on more jobs than it has slots."""
    open_jobs: Counter[NodeId] = Counter()
    for event in history:
        if isinstance(event, JobClaimed):
            open_jobs[event.key.node] += 1
            assert open_jobs[event.key.node] <= slots, event
        elif isinstance(event, JobEnded):
            open_jobs[event.key.node] -= 1


def _check_secrets(history: list[Event], secrets: Iterable[Secret]) -> None:
    """5. No event shows a secret."""
    told = "\n".join(map(repr, history))
    shown = [secret for secret in dict.fromkeys(secrets) if secret and secret.reveal() in told]
    assert not shown


def _of(kind: type[E], history: list[Event]) -> list[E]:
    return [event for event in history if isinstance(event, kind)]
