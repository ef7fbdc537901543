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
"""Tokens that are remembered at once."""

_LEAST_CACHED = 1000
"""Below that it is not worth looking which of them have expired."""


class Issuer:
    """Signs tokens with one secret and knows its own again.

    To verify a signature costs as much as all the rest of a poll, so a token is remembered from its grant, or its
    first verification, until it expires. Times are judged here, by the injected clock.
    """

    def __init__(self, secret: Secret, lifetime_s: float, clock: Clock, ids: Ids) -> None:
        self._secret = secret
        self._lifetime_s = lifetime_s
        self._clock = clock
        self._ids = ids
        self._generation = 0
        self._known: dict[str, tuple[NodeId, float]] = {}
        self._room = min(_LEAST_CACHED, MAX_CACHED)

    def grant(self, node: NodeId) -> str:
        """A new token for this node, good for ``lifetime_s`` from now on: its times are rounded outwards to seconds."""
        now = self._clock.wall()
        expires_at = math.ceil(now + self._lifetime_s)
        claims = {
            "sub": node,
            "iat": math.floor(now),
            "exp": expires_at,
            "jti": self._ids.new(),
            "gen": self._generation,
        }
        token = issue(claims, self._secret.reveal())
        self._remember(token, (node, expires_at))
        return token

    def expire_all(self) -> None:
        """End all tokens that were granted so far. A gateway that is begun anew knows nothing of it."""
        self._generation += 1
        self._known = {token: (node, 0.0) for token, (node, _) in self._known.items()}

    def holder(self, token: str) -> NodeId:
        """The node that the token was granted to.

        Raises:
            TokenDenied: it is forged, or expired.
        """
        node, expires_at = self._known.get(token) or self._verify(token)
        if self._clock.wall() >= expires_at:
            self._on_expired(token)
        return node

    def _on_expired(self, token: str) -> None:
        self._known.pop(token, None)
        raise TokenDenied("the token has expired")

    def _verify(self, token: str) -> tuple[NodeId, float]:
        try:
            claims = verified_claims(token, self._secret.reveal())
        except TokenUnreadable as error:
            raise TokenDenied("the token is not one of this gateway's") from error
        is_current = claims.get("gen", 0) >= self._generation
        known = (NodeId(claims["sub"]), float(claims["exp"]) if is_current else 0.0)
        self._remember(token, known)
        return known

    def _remember(self, token: str, known: tuple[NodeId, float]) -> None:
        if len(self._known) >= self._room:
            self._make_room()
        self._known[token] = known

    def _make_room(self) -> None:
        now = self._clock.wall()
        live = {token: known for token, known in self._known.items() if known[1] > now}
        self._known = live if len(live) < MAX_CACHED else {}
        self._room = min(max(2 * len(self._known), _LEAST_CACHED), MAX_CACHED)
