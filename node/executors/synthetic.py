"""Text that no model made, at a model's pace: for simulations without an engine."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Final

from node.domain.jobs import ChatPayload, Payload
from node.domain.results import Generation
from node.executors.kinds import only_chat
from node.ports.clock import Random
from node.ports.executor import Partials

_OPENING: Final = ("[synthetic]", "No", "model", "ran;", "these", "words", "fill", "its", "place:")
"""Says what the text is, in its very first token, so that even the shortest answer does."""

_QUALITIES: Final = ("amber", "brisk", "calm", "distant", "early", "faint", "gentle", "hollow", "narrow", "silver")
_THINGS: Final = ("anchor", "bridge", "candle", "forest", "garden", "harbor", "kettle", "lantern", "meadow", "river")

_PIECE_S: Final = 0.2
"""How much of the answer is one piece, for a taker of pieces."""


@dataclass(frozen=True, slots=True)
class SyntheticPolicy:
    """How synthetic text is made: its length in tokens, drawn anew each time, and tokens a second (0: at once).

    A token is a word.

    Raises:
        ValueError: a length is below 1, the most below the least, or the rate below 0.
    """

    min_tokens: int = 40
    max_tokens: int = 160
    tokens_per_s: float = 80.0

    def __post_init__(self) -> None:
        if not 1 <= self.min_tokens <= self.max_tokens:
            raise ValueError(f"a length runs from 1 upwards, not from {self.min_tokens} to {self.max_tokens}")
        if self.tokens_per_s < 0:
            raise ValueError(f"a rate is 0 or more, not {self.tokens_per_s}")


class SyntheticExecutor:
    """Takes every job and fails at none. The first words of an answer say what it is.

    Results bear the name of the model that was asked for, since this stands in for it; ``executor`` tells them
    apart.
    """

    def __init__(self, policy: SyntheticPolicy, random: Random) -> None:
        self._policy = policy
        self._random = random

    @property
    def name(self) -> str:
        """See `node.ports.executor.Executor.name`."""
        return "synthetic"

    async def execute(self, payload: Payload, partials: Partials | None = None) -> Generation:
        """See `node.ports.executor.Executor.execute`. Declines no chat, and never fails.

        The words are drawn before the first wait; a piece is what is made in 0.2 s. ``max_output`` is kept to, and
        the ``finish_reason`` is "length" where it cut the answer.
        """
        answer = self._answer(only_chat(payload, self.name))
        words = answer.text.split(" ")
        count, rate = len(words), self._policy.tokens_per_s
        piece = count if partials is None or not rate else max(1, round(rate * _PIECE_S))
        for start in range(0, count, piece):
            part = words[start : start + piece]
            if rate:
                await asyncio.sleep(len(part) / rate)
            if partials is not None:
                await partials.push(" ".join(part) if not start else " " + " ".join(part))
        return answer

    def answer_now(self, payload: Payload) -> Generation | None:
        """See `node.ports.executor.InstantExecutor.answer_now`: it has all chats at once where it has no pace."""
        return None if self._policy.tokens_per_s or not isinstance(payload, ChatPayload) else self._answer(payload)

    async def aclose(self) -> None:
        """See `node.ports.executor.Executor.aclose`: it holds nothing."""

    def _answer(self, chat: ChatPayload) -> Generation:
        least, most = self._policy.min_tokens, self._policy.max_tokens
        wanted = least if least == most else self._random.randrange(least, most + 1)
        count = wanted if chat.max_output is None else max(1, min(wanted, chat.max_output))
        text, reason = " ".join(self._words(count)), "stop" if count == wanted else "length"
        return Generation(text, chat.model, self.name, None, count, reason)

    def _words(self, count: int) -> list[str]:
        if count <= len(_OPENING):
            return list(_OPENING[:count])
        filler = (self._random.choice((_QUALITIES, _THINGS)[turn % 2]) for turn in range(count - len(_OPENING)))
        return [*_OPENING, *filler]
