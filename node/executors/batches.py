"""Texts to embed, a few at a time."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import NamedTuple, TypeAlias

from node.domain.errors import EngineFailed
from node.domain.jobs import EmbeddingPayload
from node.domain.results import Embeddings

_BYTES_A_VECTOR = 256 * 1024
"""Some ten thousand numbers as JSON writes them."""


class EmbeddedBatch(NamedTuple):
    """What an engine made of some inputs: a vector each, in their order; ``model`` is the one that ran."""

    vectors: Sequence[Sequence[float]]
    model: str
    prompt_tokens: int | None


EmbedBatch: TypeAlias = Callable[[Sequence[str]], Awaitable[EmbeddedBatch]]
"""One call of an engine."""


def largest_reply(batch: int) -> int:
    """Bytes that the answer for so many inputs may have."""
    return 2**20 + _BYTES_A_VECTOR * batch


async def embed_in_batches(payload: EmbeddingPayload, batch: int, executor: str, embed: EmbedBatch) -> Embeddings:
    """Embed all inputs, ``batch`` of them a call and one call after the other.

    Raises:
        EngineFailed: a call did, or the vectors are not one for each input, or not of one length.
    """
    vectors: list[tuple[float, ...]] = []
    tokens: list[int | None] = []
    model = payload.model
    for start in range(0, len(payload.inputs), batch):
        inputs = payload.inputs[start : start + batch]
        made = await embed(inputs)
        if len(made.vectors) != len(inputs):
            raise EngineFailed(f"{executor} made {len(made.vectors)} vectors of {len(inputs)} texts")
        vectors.extend(tuple(vector) for vector in made.vectors)
        tokens.append(made.prompt_tokens)
        model = made.model
    lengths = {len(vector) for vector in vectors}
    if len(lengths) != 1 or lengths == {0}:
        raise EngineFailed(f"{executor} made vectors of no length, or of several")
    told = [count for count in tokens if count is not None]
    return Embeddings(tuple(vectors), model, executor, sum(told) if len(told) == len(tokens) else None)
