"""No reply costs more memory than the limit of its bytes and a little."""

from __future__ import annotations

import pytest

from tests.evil.memory import SLACK_BYTES, costs
from tests.evil.parts import MIB


@pytest.mark.timeout(120)
async def test_no_reply_costs_more_than_its_limit_and_a_little() -> None:
    limit = 8 * MIB
    found = await costs(limit, ("secret", "poll"))
    assert len(found) > 50
    assert max(cost.grown_bytes for cost in found) < limit + SLACK_BYTES, max(found, key=lambda cost: cost.grown_bytes)
