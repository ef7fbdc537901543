"""Answers from prompt files: for simulations, towards a gateway of the operator's own."""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass, field
from typing import Final

from node.domain.errors import Declined
from node.domain.jobs import Payload
from node.domain.policies import Range
from node.domain.results import Generation
from node.executors.kinds import only_chat
from node.executors.prompt_book import PromptBook
from node.ports.clock import Random
from node.ports.executor import Partials

_GAP: Final = re.compile(r"(?<=\S) (?=\S)")
"""One space between words of a line: indentation and line breaks carry meaning and stay as they are."""


@dataclass(frozen=True, slots=True)
class StoredPolicy:
    """How stored answers are given.

    ``delay`` is the time an answer takes, in seconds. ``variation`` is the probability with which a space
    between two words becomes two, from 0 (never) to 1.

    Raises:
        ValueError: ``variation`` is not from 0 to 1.
    """

    delay: Range = field(default_factory=lambda: Range(0.0, 0.0))
    variation: float = 0.0

    def __post_init__(self) -> None:
        if not 0 <= self.variation <= 1:
            raise ValueError(f"a probability lies between 0 and 1, not at {self.variation}")


class StoredExecutor:
    """Gives one of the answers that are stored for a job's last message and its model, drawn from ``random``."""

    def __init__(self, book: PromptBook, policy: StoredPolicy, random: Random) -> None:
        self._book = book
        self._policy = policy
        self._random = random

    @property
    def name(self) -> str:
        """See `node.ports.executor.Executor.name`."""
        return "stored"

    async def execute(self, payload: Payload, partials: Partials | None = None) -> Generation:
        """See `node.ports.executor.Executor.execute`; the whole answer is one piece, whatever ``max_output`` says.

        Raises:
            Declined: nothing is stored for the prompt, or nothing of this model; told at once, without the delay.
        """
        chat = only_chat(payload, self.name)
        stored = self._book.find(chat.prompt)
        if stored is None:
            raise Declined("no answer is stored for this prompt")
        answers = stored.answers.get(chat.model)
        if not answers:
            raise Declined(f"no answer of {chat.model} is stored for this prompt")
        text = self._varied(self._random.choice(answers))
        await asyncio.sleep(self._policy.delay.draw(self._random))
        if partials is not None:
            await partials.push(text)
        return Generation(text=text, model=chat.model, executor=self.name)

    async def aclose(self) -> None:
        """See `node.ports.executor.Executor.aclose`: it holds nothing."""

    def _varied(self, text: str) -> str:
        if not self._policy.variation:
            return text
        return _GAP.sub(lambda _: "  " if self._random.random() < self._policy.variation else " ", text)
