"""Watches a simulated fleet from outside and says what must not have happened.

It holds three views against each other: what the nodes tell by their events, what passes over the wire, and what
the gateways have in their ledgers. The numbers are those of the invariants in docs/reliability.md.
"""

from __future__ import annotations

import base64
import json
import re
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

from node.app.assembly import Fleet
from node.domain.events import (
    AuthHealthChanged,
    Crash,
    Event,
    JobClaimed,
    JobEnded,
    JobSkipped,
    LifeChanged,
    Notice,
    PollFailed,
    ProxyAssigned,
    ProxyChecked,
    ResultBuried,
    ResultDelayed,
    ResultLost,
    ResultUnsafe,
    SessionChanged,
    StepEnded,
    StepRetried,
)
from node.domain.ids import JobId, JobKey, NodeId, SourceId
from node.domain.states import Life, LifeInput, Session, SessionInput
from node.ports.outbox import Keeping, Outbox
from node.ports.transport import Reply, Request
from node.protocol.routes import Step
from node.sandbox.gateway import Gateway
from tests.simulation.plan import GATEWAY_URL, Plan
from tests.simulation.timeline import Timeline

E = TypeVar("E")

_POLL: Final = Step.POLL.label
_RESULT: Final = Step.UPDATE_RESULT.label
_REFUSING: Final = frozenset({Step.CHECK_SECRET.label, Step.CHECK_IDENTITY.label})
_FINAL_STATUSES: Final = frozenset({400, 404, 410, 413, 418, 422, 451})
"""What buries a result: refusals that are not passing (the verdict's table)."""
PLANTED_DEFECT: Final = "ZeroDivisionError"
"""What the simulated engine raises as a defect of an executor."""
_SPOKEN: Final = frozenset(
    {
        *(LifeChanged, SessionChanged, PollFailed, StepEnded, StepRetried, JobEnded, JobSkipped, ResultDelayed),
        *(ResultBuried, ResultUnsafe, ResultLost, AuthHealthChanged, ProxyChecked, ProxyAssigned, Notice, Crash),
    }
)
"""Events that repeat what somebody else said."""
_SECRETS: Final = re.compile("eyJ|node-secret-|sandbox-feeder|canary|proxy-user")
"""How every secret of a simulated world begins, tokens included, or what all of its kind hold."""
_HAND_OVER_S: Final = 1e-6
"""How long after a job's delivery its node may take to say that it has it: no time at all."""


@dataclass
class _Life:
    """What is known of one process of the fleet."""

    fleet: Fleet | None = None
    running: dict[JobKey, float] = field(default_factory=dict)
    """Jobs claimed and not ended."""
    handed: dict[tuple[NodeId, JobId], float] = field(default_factory=dict)
    """Jobs delivered to a node that has not said so yet."""
    defects: Callable[[], int] = lambda: 0
    crashes: int = 0


class Checker:
    """Collects violations; a seed passes when there are none."""

    def __init__(
        self,
        timeline: Timeline,
        plan: Plan,
        gateways: Callable[[], list[Gateway]],
        enough: Callable[[str], bool] = lambda _: False,
    ) -> None:
        self.violations: list[str] = []
        self.knows_enough = False
        """Whether a violation was found that is ``enough``."""
        self._enough = enough
        self.transitions: Counter[str] = Counter()
        self.events: Counter[str] = Counter()
        self.kept: dict[JobKey, Keeping] = {}
        """What the outbox has said is durable."""
        self._settling: Counter[JobKey] = Counter()
        """Keys that the outbox was asked to change and has not answered for."""
        self._timeline = timeline
        self._plan = plan
        self._gateways = gateways
        self._life = _Life()
        self._holders: dict[str, NodeId] = {}
        self._statuses: dict[JobKey, set[int]] = {}
        self._polled: dict[NodeId, float] = {}
        self._refusals: Counter[NodeId] = Counter()
        self._sessions: dict[NodeId, Session] = {}
        self._on: Mapping[type[Any], Callable[[Any], None]] = {
            JobClaimed: self._claimed,
            JobSkipped: self._skipped,
            JobEnded: self._ended,
            ResultLost: self._lost,
            LifeChanged: self._life_changed,
            SessionChanged: self._session_changed,
            Crash: self._crashed,
        }

    def violated(self, number: int, text: str) -> None:
        """Note a violation of this invariant; 0 is liveness, or a defect at large."""
        self.violations.append(f"{self._timeline.now:.6f} [{number}] {text}")
        self.knows_enough = self.knows_enough or self._enough(self.violations[-1])

    # The fleet's processes.

    def began(self, fleet: Fleet, outbox: Outbox, defects: Callable[[], int]) -> None:
        """A fleet process has opened its outbox: all that was durable must be in it."""
        self._life = _Life(fleet, defects=defects)
        self._sessions = {}
        for key, keeping in self.kept.items():
            found = outbox.keeping(key)
            is_forgotten = keeping is Keeping.ACCEPTED and found is Keeping.UNKNOWN
            if found is not keeping and not is_forgotten and not self._settling[key]:
                self.violated(1, f"{key} was {keeping.value} on disk and is {found.value} in the next process")
            self.kept[key] = found
        for finished in outbox.pending():
            self.kept.setdefault(finished.key, Keeping.PENDING)
        self._settling.clear()

    def killed(self) -> None:
        """The fleet's process was killed: what it had not put on disk is gone with it."""
        self._check_handed()
        self._life = _Life()

    def exited(self, left: int) -> None:
        """The fleet's process ended by itself; ``left`` tasks of it did not."""
        life = self._life
        self._check_handed()
        for key in life.running:
            self.violated(3, f"{key} was claimed and has no result, and its process ended in good order")
        if left:
            self.violated(0, f"{left} tasks were left behind")
        if life.crashes != life.defects():
            self.violated(0, f"{life.crashes} crashes were told of, and {life.defects()} planted")
        self._life = _Life()

    # What the nodes say.

    def emit(self, event: Event, /) -> None:
        """See `node.ports.events.EventSink`."""
        kind = type(event)
        self.events[kind.__name__] += 1
        on = self._on.get(kind)
        if on is not None:
            on(event)
        if kind in _SPOKEN and _SECRETS.search(repr(event)):
            self.violated(5, f"a {kind.__name__} shows a secret")

    def _claimed(self, event: JobClaimed) -> None:
        key = event.key
        if key in self._life.running:
            self.violated(2, f"{key} is run twice at once")
        keeping = self.kept.get(key, Keeping.UNKNOWN)
        if keeping is not Keeping.UNKNOWN:
            self.violated(2, f"{key} is run again, though its result is {keeping.value}")
        self._life.running[key] = self._timeline.now
        self._took(key)

    def _skipped(self, event: JobSkipped) -> None:
        key = event.key
        if key not in self._life.running and self.kept.get(key, Keeping.UNKNOWN) is Keeping.UNKNOWN:
            self.violated(3, f"{key} is skipped, though nothing is known of it")
        self._took(key)

    def _took(self, key: JobKey) -> None:
        if self._life.handed.pop((key.node, key.job), None) is None:
            self.violated(0, f"{key} was claimed, though no reply brought it")

    def _ended(self, event: JobEnded) -> None:
        if self._life.running.pop(event.key, None) is None:
            self.violated(2, f"{event.key} ended, and was not claimed")
        if self.kept.get(event.key, Keeping.UNKNOWN) is Keeping.UNKNOWN:
            self.violated(1, f"{event.key} has ended, and its result is not on disk")

    def _lost(self, event: ResultLost) -> None:
        self._life.running.pop(event.key, None)
        if not any(window.begin <= self._timeline.now <= window.end + 30 for window in self._plan.disk_full):
            self.violated(1, f"{event.key} is lost, and the disk is not full: {event.reason}")

    def _life_changed(self, event: LifeChanged) -> None:
        self.transitions[f"{event.before.value} –{event.input.value}→"] += 1
        if event.input is LifeInput.REFUSED and self._refusals[event.node] < self._plan.policies.node.refusals:
            self.violated(0, f"{event.node} gave up after {self._refusals[event.node]} refusals")
        if event.input is LifeInput.READY:
            self._refusals[event.node] = 0

    def _session_changed(self, event: SessionChanged) -> None:
        before = self._sessions.get(event.node, Session.NONE)
        self._sessions[event.node] = event.state
        inputs = {
            Session.VALID: SessionInput.GRANTED,
            Session.EXPIRING: SessionInput.NEAR_EXPIRY,
            Session.REJECTED: SessionInput.DENIED,
            Session.NONE: SessionInput.DROPPED,
        }
        self.transitions[f"{before.value} –{inputs[event.state].value}→"] += 1

    def _crashed(self, event: Crash) -> None:
        self._life.crashes += 1
        if not (event.task.startswith("job ") and event.error.startswith(PLANTED_DEFECT)):
            self.violated(0, f"{event.task} crashed: {event.error}\n{event.trace}")

    # What passes over the wire.

    def sent(self, step: str, request: Request) -> None:
        """See `tests.simulation.network.Witness`."""
        if step == _POLL:
            node_id = self._sender(request)
            self._polled[node_id] = self._timeline.now
            self._check_claim(node_id)
        elif step == _RESULT:
            key = self._key(request)
            if self.kept.get(key) is not Keeping.PENDING:
                self.violated(1, f"{key} is sent and not on disk as pending")

    def delivered(self, step: str, request: Request, reply: Reply) -> None:
        """See `tests.simulation.network.Witness`."""
        if step == _POLL and reply.status == 200 and b'"job_id"' in reply.body:
            self._check_delivery(request, reply)
        elif step == _RESULT:
            self._statuses.setdefault(self._key(request), set()).add(reply.status)
        elif step in _REFUSING:
            self._count_refusal(request, reply)

    def _check_claim(self, node_id: NodeId) -> None:
        fleet = self._life.fleet
        assert fleet is not None
        node = fleet.manager.nodes[node_id]
        if node.busy_slots >= self._plan.policies.node.slots:
            self.violated(4, f"{node_id} asks for a job with {node.busy_slots} slots in use")
        if node.life is not Life.RUNNING:
            self.violated(4, f"{node_id} asks for a job while it is {node.life.value}")
        if not fleet.sender.accepting:
            self.violated(4, f"{node_id} asks for a job while the disk takes none")

    def _check_delivery(self, request: Request, reply: Reply) -> None:
        try:
            job = JobId(json.loads(reply.body)["job_data"]["job_id"])
        except (ValueError, KeyError, TypeError):
            return
        self._life.handed[self._sender(request), job] = self._timeline.now

    def _check_handed(self) -> None:
        for (node, job), at in self._life.handed.items():
            if self._timeline.now - at > _HAND_OVER_S:
                self.violated(3, f"job {job} was delivered to {node} at {at:.6f}, which said nothing of it")

    def _count_refusal(self, request: Request, reply: Reply) -> None:
        node = NodeId(json.loads(request.body or b"")["node_id"])
        if reply.status in {401, 403, 404} or (reply.status == 200 and b"false" in reply.body):
            self._refusals[node] += 1

    def _sender(self, request: Request) -> NodeId:
        bearer = dict(request.headers)["authorization"]
        node = self._holders.get(bearer)
        if node is None:
            claims = bearer.split(".")[1]
            node = NodeId(json.loads(base64.urlsafe_b64decode(claims + "=" * (-len(claims) % 4)))["sub"])
            self._holders[bearer] = node
        return node

    def _key(self, request: Request) -> JobKey:
        job = JobId(json.loads(request.body or b"")["job_id"])
        return JobKey(SourceId(GATEWAY_URL), self._sender(request), job)

    # What the outbox answers.

    def asked(self, key: JobKey) -> None:
        """The outbox is asked to change what it has of this key."""
        self._settling[key] += 1

    def answered(self, key: JobKey, keeping: Keeping | None) -> None:
        """The change is durable, and this is what it made; None when it failed."""
        self._settling[key] -= 1
        if keeping is None:
            return
        if keeping is Keeping.ACCEPTED and not self._is_credited(key.job):
            self.violated(1, f"{key} leaves the outbox as accepted, and no gateway has a result of it")
        if keeping is Keeping.DEAD and not self._statuses.get(key, set()) & _FINAL_STATUSES:
            self.violated(1, f"{key} is buried, and nobody refused it: {self._statuses.get(key)}")
        self.kept[key] = keeping

    def _is_credited(self, job: JobId) -> bool:
        return any(
            (record := gateway._ledger.find(job)) is not None and record.answer is not None
            for gateway in self._gateways()
        )

    # When all is over.

    def settled(self) -> None:
        """The faults ended long ago: every live node polls, no result waits, every job has its answer."""
        fleet = self._life.fleet
        if fleet is None:
            self.violated(0, "no fleet runs")
            return
        live = {node_id: node for node_id, node in fleet.manager.nodes.items() if node.life is not Life.FAILED}
        policy = self._plan.policies.node
        longest_s = 2 * policy.poll_cycle_s + policy.job_deadline_s + 30
        for node_id, node in live.items():
            silent_s = self._timeline.now - self._polled.get(node_id, 0.0)
            if node.life is not Life.RUNNING:
                self.violated(0, f"{node_id} is {node.life.value} long after the faults ended")
            elif silent_s > longest_s:
                self.violated(0, f"{node_id} runs and has not polled for {silent_s:.0f} s")
            if count := fleet.outbox.count(node_id):
                self.violated(0, f"{count} results of {node_id} wait long after the faults ended")
        models = {model for spec in self._plan.roster if spec.node_id in live for model in spec.models}
        for row in self._gateways()[-1].job_rows(0, 1_000_000):
            if row["accepted"] is None and row["model"] in models:
                self.violated(0, f"job {row['job_id']} has no answer long after the faults ended")

    def audited(self) -> None:
        """The ledgers, when no gateway has anything more to hear."""
        owners: dict[JobId, NodeId] = {}
        for gateway in self._gateways():
            for row in gateway.job_rows(0, 1_000_000):
                self._audit(row, owners)
            self._audit_credits(gateway)
        if self._plan.keeps_state:
            known = {JobId(row["job_id"]) for row in self._gateways()[-1].job_rows(0, 1_000_000) if row["accepted"]}
            for job in owners.keys() - known:
                self.violated(1, f"job {job} was credited, and the last gateway does not know of it")

    def _audit(self, row: dict[str, Any], owners: dict[JobId, NodeId]) -> None:
        if row["accepted"] is None:
            return
        job, node = JobId(row["job_id"]), NodeId(row["accepted"]["node"])
        if node not in {claim["node"] for claim in row["claims"]}:
            self.violated(2, f"job {job} is credited to {node}, which never had it")
        if owners.setdefault(job, node) != node:
            self.violated(2, f"job {job} is credited to {owners[job]} and to {node}")

    def _audit_credits(self, gateway: Gateway) -> None:
        accepted = sum(row["accepted"] is not None for row in gateway.job_rows(0, 1_000_000))
        credited = sum(row["succeeded"] + row["failed"] for row in gateway.node_rows(0, 1_000_000))
        if credited != accepted:
            self.violated(2, f"{accepted} jobs have a result, and nodes are credited with {credited}")
