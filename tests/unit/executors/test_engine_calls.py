from __future__ import annotations

import pytest

from node.executors.engine_calls import EngineCall
from tests.unit.executors.doubles import HandClock


@pytest.mark.parametrize(
    ("pieces", "tokens", "rate"),
    [
        ([2.0, 1.0, 1.0], 5, 2.0),
        ([2.0], 5, 2.5),
        ([2.0, 0.0], 5, None),
        ([2.0, 1.0], 1, None),
        ([2.0, 1.0], None, None),
        ([0.0], 5, None),
        ([], 5, None),
    ],
)
def test_the_rate_is_that_of_the_text(pieces: list[float], tokens: int | None, rate: float | None) -> None:
    clock = HandClock()
    call = EngineCall("tiny", clock)
    for wait_s in pieces:
        clock.now += wait_s
        call.piece()
    clock.now += 10.0
    call.output_tokens = tokens
    assert call.measured_rate() == rate
    assert call.took_s == sum(pieces) + 10.0
