"""A chat's answer by an OpenAI-compatible server, put together from its parts."""

from __future__ import annotations

from collections.abc import Sequence

from node.domain.errors import EngineFailed, EngineRefused
from node.domain.results import Generation
from node.executors.engine_calls import EngineCall
from node.executors.engine_words import presentable
from node.executors.openai_answers import ChatChunk


class ChatAnswer:
    """What has come of an answer so far. ``asked`` are the conversation's texts, which no error shows."""

    def __init__(self, call: EngineCall, asked: Sequence[str], engine: str) -> None:
        self.finish_reason: str | None = None
        self._call = call
        self._asked = asked
        self._engine = engine
        self._pieces: list[str] = []
        self._thought = False

    def take(self, chunk: ChatChunk) -> str | None:
        """Keep a part of the answer; returns its text, an empty one of a thought, and None where it has neither.

        Raises:
            EngineFailed: it is an error.
        """
        if (failure := chunk.failure) is not None:
            failed = f"{self._engine} failed"
            raise EngineFailed(f"{failed}: {presentable(failure, self._asked)}", told=failed)
        self._take_figures(chunk)
        if not chunk.choices:
            return None
        choice = chunk.choices[0]
        # Some servers send an empty one until the end.
        self.finish_reason = choice.finish_reason or self.finish_reason
        piece = choice.delta or choice.message
        if piece is None:
            return None
        if piece.content:
            self._call.piece()
            self._pieces.append(piece.content)
        if thinks := bool(piece.reasoning_content or piece.reasoning):
            self._thought = True
        return piece.content or ("" if thinks else None)

    def generation(self) -> Generation:
        """The answer, once it has a ``finish_reason``.

        Raises:
            EngineRefused: it has no text but the model's thoughts.
        """
        text = "".join(self._pieces)
        if self._thought and not text:
            raise EngineRefused("the model used its whole output for thinking; turn that off, or raise max_output")
        call = self._call
        call.finish_reason = self.finish_reason
        return Generation(
            text=text,
            model=call.model,
            executor=self._engine,
            prompt_tokens=call.prompt_tokens,
            output_tokens=call.output_tokens,
            finish_reason=self.finish_reason,
            first_token_s=call.first_token_s,
            tokens_per_s=call.measured_rate(),
        )

    def broken(self) -> EngineFailed:
        """The error of an answer that ended without a ``finish_reason``."""
        if self._pieces or self._thought:
            return EngineFailed(f"{self._engine}'s answer broke off: it ended without a finish_reason")
        return EngineFailed(
            f"{self._engine}'s answer is empty; the conversation may be longer than the model's context"
        )

    def _take_figures(self, chunk: ChatChunk) -> None:
        self._call.model = chunk.model or self._call.model
        if chunk.usage is not None:
            self._call.prompt_tokens = chunk.usage.prompt_tokens
            self._call.output_tokens = chunk.usage.completion_tokens
