"""A gateway in memory, behind the transport's port: it keeps sessions, jobs and results, and fails on request."""

from __future__ import annotations

import asyncio
import json
from collections import defaultdict, deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from email.utils import formatdate
from typing import Any
from urllib.parse import urlsplit

from node.domain.errors import TimedOut, TransportError
from node.ports.transport import Reply, Request
from node.protocol.routes import Step
from node.protocol.tokens import issue
from tests.support.virtual_time import VirtualClock

KEY = "the gateway's own key, not the nodes'"
ROUTES = {(step.route.method, step.route.path): step for step in Step}
Fault = Reply | TransportError


def said(status: int, content: object = None, **headers: str) -> Reply:
    """A reply in JSON; headers by name with ``_`` for ``-``."""
    body = b"" if content is None else json.dumps(content).encode()
    return Reply(status, {name.replace("_", "-"): value for name, value in headers.items()}, body)


@dataclass(frozen=True)
class Asked:
    """A request as it came, and when by the loop's clock."""

    step: Step
    at: float
    request: Request

    @property
    def body(self) -> Any:
        return json.loads(self.request.body or b"null")

    @property
    def token(self) -> str:
        return dict(self.request.headers).get("authorization", "").removeprefix("Bearer ")


@dataclass
class ScriptedGateway:
    """A `Transport` whose other end is right here.

    ``skew_s`` is how far its clock is ahead of the node's; ``latency_s`` how long each step takes, and
    ``closing_s`` how long a cancelled exchange takes to let go of its connection.
    """

    life_s: float | None = 3600.0
    skew_s: float = 0.0
    dated: bool = True
    valid_credentials: bool = True
    latency_s: dict[Step, float] = field(default_factory=dict)
    faults: defaultdict[Step, deque[Fault]] = field(default_factory=lambda: defaultdict(deque))
    closing_s: float = 0.0
    down: TransportError | None = None
    jobs: deque[dict[str, Any]] = field(default_factory=deque)
    results: dict[str, Any] = field(default_factory=dict)
    models: list[str] | None = None
    tokens: dict[str, float | None] = field(default_factory=dict)
    asked: list[Asked] = field(default_factory=list)
    closed: bool = False

    def __post_init__(self) -> None:
        self._clock = VirtualClock(self.skew_s)

    def fail(self, step: Step, *faults: Fault) -> None:
        """Have the next requests of this step end so, one each."""
        self.faults[step].extend(faults)

    def forget(self) -> None:
        """Know no session any more."""
        self.tokens.clear()

    def count(self, step: Step) -> int:
        return sum(asked.step is step for asked in self.asked)

    def times(self, step: Step) -> list[float]:
        return [asked.at for asked in self.asked if asked.step is step]

    async def exchange(self, request: Request, timeout_s: float) -> Reply:
        step = ROUTES[request.method, urlsplit(request.url).path]
        asked = Asked(step, asyncio.get_running_loop().time(), request)
        self.asked.append(asked)
        latency_s = self.latency_s.get(step, 0.01)
        try:
            await asyncio.sleep(min(latency_s, timeout_s))
        except asyncio.CancelledError:
            await asyncio.sleep(self.closing_s)
            raise
        if latency_s > timeout_s:
            raise TimedOut(f"no whole reply in {timeout_s:g} s")
        if self.down is not None:
            raise self.down
        fault = self.faults[step].popleft() if self.faults[step] else self._answer(asked)
        if isinstance(fault, TransportError):
            raise fault
        return Reply(fault.status, {**self._date(), **fault.headers}, fault.body)

    async def aclose(self) -> None:
        self.closed = True

    def grant(self, **claims: Any) -> str:
        """A new token, which lives for ``life_s``."""
        now = self._clock.wall()
        ends = None if self.life_s is None else now + self.life_s
        times = {} if ends is None else {"exp": ends, "iat": now}
        token = issue({"sub": "n1", "n": len(self.asked), **times, **claims}, KEY)
        self.tokens[token] = ends
        return token

    def _date(self) -> Mapping[str, str]:
        return {"date": formatdate(self._clock.wall(), usegmt=True)} if self.dated else {}

    def _answer(self, asked: Asked) -> Reply:
        match asked.step:
            case Step.CHECK_SECRET:
                return said(200, {"status": "ok"})
            case Step.CHECK_IDENTITY:
                return said(200, {"valid_credentials": self.valid_credentials})
            case Step.REGISTER:
                return said(200, {"access_token": self.grant()})
        ends = self.tokens.get(asked.token, 0.0)
        if ends is not None and self._clock.wall() >= ends:
            return said(401, {"detail": f"invalid token {asked.token}"})
        return self._answer_known(asked)

    def _answer_known(self, asked: Asked) -> Reply:
        match asked.step:
            case Step.UPDATE_MODELS:
                self.models = asked.body["models"]
                return said(200, {"status": "ok"})
            case Step.POLL:
                return said(200, {"job_data": self.jobs.popleft() if self.jobs else None})
            case Step.UPDATE_RESULT:
                return self._take(asked.body)
            case Step.POINTS:
                return said(200, {"points": 12.5, "pointsraw": 20})
            case Step.LEAVE:
                self.tokens.pop(asked.token)
                return said(200, {})
            case _:
                return said(404, {"detail": "Not Found"})

    def _take(self, result: dict[str, Any]) -> Reply:
        if result["job_id"] in self.results:
            return said(409, {"detail": "already submitted"})
        self.results[result["job_id"]] = result
        return said(200, {"status": "ok"})
