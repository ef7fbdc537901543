"""What whoever started the sandbox may ask of it: the ledger, the feeder, the faults."""

from __future__ import annotations

import hmac
from typing import Annotated, Final

from pydantic import BaseModel, ConfigDict, Field
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from node.domain.secret import Secret
from node.sandbox.faults import Faults
from node.sandbox.gateway import Gateway
from node.sandbox.policy import FaultRule
from node.sandbox.refusals import ControlDenied
from node.sandbox.replies import json_reply, missing_query, read_body
from node.sandbox.workload import Feeder

CONTROL_HEADER: Final = "x-control-token"
MAX_ROWS: Final = 1000
"""Rows in one answer; the next page begins after the last ``seq``."""


class _FeederOrder(BaseModel):
    model_config = ConfigDict(extra="forbid")
    running: bool | None = None
    rate_per_s: Annotated[float | None, Field(ge=0, allow_inf_nan=False)] = None


class _FaultPlan(BaseModel):
    model_config = ConfigDict(extra="forbid")
    rules: tuple[FaultRule, ...]


class ControlRoutes:
    """``/sandbox/*``, guarded by the control token in the header ``x-control-token``.

    - ``GET /sandbox/ledger``: the sums; with ``?detail=1&after=SEQ&limit=N`` the jobs, too, N at a time.
    - ``GET /sandbox/nodes?after=INDEX&limit=N``: the nodes, their points and signs of life.
    - ``GET`` and ``POST /sandbox/feeder {"running": …, "rate_per_s": …}``.
    - ``GET`` and ``POST /sandbox/faults {"rules": […]}``: each a `FaultRule`; all former ones go.

    N is 1 to `MAX_ROWS`; ``next_after`` of an answer begins the next page and is null on the last. Without the
    token a request is answered 401, and 422 with a body or query that is not usable.
    """

    def __init__(self, gateway: Gateway, feeder: Feeder, faults: Faults, token: Secret, max_bytes: int) -> None:
        self._gateway = gateway
        self._feeder = feeder
        self._faults = faults
        self._token = token.reveal().encode()
        self._max_bytes = max_bytes

    def routes(self) -> list[Route]:
        """Their routes."""
        return [
            Route("/sandbox/ledger", self._ledger, methods=["GET"]),
            Route("/sandbox/nodes", self._nodes, methods=["GET"]),
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


def _page(request: Request) -> tuple[int, int] | None:
    """``after`` and ``limit`` of the query; None when they are no whole numbers from 0."""
    after, limit = request.query_params.get("after", "0"), request.query_params.get("limit", str(MAX_ROWS))
    if not (after.isascii() and after.isdigit() and limit.isascii() and limit.isdigit()):
        return None
    return int(after[:18]), max(1, min(int(limit[:18]), MAX_ROWS))
