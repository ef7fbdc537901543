"""A node's client at its gateway."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar
from urllib.parse import urlencode

from node.domain.errors import ProxyFailed, StepFailed, TokenUnreadable, TransportError, TryLater
from node.domain.events import StepEnded
from node.domain.identity import NodeSpec
from node.domain.ids import NodeId, SourceId
from node.domain.results import Points
from node.domain.secret import Secret
from node.gateway.caller import JSON, SessionCaller, masked_reply
from node.gateway.deployment import ClientPolicy, Deployment, Surroundings
from node.gateway.session import Session, server_time
from node.gateway.steps import StepRunner, raise_for
from node.ports.calls import Call
from node.ports.gates import AuthPermit
from node.ports.transport import Reply, Request, Transport
from node.protocol import translate
from node.protocol.json_reading import read_aside
from node.protocol.messages import PointsReply, TokenGrant, WireMessage
from node.protocol.routes import Step
from node.protocol.verdict import Judged, judge
from node.runtime.signals import Signal

M = TypeVar("M", bound=WireMessage)

_HEADER_TEXT: Final = re.compile(r"[\x21-\x7e]+")


def _nothing() -> None:
    """Stands where nobody wants to be told."""


class GatewayClient:
    """One node's `node.ports.membership.Membership` and `node.ports.calls.SessionCalls` at one gateway."""

    __slots__ = (
        "_announced",
        "_caller",
        "_deployment",
        "_session",
        "_spec",
        "_steps",
        "_stop",
        "_surroundings",
        "_timeouts",
        "_transport",
        "call",
    )

    def __init__(
        self,
        spec: NodeSpec,
        transport: Transport,
        deployment: Deployment,
        policy: ClientPolicy,
        surroundings: Surroundings,
        stop: Signal,
        on_lost: Callable[[], None] = _nothing,
    ) -> None:
        """Take over the transport; nothing is sent yet.

        ``stop`` ends the waits between the attempts of a step, though not those of a renewal: a node that
        drains needs its session still. ``on_lost`` is called at once when the session is lost.
        """
        self._spec = spec
        self._transport = transport
        self._deployment = deployment
        self._timeouts = policy.timeouts
        self._surroundings = surroundings
        self._stop = stop
        clock, events = surroundings.clock, surroundings.events
        self._steps = StepRunner(spec.node_id, policy.retry, clock, surroundings.random, events)
        self._session = Session(spec.node_id, policy.session, clock, events, self._renew, on_lost)
        self._caller = SessionCaller(transport, self._session, deployment.source_id, spec.identity.secret)
        self.call = self._caller.call
        """See `SessionCalls.call`; the caller's own, since a fleet's every request passes through here."""
        self._announced: tuple[str, ...] | None = None

    @property
    def node_id(self) -> NodeId:
        """See `SessionCalls.node_id`."""
        return self._spec.node_id

    @property
    def source_id(self) -> SourceId:
        """See `SessionCalls.source_id`."""
        return self._deployment.source_id

    @property
    def lost(self) -> str:
        """See `Membership.lost`."""
        return self._session.lost

    async def check_secret(self) -> None:
        """See `Membership.check_secret`."""

        async def attempt() -> None:
            body = translate.secret_check(self._spec)
            reply = await self._send(Step.CHECK_SECRET, body, self._timeouts.secret_s)
            raise_for(_judged(Step.CHECK_SECRET, reply).verdict)

        await self._run_in_turn(Step.CHECK_SECRET, attempt, self._stop)

    async def check_identity(self) -> None:
        """See `Membership.check_identity`. Time spent in the gate does not count towards the step's."""
        clock = self._surroundings.clock
        waited_s = 0.0

        async def attempt() -> None:
            nonlocal waited_s
            came_at = clock.monotonic()
            async with self._surroundings.auth_gate.permit() as permit:
                waited_s += clock.monotonic() - came_at
                reply = await self._ask_auth_service(permit)
            raise_for(_judged(Step.CHECK_IDENTITY, reply).verdict)

        await self._steps.run(Step.CHECK_IDENTITY, attempt, self._stop, lambda: clock.monotonic() - waited_s)

    async def register(self) -> None:
        """See `Membership.register`."""
        await self._steps.run(Step.REGISTER, self._register_once, self._stop)

    async def announce(self, models: tuple[str, ...]) -> None:
        """See `Membership.announce`."""
        call = self._announcement(models)

        async def attempt() -> None:
            raise_for((await self.call(call)).verdict)

        await self._steps.run(Step.UPDATE_MODELS, attempt, self._stop)
        self._announced = models

    async def points(self) -> Points:
        """See `Membership.points`."""
        query = urlencode({"node_name": self._spec.node_id})
        call = _session_call(Step.POINTS, self._timeouts.points_s, query=f"?{query}")

        async def attempt() -> Points:
            return translate.points(_message(await self.call(call), PointsReply))

        return await self._steps.run(Step.POINTS, attempt, self._stop)

    async def leave(self, timeout_s: float) -> None:
        """See `Membership.leave`."""
        token = self._session.token if self._session.usable else None
        await self._session.drop("the node leaves")
        if token is None:
            return
        body = translate.leaving(self._spec).to_wire()
        call = _session_call(Step.LEAVE, min(timeout_s, self._timeouts.leave_s), body)
        started, error = self._surroundings.clock.monotonic(), ""
        try:
            raise_for((await self._caller.call_with(call, token)).verdict)
        except (TransportError, StepFailed) as failed:
            error = str(failed)
        took_s = self._surroundings.clock.monotonic() - started
        self._surroundings.events.emit(StepEnded(self._spec.node_id, Step.LEAVE.label, took_s, error=error))

    async def aclose(self) -> None:
        """End a renewal under way and close the transport; what is under way there is cut."""
        await self._session.drop("the client is closed")
        await self._transport.aclose()

    async def _run_in_turn(self, step: Step, attempt: Callable[[], Awaitable[None]], stop: Signal) -> None:
        """Run a step that nodes come back with: each attempt waits for its turn, which does not count as the step's time."""
        clock, turnstile = self._surroundings.clock, self._surroundings.turnstile
        waited_s = 0.0

        async def attempt_in_turn() -> None:
            nonlocal waited_s
            came_at = clock.monotonic()
            if (wait_s := turnstile.wait_s(self.node_id, came_at, self._surroundings.random)) > 0:
                await stop.wait(wait_s)
                waited_s += clock.monotonic() - came_at
            await attempt()

        await self._steps.run(step, attempt_in_turn, stop, lambda: clock.monotonic() - waited_s)

    async def _send(self, step: Step, body: WireMessage, timeout_s: float) -> Reply:
        request = Request(step.route.method, self._deployment.url(step), (JSON,), body.to_wire())
        reply = await self._transport.exchange(request, timeout_s)
        return masked_reply(reply, self._spec.identity.secret, self._session.token)

    async def _ask_auth_service(self, permit: AuthPermit) -> Reply:
        try:
            body = translate.identity_check(self._spec)
            reply = await self._send(Step.CHECK_IDENTITY, body, self._timeouts.identity_s)
        except ProxyFailed:
            # The node's own proxy says nothing about the service that all nodes wait for.
            raise
        except TransportError as error:
            permit.failed(str(error))
            raise
        if reply.status >= 500:
            permit.failed(f"HTTP {reply.status}")
        elif _is_json(reply.body):
            permit.answered()
        return reply

    async def _register_once(self) -> None:
        body = translate.registration(self._spec, self._deployment.node_version)
        reply = await self._send(Step.REGISTER, body, self._timeouts.register_s)
        token = Secret(_message(_judged(Step.REGISTER, reply), TokenGrant).access_token)
        self._surroundings.remember(token)
        if not _HEADER_TEXT.fullmatch(token.reveal()):
            raise TryLater("the token granted has characters that no header can carry")
        try:
            times = await self._surroundings.tokens.read(token.reveal())
        except TokenUnreadable as error:
            raise TryLater(str(error)) from error
        self._session.grant(token, times, server_time(reply.headers))

    async def _renew(self) -> None:
        no_stop = Signal()
        run = self._steps.run if self._session.usable else self._run_in_turn
        await run(Step.REGISTER, self._register_once, no_stop)
        if self._announced is None:
            return
        call = self._announcement(self._announced)

        async def attempt() -> None:
            # Not by `call`, which would wait for this very renewal if the new token were denied.
            raise_for((await self._caller.call_with(call, self._session.token)).verdict)

        await self._steps.run(Step.UPDATE_MODELS, attempt, no_stop)

    def _announcement(self, models: tuple[str, ...]) -> Call[Judged]:
        body = translate.models_update(self._spec, models).to_wire()
        return _session_call(Step.UPDATE_MODELS, self._timeouts.models_s, body)


def _session_call(step: Step, timeout_s: float, body: bytes | None = None, query: str = "") -> Call[Judged]:
    def judged(reply: Reply, renewed: bool) -> Judged:
        return judge(step, reply.status, reply.headers, reply.body, renewed=renewed)

    return Call(step.label, step.route.method, f"{step.route.path}{query}", timeout_s, judged, body)


def _judged(step: Step, reply: Reply) -> Judged:
    return judge(step, reply.status, reply.headers, reply.body)


def _message(judged: Judged, kind: type[M]) -> M:
    raise_for(judged.verdict)
    if not isinstance(judged.message, kind):
        raise TryLater(f"the reply is no {kind.__name__}")
    return judged.message


def _is_json(body: bytes) -> bool:
    try:
        read_aside(body or b"null")
    except ValueError:
        return False
    return True
