"""What every step makes of evil replies: the verdict of the protocol, in time, and ready for the next."""

from __future__ import annotations

import ssl

import pytest

from tests.contract.transport.conftest import TRANSPORTS
from tests.evil.parts import MIB
from tests.evil.server import bait
from tests.evil.steps import KEYS_STEP, STEPS, EvilStep
from tests.evil.table import play, rounds_of

pytestmark = pytest.mark.timeout(120)

LIMIT = 6 * MIB
SHARE = 4
"""Of the cases each step meets one in this many here, and all of them in ``python -m tests.evil table``."""


@pytest.mark.parametrize("step", [*STEPS, KEYS_STEP], ids=str)
async def test_a_step_meets_evil_replies(step: EvilStep, tls: ssl.SSLContext) -> None:
    async with bait() as elsewhere:
        violations = await play(rounds_of(step, elsewhere.url, SHARE), TRANSPORTS["httpx"](tls, LIMIT))
    assert not violations, "\n".join(map(str, violations))
