"""An engine that does in each call what the test wrote down for it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from node.domain.jobs import ChatPayload, EmbeddingPayload, Message, Payload
from node.domain.results import Embeddings, Generation, Output
from node.ports.executor import Partials

Step = str | float | BaseException
"""A text is a piece, a number a wait in seconds, an error is raised."""

FOREVER = 1e9


class Engine:
    """Does the steps of one call after the other, the last one's again and again; then it answers.

    With ``models`` a model has steps of its own.
    """

    def __init__(self, *calls: Sequence[Step], name: str = "engine", models: dict[str, Sequence[Step]] | None = None):
        self.name = name
        self.script = list(calls) or [("fine",)]
        self.models = models or {}
        self.asked: list[Payload] = []
        self.running = 0
        self.peak = 0
        self.cancelled = 0
        self.closed = 0

    @property
    def asked_models(self) -> list[str]:
        return [payload.model for payload in self.asked]

    async def execute(self, payload: Payload, partials: Partials | None = None) -> Output:
        steps = self.models.get(payload.model, self.script[min(len(self.asked), len(self.script) - 1)])
        self.asked.append(payload)
        self.running += 1
        self.peak = max(self.peak, self.running)
        try:
            return await self._answer(payload, steps, partials)
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        finally:
            self.running -= 1

    async def _answer(self, payload: Payload, steps: Sequence[Step], partials: Partials | None) -> Output:
        text = ""
        for step in steps:
            match step:
                case str():
                    text += step
                    if partials is not None and isinstance(payload, ChatPayload):
                        await partials.push(step)
                case BaseException():
                    raise step
                case _:
                    await asyncio.sleep(step)
        if isinstance(payload, EmbeddingPayload):
            return Embeddings(tuple((float(len(text)),) for text in payload.inputs), payload.model, self.name)
        return Generation(text, payload.model, self.name)

    async def aclose(self) -> None:
        self.closed += 1


class SlowTaker:
    """Takes ``seconds`` over each piece."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.texts: list[str] = []

    async def push(self, text: str) -> None:
        await asyncio.sleep(self.seconds)
        self.texts.append(text)


def talk(*turns: tuple[str, str], model: str = "gemma2:2b") -> ChatPayload:
    return ChatPayload(model, tuple(Message(role, content) for role, content in turns))


def texts(*inputs: str, model: str = "nomic") -> EmbeddingPayload:
    return EmbeddingPayload(model, inputs)
