"""What whoever started the sandbox may ask of it: the ledger, the feeder, faults, bugs, limits, the end of tokens."""

from __future__ import annotations

import hmac
from dataclasses import dataclass
from typing import Annotated, Final

from pydantic import BaseModel, ConfigDict, Field
from pydantic_core import to_json
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from node.domain.secret import Secret
from node.sandbox.bugs import Bugs
from node.sandbox.faults import Faults
from node.sandbox.gateway import Gateway
from node.sandbox.policy import FaultRule, SandboxPolicy
from node.sandbox.refusals import ControlDenied
from node.sandbox.replies import json_reply, missing_query, read_body
from node.sandbox.workload import Feeder

CONTROL_HEADER: Final = "x-control-token"
MAX_ROWS: Final = 1000
"""Rows in one answer; the next page begins after the last ``seq``."""
MAX_COMPACT_ROWS: Final = 10_000
"""The same of ``/sandbox/jobs``."""


class _FeederOrder(BaseModel):
    model_config = ConfigDict(extra="forbid")
    running: bool | None = None
    rate_per_s: Annotated[float | None, Field(ge=0, allow_inf_nan=False)] = None


class _FaultPlan(BaseModel):
    model_config = ConfigDict(extra="forbid")
    rules: tuple[FaultRule, ...]


class _LimitsOrder(BaseModel):
    model_config = ConfigDict(extra="forbid")
    rate_per_s: Annotated[float | None, Field(ge=0, allow_inf_nan=False)] = None
    latency_s: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.0


@dataclass(frozen=True, slots=True)
class Controlled:
    """What the control routes speak to."""

    gateway: Gateway
    feeder: Feeder
    faults: Faults
    bugs: Bugs


class ControlRoutes:
    """``/sandbox/*``, guarded by the control token in the header ``x-control-token``.

    - ``GET /sandbox/ledger``: the sums; with ``?detail=1&after=SEQ&limit=N`` the jobs, too, N at a time.
    - ``GET /sandbox/jobs?after=SEQ&limit=N``: all jobs compactly, forgotten ones included for as many as the policy's
      ``keep_rows``: ``{"now", "lease_s", "points_per_job", "points_per_minute", "dropped", "next_after", "rows"}``.
      ``rows`` are as `node.sandbox.job_rows` makes them. All times are Unix seconds by the gateway's own clock,
      whose time is ``now``. ``dropped`` counts jobs that have no row any more; above 0 the rows are not all. N is 1 to
      `MAX_COMPACT_ROWS`. A page may have fewer rows than N, even none, and is the last one only when ``next_after`` is
      null. While jobs come and go each has one row still, as it was when its page was made.
    - ``GET /sandbox/nodes?after=INDEX&limit=N``: the nodes, their points and signs of life.
    - ``POST /sandbox/expire_tokens``: all tokens granted so far have expired; ``{"status": "ok"}``.
    - ``GET`` and ``POST /sandbox/limits {"rate_per_s": …, "latency_s": …}``: see `Limits`; what is left out has its
      default.
    - ``GET /sandbox/bugs``: the bugs that were planted, and how often each could strike and did.
    - ``GET`` and ``POST /sandbox/feeder {"running": …, "rate_per_s": …}``.
    - ``GET`` and ``POST /sandbox/faults {"rules": […]}``: each a `FaultRule`; all former ones go.

    N is 1 to `MAX_ROWS`; ``next_after`` of an answer begins the next page and is null on the last. Without the
    token a request is answered 401, and 422 with a body or query that is not usable.
    """

    def __init__(self, controlled: Controlled, token: Secret, policy: SandboxPolicy) -> None:
        self._gateway = controlled.gateway
        self._feeder = controlled.feeder
        self._faults = controlled.faults
        self._bugs = controlled.bugs
        self._limits = controlled.gateway.limits
        self._token = token.reveal().encode()
        self._policy = policy
        self._max_bytes = policy.max_request_bytes

    def routes(self) -> list[Route]:
        """Their routes."""
        return [
            Route("/sandbox/ledger", self._ledger, methods=["GET"]),
            Route("/sandbox/jobs", self._jobs, methods=["GET"]),
            Route("/sandbox/nodes", self._nodes, methods=["GET"]),
            Route("/sandbox/expire_tokens", self._expire_tokens, methods=["POST"]),
            Route("/sandbox/limits", self._limits_report, methods=["GET"]),
            Route("/sandbox/limits", self._set_limits, methods=["POST"]),
            Route("/sandbox/bugs", self._bugs_report, methods=["GET"]),
            Route("/sandbox/feeder", self._feeder_report, methods=["GET"]),
            Route("/sandbox/feeder", self._set_feeder, methods=["POST"]),
            Route("/sandbox/faults", self._faults_report, methods=["GET"]),
            Route("/sandbox/faults", self._set_faults, methods=["POST"]),
        ]

    async def _ledger(self, request: Request) -> Response:
        self._guard(request)
        page = _page(request)
        if page is None:
            return missing_query("after, limit")
        content = (await self._gateway.totals())._asdict()
        if request.query_params.get("detail", "0") not in {"", "0"}:
            after, limit = page
            rows = self._gateway.job_rows(after, limit)
            content["jobs"] = rows
            content["next_after"] = rows[-1]["seq"] if len(rows) == limit else None
        return json_reply(content)

    async def _jobs(self, request: Request) -> Response:
        self._guard(request)
        page = _page(request, MAX_COMPACT_ROWS)
        if page is None:
            return missing_query("after, limit")
        jobs = await self._gateway.job_page(*page)
        head = to_json(
            {
                "now": jobs.now,
                "lease_s": self._policy.lease_s,
                "points_per_job": self._policy.points_per_job,
                "points_per_minute": self._policy.points_per_minute,
                "dropped": jobs.dropped,
                "next_after": jobs.next_after,
            }
        )
        body = b'%b,"rows":[%b]}' % (head[:-1], b",".join(jobs.rows))
        return Response(body, media_type="application/json")

    async def _expire_tokens(self, request: Request) -> Response:
        self._guard(request)
        self._gateway.expire_tokens()
        return json_reply({"status": "ok"})

    async def _limits_report(self, request: Request) -> Response:
        self._guard(request)
        return json_reply(self._limits.report())

    async def _set_limits(self, request: Request) -> Response:
        self._guard(request)
        order = await read_body(request, _LimitsOrder, self._max_bytes)
        self._limits.rate_per_s, self._limits.latency_s = order.rate_per_s, order.latency_s
        return json_reply(self._limits.report())

    async def _bugs_report(self, request: Request) -> Response:
        self._guard(request)
        return json_reply({"bugs": self._bugs.report()})

    async def _nodes(self, request: Request) -> Response:
        self._guard(request)
        page = _page(request)
        if page is None:
            return missing_query("after, limit")
        after, limit = page
        rows = self._gateway.node_rows(after, limit)
        return json_reply({"nodes": rows, "next_after": after + limit if len(rows) == limit else None})

    async def _feeder_report(self, request: Request) -> Response:
        self._guard(request)
        return json_reply(self._feeder.report())

    async def _set_feeder(self, request: Request) -> Response:
        self._guard(request)
        order = await read_body(request, _FeederOrder, self._max_bytes)
        self._feeder.set(running=order.running, rate_per_s=order.rate_per_s)
        return json_reply(self._feeder.report())

    async def _faults_report(self, request: Request) -> Response:
        self._guard(request)
        return json_reply({"rules": self._faults.report()})

    async def _set_faults(self, request: Request) -> Response:
        self._guard(request)
        plan = await read_body(request, _FaultPlan, self._max_bytes)
        self._faults.replace(plan.rules)
        return json_reply({"rules": self._faults.report()})

    def _guard(self, request: Request) -> None:
        if not hmac.compare_digest(request.headers.get(CONTROL_HEADER, "").encode(), self._token):
            raise ControlDenied("the control token is missing or wrong")


def _page(request: Request, most: int = MAX_ROWS) -> tuple[int, int] | None:
    """``after`` and ``limit`` of the query, at most that; None when they are no whole numbers from 0."""
    after, limit = request.query_params.get("after", "0"), request.query_params.get("limit", str(most))
    if not (after.isascii() and after.isdigit() and limit.isascii() and limit.isdigit()):
        return None
    return int(after[:18]), max(1, min(int(limit[:18]), most))
