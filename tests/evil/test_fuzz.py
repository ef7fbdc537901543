"""The fuzzer in short: a fixed run, and one from a seed of its own each time, which a failure names."""

from __future__ import annotations

import random

import pytest

from tests.contract.transport.conftest import TRANSPORTS
from tests.evil.fuzz import fuzz

pytestmark = pytest.mark.timeout(120)

FIXED = 1
REPLIES = 2_000


@pytest.mark.parametrize("transport", TRANSPORTS)
@pytest.mark.parametrize("kind", ["fixed", "new"])
async def test_no_drawn_reply_hangs_or_raises(transport: str, kind: str) -> None:
    seed = FIXED if kind == "fixed" else random.SystemRandom().randrange(2**31)
    tally = await fuzz(seed, range(REPLIES), TRANSPORTS[transport])
    again = [
        f"{failure}: python -m tests.evil fuzz --seed {seed} --only {number} --transport {transport}"
        for number, failure in tally.failures.items()
    ]
    assert not again, "\n".join(again)
    assert tally.parsed + tally.wired == REPLIES
    assert len(tally.outcomes) > 100


async def test_a_trial_can_be_had_again() -> None:
    numbers = range(1, 200, 7)
    one, other = [await fuzz(5, numbers, TRANSPORTS["httpx"]) for _ in range(2)]
    alone = [await fuzz(5, range(number, number + 1), TRANSPORTS["httpx"]) for number in numbers if number % 20]
    parsed = {outcome: count for outcome, count in one.outcomes.items() if outcome.way == "parsers"}
    assert parsed == {outcome: count for outcome, count in other.outcomes.items() if outcome.way == "parsers"}
    assert set(parsed) == {outcome for tally in alone for outcome in tally.outcomes}
