"""A small gateway in discrete time, with bugs to plant, and a fleet that the audit watches."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from enum import Enum
from typing import cast

from node.domain import events as ev
from node.domain.ids import JobId, JobKey, NodeId, SourceId
from node.domain.results import FinishedJob, Generation, Success
from node.loadtest.audit.book import Book
from node.loadtest.audit.digest import digest
from node.loadtest.audit.gateway_word import Credit, GatewayWord
from node.loadtest.audit.policy import AuditPolicy
from node.loadtest.audit.views import Said
from node.loadtest.audit.watch import Watch
from node.protocol import translate
from node.sandbox.job_rows import AnswerRow, ClaimRow, JobRow
from node.sandbox.jobs import HowEnded, JobState

LEASE_S = 20.0
SOURCE = SourceId("http://gateway")


class Bug(Enum):
    LOSE_RESULT = "lose-result"
    DOUBLE_ACCEPT = "double-accept"
    DOUBLE_CREDIT = "double-credit"
    NO_CREDIT = "no-credit"
    DOUBLE_DELIVER = "double-deliver"
    NO_REDELIVERY = "no-redelivery"
    LEAK_LEASE = "leak-lease"
    NEVER_HAND_OUT = "never-hand-out"
    ALTER_RESULT = "alter-result"
    RENAME_MODEL = "rename-model"
    WRONG_JOB_MODEL = "wrong-job-model"
    INVENT_JOB = "invent-job"
    INVENT_ANSWER = "invent-answer"
    DELIVER_ANSWERED = "deliver-answered"
    FORGET_COUNT = "forget-count"


@dataclass
class ModelJob:
    job: JobId
    model: str
    state: str = "queued"
    holder: str = ""
    until: float = 0.0
    stored: tuple[str, str, str] | None = None
    accepted_by: str = ""
    accepted_at: float = 0.0
    claims: list[ClaimRow] = field(default_factory=list)
    taken: list[tuple[str, float]] = field(default_factory=list)
    credited: list[NodeId] = field(default_factory=list)
    is_dropped: bool = False


class GatewayModel:
    """Hands out each job once at a time, takes one result each, unless a bug is planted for some of the jobs."""

    def __init__(self, bug: Bug | None, chance: random.Random, share: float) -> None:
        self.bug = bug
        self.chance = chance
        self.share = share
        self.jobs: dict[JobId, ModelJob] = {}
        self.credit: dict[str, int] = {}
        self.counted = 0
        self.planted = 0

    def strikes(self, bug: Bug) -> bool:
        strikes = self.bug is bug and (self.planted == 0 or self.chance.random() < self.share)
        self.planted += strikes
        return strikes

    def submit(self, job: JobId) -> None:
        self.jobs[job] = ModelJob(job, "m")
        if not self.strikes(Bug.FORGET_COUNT):
            self.counted += 1
        if self.strikes(Bug.NEVER_HAND_OUT):
            self.jobs[job].state = "lost"
        elif self.strikes(Bug.INVENT_ANSWER):
            self.jobs[job].state = "answered"
            self.jobs[job].stored = ("success", "made up", "m")
            self.jobs[job].accepted_by = "nobody"
            self.jobs[job].taken = [("nobody", 0.0)]
            self.jobs[job].credited = [NodeId("nobody")]

    def expire(self, now: float) -> None:
        for job in self.jobs.values():
            if job.state == "leased" and job.until <= now and not job.is_dropped:
                self.give_back(job, "lapsed", job.until)

    def give_back(self, job: ModelJob, how: HowEnded, at: float) -> None:
        if self.strikes(Bug.NO_REDELIVERY):
            job.state = "lost"
        elif self.strikes(Bug.LEAK_LEASE):
            job.is_dropped = True
            return
        else:
            job.state = "queued"
        self.end_claim(job, how, at)

    def end_claim(self, job: ModelJob, how: HowEnded, at: float) -> None:
        if job.claims and job.claims[-1].ended is None:
            job.claims[-1] = job.claims[-1]._replace(ended=how, ended_at=at)

    def poll(self, node: str, now: float) -> ModelJob | None:
        self.expire(now)
        if self.strikes_ready(Bug.INVENT_JOB, self.jobs):
            invented = ModelJob(JobId(f"invented-{now}-{node}"), "m")
            self.jobs[invented.job] = invented
            return self.hand_out(invented, node, now)
        if self.bug is Bug.DOUBLE_DELIVER:
            held = [job for job in self.jobs.values() if job.state == "leased" and now < job.until - 5]
            held = [job for job in held if job.holder != node]
            if self.strikes_ready(Bug.DOUBLE_DELIVER, held):
                return self.hand_out(held[0], node, now)
        if self.bug is Bug.DELIVER_ANSWERED:
            done = [job for job in self.jobs.values() if job.state == "answered" and job.accepted_at < now - 3]
            if self.strikes_ready(Bug.DELIVER_ANSWERED, done):
                done[0].claims.append(ClaimRow(NodeId(node), now, now + LEASE_S, None, None))
                return done[0]
        queued = next((job for job in self.jobs.values() if job.state == "queued"), None)
        return None if queued is None else self.hand_out(queued, node, now)

    def strikes_ready(self, bug: Bug, candidates: object) -> bool:
        return bool(candidates) and self.strikes(bug)

    def hand_out(self, job: ModelJob, node: str, now: float) -> ModelJob:
        job.state, job.holder, job.until = "leased", node, now + LEASE_S
        job.claims.append(ClaimRow(NodeId(node), now, job.until, None, None))
        return job

    def leave(self, node: str, now: float) -> None:
        for job in self.jobs.values():
            if job.state == "leased" and job.holder == node and not job.is_dropped:
                self.give_back(job, "left", now)

    def take(self, job_id: JobId, node: str, result: tuple[str, str, str], now: float) -> bool:
        """Whether it is new."""
        job = self.jobs[job_id]
        if job.accepted_by:
            if self.strikes(Bug.DOUBLE_ACCEPT):
                job.taken.append((node, now))
                return True
            return False
        job.state, job.accepted_by, job.accepted_at = "answered", node, now
        due = 2 if self.strikes(Bug.DOUBLE_CREDIT) else 0 if self.strikes(Bug.NO_CREDIT) else 1
        self.credit[node] = self.credit.get(node, 0) + due
        job.credited += [NodeId(node)] * due
        self.end_claim(job, "answered", now)
        status, content, model = result
        if self.strikes(Bug.LOSE_RESULT):
            job.state = "lost"
            job.credited.clear()
            return True
        job.taken.append((node, now))
        if self.strikes(Bug.ALTER_RESULT):
            content += " and more"
        if self.strikes(Bug.RENAME_MODEL):
            model = "another"
        job.stored = (status, content, model)
        return True

    def row(self, number: int, job: ModelJob) -> JobRow:
        """The job as the sandbox's ledger tells it."""
        answers = [AnswerRow(NodeId(node), at, "accepted", "success", "", "") for node, at in job.taken]
        state = "leased" if job.is_dropped and job.state == "leased" else job.state
        is_ours = not job.job.startswith("invented")
        return JobRow(
            number,
            job.job,
            job.model,
            0.0 if is_ours else None,
            cast("JobState", state),
            tuple(job.claims),
            tuple(answers),
            tuple(job.credited),
            0,
        )


@dataclass
class FleetNode:
    name: str
    alive: bool = True
    away_until: float = 0.0
    job: JobId | None = None
    done_at: float = 0.0
    resend: tuple[JobId, FinishedJob] | None = None


@dataclass
class World:
    """Runs a fleet of nodes against a `GatewayModel`, a book a shard, and asks what a driver would ask."""

    seed: int
    bug: Bug | None = None
    jobs: int = 24
    nodes: int = 6
    shards: int = 2
    crashes: bool = True
    share: float = 0.2

    def __post_init__(self) -> None:
        self.chance = random.Random(self.seed)
        self.gateway = GatewayModel(self.bug, self.chance, self.share)
        self.now = 1_800_000_000.0
        self.books = [Book() for _ in range(self.shards)]
        self.watches = [Watch(book, lambda: self.now) for book in self.books]
        self.handlers = [watch.handlers() for watch in self.watches]
        self.fleet = [FleetNode(f"n{number}") for number in range(self.nodes)]

    def emit(self, number: int, event: ev.Event) -> None:
        handler = self.handlers[number % self.shards].get(type(event))
        if handler is not None:
            handler(event)

    def run(self) -> None:
        for number, node in enumerate(self.fleet):
            self.emit(number, ev.ModelsAnnounced(NodeId(node.name), ("m",)))
        submitted = 0
        for step in range(280):
            self.now += 0.5
            if submitted < self.jobs and step % 2 == 0:
                job = JobId(f"job-{submitted}")
                self.gateway.submit(job)
                self.watches[submitted % self.shards].submitted(job, "m", self.now - 0.1)
                submitted += 1
            for number, node in enumerate(self.fleet):
                self.turn(number, node, step)
        self.gateway.expire(self.now)

    def turn(self, number: int, node: FleetNode, step: int) -> None:
        name = NodeId(node.name)
        if not node.alive:
            if self.now >= node.away_until:
                node.alive = True
            return
        if node.resend is not None:
            self.hand_over(number, node, *node.resend)
            node.resend = None
        if node.job is None:
            took = self.chance.uniform(0.001, 0.4)
            job = self.gateway.poll(node.name, self.now)
            self.emit(number, ev.PollEnded(name, took, None if job is None else job.job))
            if job is not None:
                key = JobKey(SOURCE, name, job.job)
                model = "other" if self.gateway.strikes(Bug.WRONG_JOB_MODEL) else job.model
                self.emit(number, ev.JobClaimed(key, model))
                node.job = job.job
                # Some take so long that their lease ends first.
                node.done_at = self.now + (LEASE_S + 8 if self.chance.random() < 0.1 else self.chance.uniform(0.5, 8))
        elif self.now >= node.done_at:
            self.finish(number, node, node.job)
        elif self.crashes and step < 120 and self.chance.random() < 0.02:
            self.watches[number % self.shards].crashed([name])
            node.alive, node.job, node.away_until = False, None, self.now + 30
        elif step < 120 and self.chance.random() < 0.01:
            self.gateway.leave(node.name, self.now)
            self.emit(number, ev.StepEnded(name, "leave", 0.01))
            node.alive, node.job, node.away_until = False, None, self.now + 5

    def finish(self, number: int, node: FleetNode, job: JobId) -> None:
        key = JobKey(SOURCE, NodeId(node.name), job)
        made = Generation(f"answer of {node.name} to {job}", "m", "synthetic")
        finished = FinishedJob(key, Success(made), self.now, self.now)
        self.emit(number, ev.JobEnded(key, "synthetic", "m", 1.0, 5))
        node.job = None
        self.hand_over(number, node, job, finished)
        if self.chance.random() < 0.2:
            node.resend = (job, finished)

    def hand_over(self, number: int, node: FleetNode, job: JobId, finished: FinishedJob) -> None:
        self.watches[number % self.shards].sent(finished)
        update = translate.result_update(finished)
        result = (update.status, update.result.message.content, update.model_name)
        is_new = self.gateway.take(job, node.name, result, self.now)
        self.emit(number, ev.ResultAccepted(finished.key, 1.0, 1, already=not is_new))

    @property
    def is_healed(self) -> bool:
        """Whether jobs that were not to be handed out again got a late answer, so that nothing is wrong."""
        is_of_leases = self.bug in {Bug.NO_REDELIVERY, Bug.LEAK_LEASE}
        return is_of_leases and all(job.state == "answered" for job in self.gateway.jobs.values())

    def book(self) -> Book:
        """All shards' books as one, after a journey as JSON."""
        whole = Book()
        for book in self.books:
            whole.merge(Book.from_document(book.to_document()))
        return whole

    def word(self, policy: AuditPolicy, *, public: bool = True, deep: bool = False) -> GatewayWord:
        word = GatewayWord(self.book(), policy)
        if public:
            self.ask_public(word)
        if deep:
            for number, job in enumerate(self.gateway.jobs.values()):
                word.take_row(self.gateway.row(number, job))
        return word

    def ask_public(self, word: GatewayWord) -> None:
        for number in range(self.jobs):
            job = self.gateway.jobs[JobId(f"job-{number}")]
            if job.stored is None:
                word.book.said(job.job, Said.PENDING)
                continue
            status, content, model = job.stored
            body = translate.result_update(
                FinishedJob(
                    JobKey(SOURCE, NodeId(""), job.job), Success(Generation(content, model, "")), self.now, self.now
                )
            ).result
            word.book.said(job.job, Said.SUCCESS, digest(status, body), model)
        word.job_count = Credit(100, 100 + self.gateway.counted)
        word.job_credits = {
            NodeId(node.name): Credit(3, 3 + self.gateway.credit.get(node.name, 0)) for node in self.fleet
        }
