"""Faults committed on purpose, for tests of those who talk to a gateway."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, Final, assert_never

from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from node.ports.clock import Random
from node.protocol.routes import Step
from node.runtime.signals import Signal
from node.sandbox.departure import ClientGone, while_connected
from node.sandbox.limits import Limits
from node.sandbox.policy import FaultRule

TRANSPORT: Final = "sandbox.transport"
"""Where a server may leave the connection's `asyncio.Transport` in the scope, so that a fault can close it."""

IP_PATH: Final = "/ip"
CONTROL_PATH: Final = "/sandbox/"
_LABELS: Final = {step.route.path: step.label for step in Step} | {IP_PATH: "ip"}
_HTML: Final = "<html><head><title>Bad Gateway</title></head><body><h1>Bad Gateway</h1></body></html>"


class _Armed:
    """A rule, and how often it matched and fired."""

    def __init__(self, rule: FaultRule) -> None:
        self.rule = rule
        self.matched = 0
        self.fired = 0

    def fires(self, random: Random) -> bool:
        rule = self.rule
        self.matched += 1
        if self.matched <= rule.skip or (rule.count is not None and self.fired >= rule.count):
            return False
        if rule.probability < 1 and random.random() >= rule.probability:
            return False
        self.fired += 1
        return True


class Faults:
    """The rules in force, looked at in their order: the first that matches and fires decides.

    From the same random source and the same requests come the same faults.
    """

    def __init__(self, random: Random, rules: Sequence[FaultRule] = ()) -> None:
        self._random = random
        self._armed = [_Armed(rule) for rule in rules]

    @property
    def active(self) -> bool:
        """Whether there are rules: cheap, for every request."""
        return bool(self._armed)

    def replace(self, rules: Sequence[FaultRule]) -> None:
        """Put these rules in force, their counts at 0, instead of all others."""
        self._armed = [_Armed(rule) for rule in rules]

    def draw(self, path: str) -> FaultRule | None:
        """The fault to commit on a request for this path, if any; never on ``/sandbox/*``. Counts the request."""
        label = _LABELS.get(path) or _LABELS.get(f"{path.rpartition('/')[0]}/{{job_id}}")
        if label is None:
            return None
        for armed in self._armed:
            if armed.rule.step in {label, "*"} and armed.fires(self._random):
                return armed.rule
        return None

    def report(self) -> list[dict[str, Any]]:
        """The rules with what they have done."""
        return [
            {"step": armed.rule.step, "kind": armed.rule.kind, "matched": armed.matched, "fired": armed.fired}
            for armed in self._armed
        ]


class FaultyApp:
    """An application that commits faults before or after it acts.

    Before anything else it waits the ``latency_s`` of the limits; requests of ``/sandbox/*`` are left alone.

    ``cut`` and ``reset`` need the connection (`TRANSPORT`); where the application is called without a server
    they raise `ConnectionResetError` instead. Waits end when ``closing`` is set.
    """

    def __init__(self, app: ASGIApp, faults: Faults, limits: Limits, closing: Signal) -> None:
        self._app = app
        self._faults = faults
        self._limits = limits
        self._closing = closing

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or commit a fault on it."""
        if self._limits.latency_s > 0 and not scope["path"].startswith(CONTROL_PATH):
            await self._closing.wait(self._limits.latency_s)
        rule = self._faults.draw(scope["path"]) if self._faults.active and scope["type"] == "http" else None
        if rule is None:
            await self._app(scope, receive, send)
            return
        acted: list[Message] = []

        async def keep(message: Message) -> None:
            acted.append(message)

        if rule.after or rule.kind in {"garble", "cut"}:
            await self._app(scope, receive, keep)
        await self._commit(rule, acted, scope, receive, send)

    async def _commit(self, rule: FaultRule, acted: list[Message], scope: Scope, receive: Receive, send: Send) -> None:
        match rule.kind:
            case "status":
                await _status(rule)(scope, receive, send)
            case "delay":
                await self._closing.wait(rule.delay_s)
                if not rule.after:
                    await self._app(scope, receive, send)
                for message in acted:
                    await send(message)
            case "hang":
                try:
                    await while_connected(receive, self._closing.wait())
                except ClientGone:
                    return
                await _close(scope, receive)
            case "garble":
                await _garble(acted, send)
            case "cut":
                await _cut(acted, scope, receive, send)
            case "reset":
                await _close(scope, receive, abort=True)
            case _:
                assert_never(rule.kind)


def _status(rule: FaultRule) -> Response:
    headers = {} if rule.retry_after is None else {"Retry-After": rule.retry_after}
    match rule.body:
        case "json":
            return JSONResponse({"detail": f"fault: {rule.status}"}, rule.status, headers=headers)
        case "html":
            return HTMLResponse(_HTML, rule.status, headers=headers)
        case "empty":
            return Response(status_code=rule.status, headers=headers)
        case _:
            assert_never(rule.body)


def _body(acted: list[Message]) -> bytes:
    return b"".join(message.get("body", b"") for message in acted)


async def _garble(acted: list[Message], send: Send) -> None:
    half = _body(acted)
    half = half[: len(half) // 2]
    headers = [header for header in acted[0]["headers"] if header[0] != b"content-length"]
    headers.append((b"content-length", b"%d" % len(half)))
    await send({**acted[0], "headers": headers})
    await send({"type": "http.response.body", "body": half})


async def _cut(acted: list[Message], scope: Scope, receive: Receive, send: Send) -> None:
    whole = _body(acted)
    await send(acted[0])
    await send({"type": "http.response.body", "body": whole[: len(whole) // 2], "more_body": True})
    await _close(scope, receive)


async def _close(scope: Scope, receive: Receive, *, abort: bool = False) -> None:
    """Close the connection, after what is written or at once, and wait until the server has noticed."""
    transport: asyncio.Transport | None = scope.get(TRANSPORT)
    if transport is None:
        raise ConnectionResetError("the connection is closed on purpose")
    if abort:
        transport.abort()
    else:
        transport.close()
    while (await receive())["type"] != "http.disconnect":
        pass
