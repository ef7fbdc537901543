"""What comes of a job."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

from node.domain.ids import JobKey
from node.domain.jobs import NO_RECEIPT
from node.domain.secret import Secret


class Generation(NamedTuple):
    """What an executor made of a job.

    ``executor`` names who made it (``stored``, ``ollama``, …), ``model`` the model that it is answered for: with
    an engine the one that really ran. Token counts and ``finish_reason`` are None where the engine does not tell,
    and so are the figures of speed: ``first_token_s`` from the engine's being asked to the first piece of the text,
    and ``tokens_per_s`` of the output.
    """

    text: str
    model: str
    executor: str
    prompt_tokens: int | None = None
    output_tokens: int | None = None
    finish_reason: str | None = None
    first_token_s: float | None = None
    tokens_per_s: float | None = None

    def __repr__(self) -> str:
        return f"Generation(model={self.model!r}, executor={self.executor!r}, output_tokens={self.output_tokens!r})"


class Embeddings(NamedTuple):
    """What an executor made of an `EmbeddingPayload`: a vector for each input, all of one length."""

    vectors: tuple[tuple[float, ...], ...]
    model: str
    executor: str
    prompt_tokens: int | None = None

    def __repr__(self) -> str:
        return f"Embeddings(model={self.model!r}, executor={self.executor!r}, vectors: {len(self.vectors)})"


Output: TypeAlias = Generation | Embeddings
"""What comes of a `node.domain.jobs.Payload`: of a chat a generation, of texts their embeddings."""


@dataclass(frozen=True, slots=True)
class Success:
    """A job that was done."""

    output: Output


@dataclass(frozen=True, slots=True)
class Failure:
    """A job that could not be done, and why: for the one who asked, free of secrets. ``model`` may be empty."""

    reason: str
    model: str


class FinishedJob(NamedTuple):
    """A result on its way back: everything the source needs to take it, and nothing that lives in memory alone.

    ``received_at`` and ``finished_at`` are Unix times in seconds. ``receipt`` is the job's own.
    """

    key: JobKey
    outcome: Success | Failure
    received_at: float
    finished_at: float
    receipt: Mapping[str, Secret] = NO_RECEIPT


@dataclass(frozen=True, slots=True)
class Points:
    """What a node has earned, as the gateway tells it in step 8: ``points`` and ``pointsraw``."""

    points: float
    raw: float
