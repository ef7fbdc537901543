"""Which proxies there are, how healthy each is, and who uses which. No input, no output, no clock."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from node.domain.ids import NodeId
from node.domain.policies import ProxyPolicy
from node.domain.proxies import ProxyAddress

_WEIGHT: Final = 0.3
"""How much the last outcome or time counts in the running means."""


class Member:
    """A proxy and how it fared.

    ``retry_at`` is when it may be tried again, ``checked_at`` when it was found good, None when that was never or
    it failed since (the loop's time, in seconds). ``health`` (0 to 1) is a running mean of outcomes, ``took_s`` one
    of the times of good checks. The failures are those in a row; ``strikes`` counts how often it was set aside
    since it last proved good.
    """

    __slots__ = (
        "address",
        "check_failures",
        "checked_at",
        "health",
        "number",
        "report_failures",
        "retry_at",
        "strikes",
        "took_s",
        "users",
    )

    def __init__(self, address: ProxyAddress, number: int) -> None:
        self.address = address
        self.number = number
        self.users: dict[NodeId, None] = {}
        self.health = 0.5
        self.took_s = 0.0
        self.checked_at: float | None = None
        self.check_failures = 0
        self.report_failures = 0
        self.strikes = 0
        self.retry_at = float("-inf")

    @property
    def rank(self) -> tuple[int, float, float, int]:
        """Lower is better: fewest users, then most reliable, then fastest, then first in the list."""
        return (len(self.users), -self.health, self.took_s, self.number)

    def score(self, *, ok: bool) -> None:
        """Let an outcome weigh in on ``health``."""
        self.health += _WEIGHT * (ok - self.health)


@dataclass(frozen=True, slots=True)
class Census:
    """Proxies by what is known of them; ``good`` + ``bad`` + ``set_aside`` + ``unknown`` is ``total``.

    ``good`` passed their last check and have not failed since; ``bad`` failed, ``set_aside`` so often that they are
    left alone; ``unknown`` were never tried. ``in_use`` are those with a lease, of whatever kind.
    """

    total: int
    good: int
    bad: int
    set_aside: int
    unknown: int
    in_use: int


class ScoredPool:
    """The proxies for everybody, and those that belong to single nodes.

    A proxy that failed is left alone for ``policy.retry_s``; one that failed ``policy.failures`` times in a row,
    by checks or by its users' reports, is set aside for ``policy.cool_down_s``, twice as long each time up to
    ``policy.cool_down_cap_s``. A good check does not make up for failures that users report, since a proxy may
    reach the echo service and not the gateway; a good report does. ``now`` is the loop's time in seconds.
    """

    def __init__(self, policy: ProxyPolicy, everybodys: Iterable[ProxyAddress]) -> None:
        self._policy = policy
        self._members: dict[ProxyAddress, Member] = {}
        self._everybodys = list(dict.fromkeys(map(self._member, everybodys)))
        self._leases: dict[NodeId, Member] = {}

    @property
    def has_everybodys(self) -> bool:
        """Whether there are proxies for nodes without one of their own."""
        return bool(self._everybodys)

    def pick(self, own: ProxyAddress | None, now: float, *, others: bool) -> Member | None:
        """The proxy to try for a node with this proxy of its own; with ``others`` everybody's may stand in.

        None while none may be tried. One in use is picked only when no free one is left.
        """
        mine = None if own is None else self._member(own)
        if mine is not None and mine.retry_at > now:
            mine = None
        if mine is not None and not mine.users:
            return mine
        best = min(self._ready(now), key=lambda member: member.rank, default=None) if others else None
        if mine is not None and (best is None or best.users):
            return mine
        return best

    def next_at(self, own: ProxyAddress | None, *, others: bool) -> float:
        """When (the loop's time) the first of the proxies that `pick` looks at may be tried; infinity without any."""
        times = [] if own is None else [self._member(own).retry_at]
        if others:
            times += [member.retry_at for member in self._everybodys]
        return min(times, default=float("inf"))

    def lease(self, node: NodeId, member: Member) -> None:
        """The node uses this proxy from now on, and its former one no more."""
        self.release(node)
        self._leases[node] = member
        member.users[node] = None

    def release(self, node: NodeId) -> None:
        """The node uses no proxy from now on; does nothing when it uses none."""
        member = self._leases.pop(node, None)
        if member is not None:
            member.users.pop(node, None)

    def leased(self, node: NodeId) -> Member | None:
        """The node's proxy; None without one."""
        return self._leases.get(node)

    def is_fresh(self, member: Member, now: float) -> bool:
        """Whether it was found good less than ``policy.recheck_s`` ago and has not failed since."""
        return member.checked_at is not None and now - member.checked_at < self._policy.recheck_s

    def stale_in_use(self, now: float) -> list[Member]:
        """The proxies in use whose last good check is too old, and that may be tried."""
        members = self._members.values()
        return [
            member for member in members if member.users and member.retry_at <= now and not self.is_fresh(member, now)
        ]

    def passed_check(self, member: Member, took_s: float, now: float) -> None:
        """A check, whose exchange took ``took_s``, found it good."""
        member.took_s = took_s if member.checked_at is None else member.took_s + _WEIGHT * (took_s - member.took_s)
        member.checked_at = now
        member.check_failures = 0
        if not member.report_failures:
            member.strikes = 0
        member.score(ok=True)

    def failed_check(self, member: Member, now: float) -> None:
        """A check found it bad."""
        member.check_failures += 1
        self._failed(member, now)

    def fared(self, member: Member, now: float, *, ok: bool) -> None:
        """A user tells how it fared."""
        if ok:
            member.report_failures = member.strikes = 0
            member.score(ok=True)
        else:
            member.report_failures += 1
            self._failed(member, now)

    def census(self, now: float) -> Census:
        """How the proxies stand, those of single nodes that were looked at included."""
        kinds = [self._kind(member, now) for member in self._members.values()]
        return Census(
            total=len(kinds),
            good=kinds.count("good"),
            bad=kinds.count("bad"),
            set_aside=kinds.count("set aside"),
            unknown=kinds.count("unknown"),
            in_use=sum(bool(member.users) for member in self._members.values()),
        )

    def _kind(self, member: Member, now: float) -> str:
        if member.checked_at is not None:
            return "good"
        if member.strikes and member.retry_at > now:
            return "set aside"
        return "bad" if member.check_failures or member.report_failures or member.strikes else "unknown"

    def _failed(self, member: Member, now: float) -> None:
        member.checked_at = None
        member.score(ok=False)
        if max(member.check_failures, member.report_failures) < self._policy.failures:
            member.retry_at = now + self._policy.retry_s
            return
        cool_down_s = self._policy.cool_down_s * 2.0 ** min(member.strikes, 60)
        member.retry_at = now + min(cool_down_s, self._policy.cool_down_cap_s)
        member.strikes += 1
        member.check_failures = member.report_failures = 0

    def _ready(self, now: float) -> Iterator[Member]:
        return (member for member in self._everybodys if member.retry_at <= now)

    def _member(self, address: ProxyAddress) -> Member:
        member = self._members.get(address)
        if member is None:
            member = self._members[address] = Member(address, len(self._members))
        return member
