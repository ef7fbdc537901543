"""The engine of a load test: a job takes the time that its plan draws for it, and its text is made up."""

from __future__ import annotations

import asyncio
import itertools
from typing import Final, assert_never

from node.domain.errors import Declined
from node.domain.jobs import ChatPayload, EmbeddingPayload, Payload
from node.domain.results import Generation
from node.loadtest.driver.behaviour import Behaviour
from node.loadtest.plan.model import Engine
from node.ports.clock import Random
from node.ports.executor import Executor, Partials

NAME: Final = "synthetic"

_WORDS: Final = [
    "no",
    "model",
    "ran",
    "and",
    "these",
    "words",
    "fill",
    "its",
    "place:",
    "amber",
    "anchor",
    "brisk",
    "bridge",
    "calm",
    "candle",
    "distant",
    "forest",
    "early",
    "garden",
    "faint",
    "harbor",
    "gentle",
    "kettle",
    "hollow",
    "lantern",
    "narrow",
    "meadow",
    "silver",
    "river",
]


class PlannedEngine:
    """Implements `node.ports.executor.Executor` for all nodes of a process, with one timer a job.

    No two answers are alike, so that one taken for another is found out; ``shard`` tells processes apart in them. A
    token is a word.
    """

    def __init__(self, engine: Engine, random: Random, shard: int) -> None:
        self._engine = engine
        self._is_instant = engine.is_instant
        self._random = random
        self._shard = shard
        self._numbers = itertools.count(1)
        self._text = ""
        self._ends = [0]

    @property
    def name(self) -> str:
        """See `node.ports.executor.Executor.name`."""
        return NAME

    async def execute(self, payload: Payload, partials: Partials | None = None) -> Generation:
        """See `node.ports.executor.Executor.execute`. Declines what is no chat, and never fails."""
        return await self.work(payload, partials, Behaviour())

    async def work(self, payload: Payload, partials: Partials | None, behaviour: Behaviour) -> Generation:
        """The same at a node that behaves like this when the job begins."""
        match payload:
            case ChatPayload():
                chat = payload
            case EmbeddingPayload():
                raise Declined(f"{NAME}: makes chats alone")
            case _:
                assert_never(payload)
        work = self._engine.draw(self._random, chat.max_output)
        await asyncio.sleep(work.seconds * behaviour.slowness)
        answer = self._answer(chat, work.tokens)
        if partials is not None:
            await partials.push(answer.text)
        return answer

    def answer_now(self, payload: Payload) -> Generation | None:
        """See `node.ports.executor.InstantExecutor.answer_now`: it has all chats at once where none takes any time."""
        if not self._is_instant or not isinstance(payload, ChatPayload):
            return None
        return self._answer(payload, self._engine.draw(self._random, payload.max_output).tokens)

    async def aclose(self) -> None:
        """See `node.ports.executor.Executor.aclose`: it holds nothing."""

    def _answer(self, chat: ChatPayload, tokens: int) -> Generation:
        text = f"[synthetic:{self._shard}.{next(self._numbers)}]{self._filler(tokens - 1)}"
        return Generation(text=text, model=chat.model, executor=NAME, output_tokens=tokens, finish_reason="stop")

    def _filler(self, count: int) -> str:
        """So many words, each with a space before it: the beginning of one long text."""
        while len(self._ends) <= count:
            self._text += "".join(f" {word}" for word in _WORDS)
            end = self._ends[-1]
            self._ends += [end + length for length in itertools.accumulate(len(word) + 1 for word in _WORDS)]
        return self._text[: self._ends[count]]


class NodeEngine:
    """One node's use of an engine: as slow as the node is."""

    __slots__ = ("_behaviour", "_engine")

    def __init__(self, engine: PlannedEngine, behaviour: Behaviour) -> None:
        self._engine = engine
        self._behaviour = behaviour

    @property
    def name(self) -> str:
        """See `node.ports.executor.Executor.name`."""
        return self._engine.name

    async def execute(self, payload: Payload, partials: Partials | None = None) -> Generation:
        """See `PlannedEngine.execute`."""
        return await self._engine.work(payload, partials, self._behaviour)

    def answer_now(self, payload: Payload) -> Generation | None:
        """See `PlannedEngine.answer_now`."""
        return self._engine.answer_now(payload)

    async def aclose(self) -> None:
        """See `node.ports.executor.Executor.aclose`: the engine is everybody's."""


def engine_of_node(executor: Executor, behaviour: Behaviour) -> Executor:
    """What a node of this behaviour is to use; a real engine is as fast as it is."""
    return NodeEngine(executor, behaviour) if isinstance(executor, PlannedEngine) else executor
