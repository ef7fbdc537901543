"""What nodes ask of the gateway and of the auth service, the poll excepted."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from node.domain.ids import NodeId
from node.domain.secret import Secret
from node.protocol.messages import (
    IdentityCheck,
    Leaving,
    ModelsUpdate,
    Registration,
    ResultUpdate,
    SecretCheck,
    TokenGrant,
)
from node.protocol.routes import Step
from node.sandbox.gateway import Gateway
from node.sandbox.nodes import NodeRecord
from node.sandbox.replies import bearer_token, json_reply, message_reply, missing_query, read_body


class NodeRoutes:
    """The endpoints of a node's life, in the order of its steps."""

    def __init__(self, gateway: Gateway, max_bytes: int) -> None:
        self._gateway = gateway
        self._max_bytes = max_bytes

    def routes(self) -> list[Route]:
        """Their routes."""
        endpoints = {
            Step.UPDATE_RESULT: self._update_result,
            Step.CHECK_SECRET: self._check_secret,
            Step.CHECK_IDENTITY: self._check_identity,
            Step.REGISTER: self._register,
            Step.UPDATE_MODELS: self._update_models,
            Step.POINTS: self._points,
            Step.LEAVE: self._leave,
            Step.PING: self._ping,
        }
        return [
            Route(step.route.path, endpoint, methods=[step.route.method], name=step.label)
            for step, endpoint in endpoints.items()
        ]

    async def _check_secret(self, request: Request) -> Response:
        check = await read_body(request, SecretCheck, self._max_bytes)
        await self._gateway.check_secret(NodeId(check.node_id), Secret(check.secret))
        return json_reply({"status": "ok"})

    async def _check_identity(self, request: Request) -> Response:
        check = await read_body(request, IdentityCheck, self._max_bytes)
        holds = self._gateway.identity_holds(NodeId(check.node_id), check.pub_key, check.account_id)
        return json_reply({"valid_credentials": holds})

    async def _register(self, request: Request) -> Response:
        registration = await read_body(request, Registration, self._max_bytes)
        token = await self._gateway.register(NodeId(registration.node_url), registration.node_version or "")
        return message_reply(TokenGrant(access_token=token))

    async def _update_models(self, request: Request) -> Response:
        node = self._bearer(request)
        update = await read_body(request, ModelsUpdate, self._max_bytes)
        await self._gateway.update_models(node, update.node_url, tuple(dict.fromkeys(update.models)))
        return json_reply({"status": "ok"})

    async def _update_result(self, request: Request) -> Response:
        node = self._bearer(request)
        update = await read_body(request, ResultUpdate, self._max_bytes)
        await self._gateway.accept(node, update)
        return json_reply({"status": "ok"})

    async def _points(self, request: Request) -> Response:
        node = self._bearer(request)
        name = request.query_params.get("node_name")
        if not name:
            return missing_query("node_name")
        return message_reply(await self._gateway.points(node, name))

    async def _leave(self, request: Request) -> Response:
        node = self._bearer(request)
        leaving = await read_body(request, Leaving, self._max_bytes)
        await self._gateway.leave(node, leaving.node_url)
        return json_reply({"status": "ok"})

    async def _ping(self, _request: Request) -> Response:
        return json_reply({"status": "ok"})

    def _bearer(self, request: Request) -> NodeRecord:
        return self._gateway.authenticate(bearer_token(request.scope["headers"]))
