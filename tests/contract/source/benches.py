"""Sources under one suite: each bench has a source, and the other side of it in hand."""

from __future__ import annotations

from typing import Protocol

from node.domain.errors import SessionLost, StepFault, StepRefused, TryLater
from node.domain.ids import JobId, JobKey, NodeId, SourceId
from node.domain.jobs import ChatPayload, Job, Message
from node.domain.results import Failure, FinishedJob, Generation, Success
from node.domain.secret import Secret
from node.domain.verdict import Ruling, Verdict
from node.ports.source import JobSource
from node.protocol.routes import Step
from node.sources.gateway import GatewaySource
from node.sources.memory import MemorySource
from tests.unit.gateway.bench import Bench
from tests.unit.gateway.scripted_gateway import said


class SourceBench(Protocol):
    """What the suite does to the other side of a source."""

    source: JobSource

    async def open(self) -> None:
        """Make the source ready."""

    def offer(self, job_id: str) -> None:
        """Have a job to hand out."""

    def fail_claim(self, kind: type[Exception]) -> None:
        """Have the next claim end so; `TryLater` with 7 s to wait."""

    def refuse_result(self, ruling: Ruling) -> None:
        """Have the next result end so."""

    def taken(self) -> list[str]:
        """The jobs whose results were taken, in order."""

    async def aclose(self) -> None:
        """Let go of everything."""


def finished(source: JobSource, job_id: str, *, ok: bool = True) -> FinishedJob:
    outcome = Success(Generation("hi", "tiny", "stored")) if ok else Failure("no engine", "tiny")
    key = JobKey(source.source_id, NodeId("n1"), JobId(job_id))
    return FinishedJob(
        key, outcome, received_at=1.0, finished_at=2.0, receipt={"api_key": Secret("key-of-a-developer")}
    )


class GatewayBench:
    """The gateway's source at a scripted gateway."""

    def __init__(self) -> None:
        self.bench = Bench()
        self.source: JobSource = GatewaySource(self.bench.client, self.bench.events, "0.0.4")

    async def open(self) -> None:
        await self.bench.join()

    def offer(self, job_id: str) -> None:
        messages = [{"role": "user", "content": f"prompt of {job_id}"}]
        job = {"job_id": job_id, "api_key": "key-of-a-developer", "model": "tiny", "messages": messages}
        self.bench.gateway.jobs.append(job)

    def fail_claim(self, kind: type[Exception]) -> None:
        status = {TryLater: 503, SessionLost: 400, StepFault: 302, StepRefused: 404}[kind]
        self.bench.gateway.fail(Step.POLL, said(status, retry_after="7"))

    def refuse_result(self, ruling: Ruling) -> None:
        denied = said(401, {"detail": "denied"})
        replies = {
            Ruling.RETRY: [said(503, retry_after="7")],
            Ruling.SESSION_LOST: [denied, denied],
            Ruling.DEAD_LETTER: [said(404)],
            Ruling.FAULT: [said(302)],
            Ruling.ALREADY: [said(409)],
        }[ruling]
        self.bench.gateway.fail(Step.UPDATE_RESULT, *replies)

    def taken(self) -> list[str]:
        return list(self.bench.gateway.results)

    async def aclose(self) -> None:
        await self.bench.client.aclose()


class MemoryBench:
    """The source in memory."""

    def __init__(self) -> None:
        self.memory = MemorySource(source_id=SourceId("memory"))
        self.source: JobSource = self.memory

    async def open(self) -> None:
        pass

    def offer(self, job_id: str) -> None:
        payload = ChatPayload("tiny", (Message("user", f"prompt of {job_id}"),))
        self.memory.add(Job(JobId(job_id), payload, receipt={"api_key": Secret("key-of-a-developer")}))

    def fail_claim(self, kind: type[Exception]) -> None:
        failures = {
            TryLater: TryLater("busy", 7.0),
            SessionLost: SessionLost("gone"),
            StepFault: StepFault("redirect"),
            StepRefused: StepRefused("no"),
        }
        self.memory.fail_claims(failures[kind])

    def refuse_result(self, ruling: Ruling) -> None:
        self.memory.refuse_results(Verdict(ruling, "so it was planned", 7.0 if ruling is Ruling.RETRY else None))

    def taken(self) -> list[str]:
        return list(self.memory.results)

    async def aclose(self) -> None:
        pass


SOURCES: dict[str, type[SourceBench]] = {"gateway": GatewayBench, "memory": MemoryBench}
