"""The route that carries nearly all requests: a node asks for a job."""

from __future__ import annotations

from typing import Final

from starlette.types import Message, Receive, Scope, Send

from node.domain.errors import StorageError
from node.protocol.routes import Step
from node.sandbox.gateway import Gateway
from node.sandbox.refusals import Refusal
from node.sandbox.replies import bearer_token, json_reply, refusal_reply

POLL_PATH: Final = Step.POLL.route.path

_NO_JOB: Final = b'{"job_data":null}'
_JSON: Final = (b"content-type", b"application/json")
_NO_JOB_START: Final[Message] = {
    "type": "http.response.start",
    "status": 200,
    "headers": [_JSON, (b"content-length", b"%d" % len(_NO_JOB))],
}
_NO_JOB_BODY: Final[Message] = {"type": "http.response.body", "body": _NO_JOB}


class PollEndpoint:
    """``GET /worker/get_job`` as plain ASGI, without the framework: idle nodes do little else than call it."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one poll: 200 with a job or null, or as `refusal_reply` words a refusal."""
        if scope["method"] != "GET":
            await json_reply({"detail": "Method Not Allowed"}, 405)(scope, receive, send)
            return
        try:
            node = self._gateway.authenticate(bearer_token(scope["headers"]))
            job = await self._gateway.claim(node)
        except (Refusal, StorageError) as error:
            await refusal_reply(error)(scope, receive, send)
            return
        if job is None:
            await send(_NO_JOB_START)
            await send(_NO_JOB_BODY)
            return
        body = b'{"job_data":%b}' % job.body
        headers = [_JSON, (b"content-length", b"%d" % len(body))]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})
