from __future__ import annotations

import asyncio

import jwt
import pytest

from node.domain.ids import NodeId
from node.domain.secret import Secret
from node.protocol.tokens import UnverifiedReader
from node.sandbox import issuer as issuer_module
from node.sandbox.issuer import Issuer
from node.sandbox.refusals import TokenDenied
from tests.support.virtual_time import VirtualClock, in_virtual_time
from tests.unit.sandbox.building import SECRET, CountingIds

NODE = NodeId("n")


def an_issuer(secret: Secret = SECRET, lifetime_s: float = 60.0) -> Issuer:
    return Issuer(secret, lifetime_s, VirtualClock(), CountingIds())


@in_virtual_time
async def test_a_token_names_its_node_and_its_times_in_whole_seconds() -> None:
    issuer = an_issuer(lifetime_s=59.5)
    token = issuer.grant(NODE)
    assert issuer.holder(token) == NODE
    now = VirtualClock().wall()
    times = UnverifiedReader().read(token)
    assert times.issued_at == int(now)
    assert times.expires_at == int(now) + 60


@in_virtual_time
async def test_tokens_of_one_second_differ() -> None:
    issuer = an_issuer()
    assert issuer.grant(NODE) != issuer.grant(NODE)


@in_virtual_time
async def test_a_token_ends_on_time_whether_it_was_seen_before_or_not() -> None:
    issuer = an_issuer()
    seen, unseen = issuer.grant(NODE), issuer.grant(NODE)
    await asyncio.sleep(59)
    assert issuer.holder(seen) == NODE
    await asyncio.sleep(1)
    for token in (seen, unseen):
        with pytest.raises(TokenDenied, match="expired"):
            issuer.holder(token)


@in_virtual_time
async def test_all_tokens_may_be_ended_at_once_and_new_ones_are_good_at_the_same_moment() -> None:
    issuer, other = an_issuer(), an_issuer()
    seen, unseen = issuer.grant(NODE), other.grant(NODE)
    issuer.expire_all()
    new = issuer.grant(NODE)
    for old in (seen, unseen):
        with pytest.raises(TokenDenied, match="expired"):
            issuer.holder(old)
    assert issuer.holder(new) == NODE
    issuer.expire_all()
    with pytest.raises(TokenDenied, match="expired"):
        issuer.holder(new)
    assert other.holder(new) == NODE


@in_virtual_time
async def test_forged_tokens_are_denied() -> None:
    issuer = an_issuer()
    good = issuer.grant(NODE)
    claims = {"sub": NODE, "iat": 0, "exp": 9e9}
    forged = [
        "",
        "no.token",
        good[:-2],
        an_issuer(Secret("another-secret-that-is-long-enough")).grant(NODE),
        jwt.encode(claims, "", algorithm="none"),
        jwt.encode(claims, SECRET.reveal() * 2, algorithm="HS512"),
    ]
    for token in forged:
        with pytest.raises(TokenDenied):
            issuer.holder(token)
    assert issuer.holder(good) == NODE


@in_virtual_time
async def test_tokens_that_have_expired_are_forgotten() -> None:
    issuer = an_issuer(lifetime_s=60.0)
    for _ in range(5000):
        issuer.holder(issuer.grant(NODE))
        await asyncio.sleep(0.5)
    assert len(issuer._known) <= 1000


@in_virtual_time
async def test_the_memory_of_verified_tokens_is_bounded() -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(issuer_module, "MAX_CACHED", 3)
        issuer = an_issuer()
        for _ in range(10):
            assert issuer.holder(issuer.grant(NODE)) == NODE
            assert len(issuer._known) <= 3
        await asyncio.sleep(70)
        assert issuer.holder(issuer.grant(NODE)) == NODE
