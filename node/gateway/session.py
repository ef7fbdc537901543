"""A node's session: the one place that holds its token and knows when it must be renewed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Any, Final

from node.domain.errors import SessionLost, StepFailed
from node.domain.events import Crash, SessionChanged
from node.domain.ids import NodeId
from node.domain.policies import SessionPolicy
from node.domain.secret import Secret
from node.domain.states import SESSION_TABLE, Machine, SessionInput
from node.domain.states import Session as SessionState
from node.gateway.retries import Exhausted
from node.ports.clock import Clock
from node.ports.events import EventSink
from node.protocol.tokens import TokenTimes
from node.runtime.signals import Signal
from node.runtime.tasks import TaskOwner

LEAST_RENEWAL_S: Final = 5.0
"""The least time between a token's grant and its renewal unasked. A token that lives no longer than this is
renewed only when it is denied: nodes must not register all the time at a gateway that says its tokens are short."""

_NO_TOKEN: Final = Secret("")


class Session:
    """Owns a node's token, its generation, and its renewal, which is single flight in a task of its own.

    The token is renewed when its end is near and when the gateway denies it. A renewal that passing faults have
    spoilt is repeated while the token is still good; any other failure of one loses the session.
    """

    __slots__ = (
        "_clock",
        "_ends_at",
        "_events",
        "_machine",
        "_node",
        "_on_lost",
        "_policy",
        "_renew",
        "_renewal",
        "_task",
        "_tasks",
        "_timer",
        "generation",
        "lost",
        "token",
        "usable",
    )

    def __init__(
        self,
        node: NodeId,
        policy: SessionPolicy,
        clock: Clock,
        events: EventSink,
        renew: Callable[[], Coroutine[Any, Any, None]],
        on_lost: Callable[[], None],
    ) -> None:
        """Start without a token.

        ``renew`` registers again and calls `grant` on the way; ``on_lost`` is called when the session has been
        lost, not when it is dropped.
        """
        self.generation = 0
        """How many tokens were granted: what tells a denial of the present token from one of a former."""
        self.token = _NO_TOKEN
        self.lost = ""
        """Why the session is lost; empty while it is not."""
        self.usable = False
        """Whether the token can be sent: it is not known to be bad."""
        self._node = node
        self._policy = policy
        self._clock = clock
        self._events = events
        self._renew = renew
        self._on_lost = on_lost
        self._machine = Machine(SESSION_TABLE, SessionState.NONE)
        self._tasks = TaskOwner(self._tell_crash)
        self._task: asyncio.Task[None] | None = None
        self._renewal: Signal | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._ends_at = 0.0

    @property
    def state(self) -> SessionState:
        """How the token stands."""
        return self._machine.state

    def grant(self, token: Secret, times: TokenTimes, sent_at: float | None) -> None:
        """Use a new token from now on.

        ``sent_at`` is the gateway's own Unix time in seconds in the reply that brought it; without one the token's
        ``iat`` stands in for it, and without that this machine's clock. A token whose end is past, not more than
        `LEAST_RENEWAL_S` away or not to be read is renewed only when it is denied.
        """
        self.generation += 1
        self.token = token
        self.lost = ""
        self._feed(SessionInput.GRANTED)
        self._set_timer(None)
        lifetime_s = _lifetime_s(times, sent_at, self._clock)
        if lifetime_s > LEAST_RENEWAL_S:
            self._ends_at = self._clock.monotonic() + lifetime_s
            self._set_timer(max(LEAST_RENEWAL_S, self._policy.renew_in(lifetime_s)))

    async def ready(self) -> None:
        """Wait until the token can be sent: at once, but for a renewal that a denial has started.

        Raises:
            SessionLost: there is no session, or its renewal failed.
        """
        if self.state is SessionState.REJECTED and self._renewal is not None:
            await self._renewal.wait()
        if not self.usable:
            raise SessionLost(self.lost or "the node has no session")

    async def deny(self, generation: int, reason: str) -> None:
        """A request with the token of this generation was denied: have it renewed, unless that was done meanwhile.

        Raises:
            SessionLost: there is no session, or its renewal failed.
        """
        if generation == self.generation and self.usable:
            self._feed(SessionInput.DENIED, reason)
            self._start_renewal()
        await self.ready()

    def lose(self, reason: str) -> None:
        """The gateway does not know the session any more: drop the token, end its renewal, call ``on_lost``.

        Does nothing without a session.
        """
        if self.state is SessionState.NONE:
            return
        self.lost = reason
        self._let_go(reason)
        # A renewal that ends after this must not bring the session back behind its node's back.
        if self._task is not None and self._task is not asyncio.current_task():
            self._task.cancel()
            self._task = self._renewal = None
        self._on_lost()

    async def drop(self, reason: str) -> None:
        """Give the session up of our own will, and await the end of a renewal under way, which is cancelled.

        Who waits for that renewal is told that there is none.
        """
        if self.state is not SessionState.NONE:
            self._let_go(reason)
        await self._tasks.cancel()

    def _let_go(self, reason: str) -> None:
        self.token = _NO_TOKEN
        self._set_timer(None)
        self._feed(SessionInput.DROPPED, reason)

    def _feed(self, input_: SessionInput, reason: str = "") -> None:
        state = self._machine.feed(input_)
        self.usable = state is SessionState.VALID or state is SessionState.EXPIRING
        self._events.emit(SessionChanged(self._node, state, self.generation, reason))

    def _set_timer(self, delay_s: float | None) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if delay_s is not None:
            self._timer = asyncio.get_running_loop().call_later(delay_s, self._near_expiry)

    def _near_expiry(self) -> None:
        self._timer = None
        if self.state is SessionState.VALID:
            self._feed(SessionInput.NEAR_EXPIRY)
        self._start_renewal()

    def _start_renewal(self) -> None:
        self._set_timer(None)
        if self._renewal is None:
            renewal = self._renewal = Signal()
            name = f"renew the session of {self._node}"
            self._task = self._tasks.start(self._run_renewal(), name, lambda: self._renewal_ended(renewal))

    async def _run_renewal(self) -> None:
        try:
            await self._renew()
        except StepFailed as error:
            still_good = self.state is SessionState.EXPIRING and self._clock.monotonic() < self._ends_at
            if still_good and isinstance(error, Exhausted):
                self._set_timer(LEAST_RENEWAL_S)
            else:
                self.lose(f"its renewal failed: {error}")

    def _renewal_ended(self, renewal: Signal) -> None:
        if self._renewal is renewal:
            self._task = self._renewal = None
            if self.state is SessionState.REJECTED:
                self.lose("its renewal came to nothing")
        renewal.set()

    def _tell_crash(self, crash: Crash) -> None:
        self._events.emit(crash._replace(node=self._node))


def server_time(headers: Mapping[str, str]) -> float | None:
    """The Unix time of a reply's ``Date`` (RFC 9110, 6.6.1); None without one that can be read."""
    try:
        sent = parsedate_to_datetime(headers.get("date", ""))
        return (sent if sent.tzinfo else sent.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        return None


def _lifetime_s(times: TokenTimes, sent_at: float | None, clock: Clock) -> float:
    """Seconds that a token has left by its gateway's clock; 0 where that cannot be told."""
    if times.expires_at is None:
        return 0.0
    now = sent_at if sent_at is not None else times.issued_at
    return times.expires_at - (clock.wall() if now is None else now)
