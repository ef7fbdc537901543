from __future__ import annotations

import asyncio
import random

import pytest

from node.executors.synthetic import SyntheticExecutor, SyntheticPolicy
from tests.support.virtual_time import in_virtual_time
from tests.unit.executors.doubles import Pieces, chat


def synthetic(low: int = 5, high: int = 50, rate: float = 0, seed: int = 7) -> SyntheticExecutor:
    return SyntheticExecutor(SyntheticPolicy(low, high, rate), random.Random(seed))


async def test_the_text_says_what_it_is() -> None:
    generation = await synthetic().execute(chat("Why?", "llama3.1:latest"))
    assert generation.text.startswith("[synthetic] No model ran;")
    assert (generation.model, generation.executor) == ("llama3.1:latest", "synthetic")
    assert (await synthetic().execute(chat("Why?", max_output=1))).text == "[synthetic]"


async def test_lengths_are_drawn_from_the_range() -> None:
    executor = synthetic(5, 20)
    seen = set()
    for _ in range(200):
        generation = await executor.execute(chat("Why?"))
        assert generation.output_tokens == len(generation.text.split())
        assert generation.finish_reason == "stop"
        seen.add(generation.output_tokens)
    assert seen == set(range(5, 21))


@pytest.mark.parametrize(("max_output", "tokens", "reason"), [(10, 10, "length"), (30, 30, "stop"), (99, 30, "stop")])
async def test_no_answer_is_longer_than_asked_for(max_output: int, tokens: int, reason: str) -> None:
    generation = await synthetic(30, 30).execute(chat("Why?", max_output=max_output))
    assert (generation.output_tokens, generation.finish_reason) == (tokens, reason)


async def test_a_seed_makes_the_same_answers() -> None:
    first, second, other = synthetic(seed=1), synthetic(seed=1), synthetic(seed=2)
    answers = [[(await executor.execute(chat("Why?"))).text for _ in range(10)] for executor in (first, second, other)]
    assert answers[0] == answers[1]
    assert answers[0] != answers[2]


@in_virtual_time
async def test_an_answer_takes_the_time_of_its_tokens() -> None:
    loop = asyncio.get_running_loop()
    started = loop.time()
    await synthetic(100, 100, rate=40).execute(chat("Why?"))
    assert loop.time() - started == pytest.approx(2.5)


@in_virtual_time
async def test_pieces_come_at_the_rate() -> None:
    loop = asyncio.get_running_loop()
    started = loop.time()
    pushed: list[tuple[float, str]] = []

    class Watch:
        async def push(self, text: str) -> None:
            pushed.append((loop.time() - started, text))

    generation = await synthetic(45, 45, rate=50).execute(chat("Why?"), Watch())
    assert "".join(text for _, text in pushed) == generation.text
    assert [at for at, _ in pushed] == pytest.approx([0.2, 0.4, 0.6, 0.8, 0.9])


@pytest.mark.parametrize(
    ("rate", "pieces"), [(0, ["[synthetic] No model ran;"]), (4, ["[synthetic]", " No", " model", " ran;"])]
)
@in_virtual_time
async def test_at_once_is_one_piece_and_slowly_a_token_each(rate: float, pieces: list[str]) -> None:
    taker = Pieces()
    generation = await synthetic(4, 4, rate).execute(chat("Why?"), taker)
    assert taker.texts == pieces
    assert generation.text == taker.text


@pytest.mark.parametrize("policy", [{"min_tokens": 0}, {"min_tokens": 9, "max_tokens": 8}, {"tokens_per_s": -1}])
def test_a_policy_that_makes_no_sense_is_refused(policy: dict[str, int]) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        SyntheticPolicy(**policy)
