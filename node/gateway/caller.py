"""Sending calls with a session's token."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any, Final, NamedTuple, TypeAlias

from node.domain.errors import SessionLost, Withdrawn
from node.domain.secret import Secret
from node.domain.verdict import Ruling
from node.gateway.session import Session
from node.ports.calls import Call, J
from node.ports.transport import Reply, Request, Transport
from node.protocol.masking import masked

# Looked up once: on Python 3.11 a member of an enum takes as long to find as a call.
_RENEW: Final = Ruling.RENEW
_SESSION_LOST: Final = Ruling.SESSION_LOST

_FRESH: Final = False
_RENEWED: Final = True

JSON: Final = ("content-type", "application/json")

Headers: TypeAlias = tuple[tuple[str, str], ...]


class _Posts(NamedTuple):
    """What the calls with a body to one target have in common while the token is the same."""

    target: str
    generation: int
    url: str
    headers: Headers


class SessionCaller:
    """Sends a node's calls, and has the session renewed when the gateway denies its token.

    The path of a call that succeeds is kept short, since a fleet polls on it: no task, no timer, and for a call
    that is sent again and again no new request.
    """

    __slots__ = (
        "_base_url",
        "_bearer",
        "_bearer_of",
        "_kept_call",
        "_kept_generation",
        "_kept_posts",
        "_kept_request",
        "_node_secret",
        "_session",
        "_transport",
    )

    def __init__(self, transport: Transport, session: Session, base_url: str, node_secret: Secret) -> None:
        self._transport = transport
        self._session = session
        self._base_url = base_url
        self._node_secret = node_secret
        self._kept_call: Call[Any] | None = None
        self._kept_generation = 0
        self._kept_request = Request("", "")
        self._kept_posts: _Posts | None = None
        self._bearer_of: Secret | None = None
        self._bearer = ("", "")

    async def call(self, call: Call[J], still_wanted: Callable[[], bool] | None = None) -> J:
        """See `node.ports.calls.SessionCalls.call`."""
        session = self._session
        if not session.usable:
            await session.ready()
            _require(still_wanted)
        generation, token = session.generation, session.token
        if call is self._kept_call and generation == self._kept_generation:
            request = self._kept_request
        else:
            request = self._request_now(call)
        reply = await self._transport.exchange(request, call.timeout_s)
        if reply.status >= 400:
            reply = masked_reply(reply, self._node_secret, token)
        judged = call.judge(reply, _FRESH)
        ruling = judged.verdict.ruling
        if ruling is _RENEW or ruling is _SESSION_LOST:
            return await self._call_again(call, generation, judged, still_wanted)
        return judged

    async def call_with(self, call: Call[J], token: Secret) -> J:
        """Send a call once with this token, and judge its reply as that of a session renewed already.

        The session is neither waited for nor renewed nor lost, whatever the answer.

        Raises:
            TransportError: no usable reply came.
        """
        reply = await self._transport.exchange(self._request(call, token), call.timeout_s)
        return call.judge(masked_reply(reply, self._node_secret, token), _RENEWED)

    async def _call_again(
        self, call: Call[J], generation: int, denied: J, still_wanted: Callable[[], bool] | None
    ) -> J:
        session, verdict = self._session, denied.verdict
        if verdict.ruling is Ruling.SESSION_LOST and generation == session.generation:
            session.lose(verdict.reason)
        await session.deny(generation, verdict.reason)
        _require(still_wanted)
        token = session.token
        reply = await self._transport.exchange(self._request_now(call), call.timeout_s)
        judged = call.judge(masked_reply(reply, self._node_secret, token), _RENEWED)
        verdict = judged.verdict
        if verdict.ruling is Ruling.RENEW or verdict.ruling is Ruling.SESSION_LOST:
            session.lose(verdict.reason)
            raise SessionLost(verdict.reason)
        return judged

    def _request_now(self, call: Call[Any]) -> Request:
        """The request with the present token; one that was sent with it before is recognised by what it is made of."""
        session = self._session
        if call.body is None:
            request = self._request(call, session.token)
            self._kept_call, self._kept_generation, self._kept_request = call, session.generation, request
            return request
        posts = self._kept_posts
        if posts is None or posts.target != call.target or posts.generation != session.generation:
            request = self._request(call, session.token)
            self._kept_posts = _Posts(call.target, session.generation, request.url, request.headers)
            return request
        return Request(call.method, posts.url, posts.headers, call.body)

    def _request(self, call: Call[Any], token: Secret) -> Request:
        if token is not self._bearer_of:
            self._bearer_of, self._bearer = token, ("authorization", f"Bearer {token.reveal()}")
        headers = (self._bearer,) if call.body is None else (self._bearer, JSON)
        # Thousands of nodes ask for the same: they share its text.
        return Request(call.method, sys.intern(f"{self._base_url}{call.target}"), headers, call.body)


def _require(still_wanted: Callable[[], bool] | None) -> None:
    if still_wanted is not None and not still_wanted():
        raise Withdrawn("not wanted any more after the session's renewal")


def masked_reply(reply: Reply, *secrets: Secret) -> Reply:
    """A refusal without the secrets that it repeats; any other reply as it is."""
    return reply if reply.status < 400 else reply._replace(body=masked(reply.body, secrets))
