"""Results to keep, and sources that answer by a script."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator
from typing import TypeAlias

from node.domain.ids import JobId, JobKey, NodeId, SourceId
from node.domain.jobs import Job
from node.domain.results import FinishedJob, Generation, Success
from node.domain.secret import Secret
from node.domain.verdict import Ruling, Verdict

GATEWAY = SourceId("http://gateway")

Answer: TypeAlias = Verdict | Ruling | BaseException | float
"""A verdict, an error to raise, or seconds to take before the next answer of the script."""


def key(job: str, node: str = "n1", source: SourceId = GATEWAY) -> JobKey:
    return JobKey(source, NodeId(node), JobId(job))


def finished(
    job: str, node: str = "n1", source: SourceId = GATEWAY, text: str = "an answer", at: float = 1_700_000_000.0
) -> FinishedJob:
    generation = Generation(text, "llama3.1:latest", "stored", None, 3, "stop")
    return FinishedJob(key(job, node, source), Success(generation), at, at + 1, {"api_key": Secret("developer-key")})


class ScriptedSource:
    """Answers each result as the script goes on, and OK at its end; remembers when it was asked what."""

    def __init__(self, script: Iterable[Answer] = (), source: SourceId = GATEWAY, takes_s: float = 0.0) -> None:
        self.source_id = source
        self.script: Iterator[Answer] = iter(script)
        self.takes_s = takes_s
        self.calls: list[tuple[float, str]] = []
        self.ended: list[str] = []
        self.under_way = 0
        self.most_under_way = 0

    @property
    def jobs(self) -> list[str]:
        return [job for _, job in self.calls]

    @property
    def times(self) -> list[float]:
        return [at for at, _ in self.calls]

    async def claim(self, still_wanted: object = None) -> Job | None:
        return None

    async def settle(self, finished: FinishedJob) -> Verdict:
        self.calls.append((asyncio.get_running_loop().time(), finished.key.job))
        self.under_way += 1
        self.most_under_way = max(self.most_under_way, self.under_way)
        try:
            if self.takes_s:
                await asyncio.sleep(self.takes_s)
            verdict = await self._answer()
            self.ended.append(finished.key.job)
            return verdict
        finally:
            self.under_way -= 1

    async def _answer(self) -> Verdict:
        for answer in self.script:
            match answer:
                case Verdict():
                    return answer
                case Ruling():
                    return Verdict(answer, f"scripted {answer.name}")
                case BaseException():
                    raise answer
                case delay:
                    await asyncio.sleep(delay)
        return Verdict(Ruling.OK)
