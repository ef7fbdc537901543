"""What a step that is tried again leaves behind."""

from __future__ import annotations

import gc
import random
import weakref

import pytest

from node.domain.errors import TransportError, TryLater
from node.domain.policies import BackOff, RetryPolicy
from node.gateway.retries import Exhausted, Retries
from node.runtime.signals import Signal


class Whole:
    """A reply of many megabytes, as it were."""


@pytest.mark.parametrize("attempts", [1, 3])
async def test_a_failed_step_keeps_no_reply(attempts: int) -> None:
    """Neither until the garbage collector comes by, which may be long."""
    replies: list[weakref.ref[Whole]] = []

    async def attempt() -> None:
        reply = Whole()
        replies.append(weakref.ref(reply))
        raise TryLater("later") from TransportError("broken")

    policy = RetryPolicy(attempts, 60.0, BackOff(0.0, 0.0))
    retries = Retries(policy, random.Random(1), Signal(), lambda: 0.0, lambda *_: None)
    gc.disable()
    try:
        with pytest.raises(Exhausted) as caught:
            await retries.run(attempt)
        assert isinstance(caught.value.__cause__, TryLater)
        assert isinstance(caught.value.__cause__.__cause__, TransportError)
        del caught
        assert [reply() for reply in replies] == [None] * attempts
    finally:
        gc.enable()
