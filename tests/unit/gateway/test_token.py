"""The session by itself: how long a token is held to live, and what is told of it."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

import pytest

from node.domain.errors import SessionLost
from node.domain.events import Crash, SessionChanged
from node.domain.ids import NodeId
from node.domain.policies import SessionPolicy
from node.domain.secret import Secret
from node.domain.states import Session as SessionState
from node.gateway.session import LEAST_RENEWAL_S, Session
from node.gateway.turnstile import Turnstile
from node.protocol.tokens import TokenTimes
from node.runtime.signals import Signal
from tests.support.events import RecordingSink
from tests.support.virtual_time import VirtualClock, in_virtual_time
from tests.unit.gateway.test_turnstile import CHANCE

NODE = NodeId("n1")
SKEW_S = 10_000.0
"""What the gateway's clock is ahead of the node's."""


@dataclass
class Bench:
    """A session whose renewals wait to be let on."""

    let_on: Signal = field(default_factory=Signal)
    events: RecordingSink = field(default_factory=RecordingSink)
    clock: VirtualClock = field(default_factory=VirtualClock)
    renewals: list[float] = field(default_factory=list)
    defect: Exception | None = None
    lost: int = 0

    def __post_init__(self) -> None:
        self._began = self.clock.monotonic()
        policy = SessionPolicy(margin_s=20, margin_share=0.5)
        self.session = Session(NODE, policy, self.clock, self.events, self._renew, self._on_lost)

    def grant(self, life_s: float, *, issued: bool = True, dated: bool = True) -> None:
        now = self.clock.wall() + SKEW_S
        times = TokenTimes(expires_at=now + life_s, issued_at=now if issued else None)
        self.session.grant(Secret("token"), times, now if dated else None)

    @property
    def told(self) -> list[tuple[NodeId, SessionState, int, str]]:
        return [tuple(event) for event in self.events.of(SessionChanged)]

    async def _renew(self) -> None:
        self.renewals.append(self.clock.monotonic() - self._began)
        await self.let_on.wait()
        if self.defect is not None:
            raise self.defect

    def _on_lost(self) -> None:
        self.lost += 1


@in_virtual_time
async def test_before_the_first_token() -> None:
    session = Bench().session
    assert (session.state, session.usable, session.lost, session.generation) == (SessionState.NONE, False, "", 0)
    assert session.token == Secret("")
    with pytest.raises(SessionLost, match=r"^the node has no session$"):
        await session.ready()


@pytest.mark.parametrize(("issued", "dated"), [(True, True), (False, True), (True, False)])
def test_a_life_is_told_by_the_gateways_clock_whichever_of_its_two_says_are_there(issued: bool, dated: bool) -> None:
    @in_virtual_time
    async def scenario() -> None:
        bench = Bench()
        bench.grant(100, issued=issued, dated=dated)
        await asyncio.sleep(500)
        assert bench.renewals == pytest.approx([80])
        await bench.session.drop("over")

    scenario()


@in_virtual_time
async def test_the_date_of_the_reply_is_believed_before_the_token() -> None:
    bench = Bench()
    now = bench.clock.wall() + SKEW_S
    bench.session.grant(Secret("token"), TokenTimes(expires_at=now + 100, issued_at=now - 5000), now)
    await asyncio.sleep(500)
    assert bench.renewals == pytest.approx([80])
    await bench.session.drop("over")


@in_virtual_time
async def test_without_either_the_own_clock_must_do() -> None:
    bench = Bench()
    bench.session.grant(Secret("token"), TokenTimes(expires_at=bench.clock.wall() + 100, issued_at=None), None)
    await asyncio.sleep(500)
    assert bench.renewals == pytest.approx([80])
    await bench.session.drop("over")


@pytest.mark.parametrize(("life_s", "renewals"), [(LEAST_RENEWAL_S, 0), (LEAST_RENEWAL_S + 1, 1)])
def test_a_token_too_short_is_not_renewed_unasked(life_s: float, renewals: int) -> None:
    @in_virtual_time
    async def scenario() -> None:
        bench = Bench()
        bench.grant(life_s)
        await asyncio.sleep(100)
        assert len(bench.renewals) == renewals
        await bench.session.drop("over")

    scenario()


@in_virtual_time
async def test_a_token_near_its_end_is_used_while_it_is_renewed() -> None:
    bench = Bench()
    bench.grant(100)
    await asyncio.sleep(90)
    assert bench.session.state is SessionState.EXPIRING
    async with asyncio.timeout(1):
        await bench.session.ready()
    await bench.session.drop("over")


@in_virtual_time
async def test_what_is_told() -> None:
    bench = Bench()
    bench.grant(100)
    bench.let_on.set()
    with pytest.raises(SessionLost, match=r"^its renewal came to nothing$"):
        await bench.session.deny(1, "HTTP 401")
    assert bench.lost == 1
    assert bench.session.token == Secret("")
    bench.grant(100)
    await bench.session.drop("the node leaves")
    bench.grant(100)
    bench.session.lose("HTTP 400")
    assert bench.told == [
        (NODE, SessionState.VALID, 1, ""),
        (NODE, SessionState.REJECTED, 1, "HTTP 401"),
        (NODE, SessionState.NONE, 1, "its renewal came to nothing"),
        (NODE, SessionState.VALID, 2, ""),
        (NODE, SessionState.NONE, 2, "the node leaves"),
        (NODE, SessionState.VALID, 3, ""),
        (NODE, SessionState.NONE, 3, "HTTP 400"),
    ]


@in_virtual_time
async def test_a_defect_in_a_renewal_is_told_with_its_node() -> None:
    bench = Bench(defect=ZeroDivisionError("planted"))
    bench.let_on.set()
    bench.grant(100)
    with pytest.raises(SessionLost):
        await bench.session.deny(1, "HTTP 401")
    crash = bench.events.of(Crash)[0]
    assert (crash.task, crash.node) == ("renew the session of n1", NODE)


def test_a_turnstile_holds_nobody_up_unless_it_is_told_to() -> None:
    turnstile = Turnstile()
    assert [turnstile.wait_s(NODE, 5.0, CHANCE) for _ in range(3)] == [0, 0, 0]
