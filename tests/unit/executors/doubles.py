"""What executors are given in tests: takers of pieces, a clock set by hand, an executor steered by the test."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from node.domain.errors import ExecutorError
from node.domain.jobs import ChatPayload, Message
from node.domain.results import Generation
from node.ports.executor import Partials


def chat(prompt: str, model: str = "gemma2:2b", max_output: int | None = None, temperature: float | None = None):
    return ChatPayload(model, (Message("user", prompt),), max_output, temperature)


@dataclass
class Pieces:
    """Keeps what was pushed."""

    texts: list[str] = field(default_factory=list)

    async def push(self, text: str) -> None:
        self.texts.append(text)
        await asyncio.sleep(0)

    @property
    def text(self) -> str:
        return "".join(self.texts)


@dataclass
class HandClock:
    """Stands still unless the test moves it."""

    now: float = 1000.0

    def wall(self) -> float:
        return self.now

    def monotonic(self) -> float:
        return self.now


@dataclass
class Scripted:
    """An executor that takes `seconds`, then fails with `error` or answers with the prompt."""

    name: str = "scripted"
    error: ExecutorError | None = None
    seconds: float = 0.0
    started: list[str] = field(default_factory=list)
    running: int = 0
    peak: int = 0
    closed: int = 0
    close_error: Exception | None = None

    async def execute(self, payload: ChatPayload, partials: Partials | None = None) -> Generation:
        self.started.append(payload.prompt)
        self.running += 1
        self.peak = max(self.peak, self.running)
        try:
            await asyncio.sleep(self.seconds)
            if self.error is not None:
                raise self.error
            if partials is not None:
                await partials.push(payload.prompt)
            return Generation(payload.prompt, payload.model, self.name)
        finally:
            self.running -= 1

    async def aclose(self) -> None:
        self.closed += 1
        if self.close_error is not None:
            raise self.close_error
