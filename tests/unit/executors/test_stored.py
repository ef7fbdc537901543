from __future__ import annotations

import asyncio
import random

import pytest

from node.domain.errors import Declined
from node.domain.policies import Range
from node.executors.prompt_book import PromptBook, StoredPrompt
from node.executors.stored import StoredExecutor, StoredPolicy
from tests.support.virtual_time import in_virtual_time
from tests.unit.executors.doubles import Pieces, chat

CODE = "Use a loop:\n\n    for x in y:\n        print(x)\n\n- one  two three"
BOOK = PromptBook.of(
    [
        StoredPrompt("Why is the sky blue?", {"a": ("a1", "a2", "a3"), "b": ("b1",)}),
        StoredPrompt("Loop?", {"a": (CODE,)}),
    ]
)


def stored(seed: int = 1, **policy: object) -> StoredExecutor:
    return StoredExecutor(BOOK, StoredPolicy(**policy), random.Random(seed))  # type: ignore[arg-type]


async def test_an_answer_is_drawn_from_those_of_the_model() -> None:
    executor = stored()
    drawn = [(await executor.execute(chat("why is the sky blue", "a"))).text for _ in range(40)]
    assert set(drawn) == {"a1", "a2", "a3"}
    again = stored()
    assert drawn == [(await again.execute(chat("why is the sky blue", "a"))).text for _ in range(40)]
    generation = await executor.execute(chat("Why is the sky blue?", "b"))
    assert (generation.text, generation.model, generation.executor) == ("b1", "b", "stored")


@pytest.mark.parametrize(
    ("prompt", "model", "reason"),
    [
        ("Why is the sea blue?", "a", "no answer is stored for this prompt"),
        ("Why is the sky blue?", "c", "no answer of c is stored for this prompt"),
    ],
)
async def test_what_is_not_stored_is_declined_at_once(prompt: str, model: str, reason: str) -> None:
    pieces = Pieces()
    with pytest.raises(Declined, match=reason):
        await stored(delay=Range(60, 60)).execute(chat(prompt, model), pieces)
    assert pieces.texts == []


@in_virtual_time
async def test_an_answer_takes_its_time() -> None:
    executor = stored(delay=Range(0.5, 2.0))
    loop = asyncio.get_running_loop()
    took = []
    for _ in range(30):
        started = loop.time()
        await executor.execute(chat("Why is the sky blue?", "a"))
        took.append(loop.time() - started)
    assert min(took) >= 0.5
    assert max(took) <= 2.0
    assert len(set(took)) > 20


async def test_variation_adds_spaces_between_words_and_nowhere_else() -> None:
    executor = stored(variation=0.5)
    texts = {(await executor.execute(chat("loop", "a"))).text for _ in range(30)}
    assert len(texts) > 10
    for text in texts:
        assert text.split() == CODE.split()
        assert [line[: len(line) - len(line.lstrip())] for line in text.splitlines()] == [
            line[: len(line) - len(line.lstrip())] for line in CODE.splitlines()
        ]
    always = await stored(variation=1).execute(chat("loop", "a"))
    assert always.text.startswith("Use  a  loop:\n\n    for  x  in  y:\n")
    assert (await stored().execute(chat("loop", "a"))).text == CODE


@pytest.mark.parametrize("variation", [-0.1, 1.1])
def test_a_variation_is_a_probability(variation: float) -> None:
    with pytest.raises(ValueError, match="between 0 and 1"):
        StoredPolicy(variation=variation)
