"""Tokens issued to nodes, and checked."""

from __future__ import annotations

import math

from node.domain.errors import TokenUnreadable
from node.domain.ids import NodeId
from node.domain.secret import Secret
from node.ports.clock import Clock, Ids
from node.protocol.tokens import issue, verified_claims
from node.sandbox.refusals import TokenDenied

MAX_CACHED = 100_000
"""Verified tokens that are remembered at once."""

_LEAST_CACHED = 1000
"""Below that it is not worth looking which of them have expired."""


class Issuer:
    """Signs tokens with one secret and knows its own again.

    To verify a signature costs as much as all the rest of a poll, so a verified token is remembered until it
    expires. Times are judged here, by the injected clock.
    """

    def __init__(self, secret: Secret, lifetime_s: float, clock: Clock, ids: Ids) -> None:
        self._secret = secret
        self._lifetime_s = lifetime_s
        self._clock = clock
        self._ids = ids
        self._verified: dict[str, tuple[NodeId, float]] = {}
        self._room = min(_LEAST_CACHED, MAX_CACHED)

    def grant(self, node: NodeId) -> str:
        """A new token for this node, good for ``lifetime_s`` from now on: its times are rounded outwards to seconds."""
        now = self._clock.wall()
        claims = {
            "sub": node,
            "iat": math.floor(now),
            "exp": math.ceil(now + self._lifetime_s),
            "jti": self._ids.new(),
        }
        return issue(claims, self._secret.reveal())

    def holder(self, token: str) -> NodeId:
        """The node that the token was granted to.

        Raises:
            TokenDenied: it is forged, or expired.
        """
        known = self._verified.get(token)
        if known is None:
            known = self._verify(token)
        node, expires_at = known
        if self._clock.wall() >= expires_at:
            self._verified.pop(token, None)
            raise TokenDenied("the token has expired")
        return node

    def _verify(self, token: str) -> tuple[NodeId, float]:
        try:
            claims = verified_claims(token, self._secret.reveal())
        except TokenUnreadable as error:
            raise TokenDenied("the token is not one of this gateway's") from error
        known = (NodeId(claims["sub"]), float(claims["exp"]))
        if len(self._verified) >= self._room:
            self._make_room()
        self._verified[token] = known
        return known

    def _make_room(self) -> None:
        now = self._clock.wall()
        live = {token: known for token, known in self._verified.items() if known[1] > now}
        self._verified = live if len(live) < MAX_CACHED else {}
        self._room = min(max(2 * len(self._verified), _LEAST_CACHED), MAX_CACHED)
