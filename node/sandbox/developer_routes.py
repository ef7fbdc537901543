"""What developers ask of the gateway: jobs, results, figures of the network."""

from __future__ import annotations

from typing import Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from node.domain.secret import Secret
from node.protocol.messages import (
    ChatChoice,
    ChatReply,
    ChatRequest,
    JobOutcome,
    JobRequest,
    JobTicket,
    ResultBody,
)
from node.protocol.routes import Step
from node.sandbox.departure import ClientGone, while_connected
from node.sandbox.gateway import Gateway
from node.sandbox.replies import json_reply, message_reply, missing_query, read_body

KEY_HEADER: Final = "api_key"
DEFAULT_CHAT_WAIT_S: Final = 240.0


class DeveloperRoutes:
    """The developer's endpoints.

    The figures are told with and without a key, since the family's own documents disagree on it; a key that is
    sent must be a good one.

    A chat completion waits ``request_timeout_time`` seconds, `DEFAULT_CHAT_WAIT_S` where that is null or not above 0,
    and never longer than the policy's ``max_chat_wait_s``. Without a result by then it is answered 504, with a
    failed one 502; the job itself goes on.
    """

    def __init__(self, gateway: Gateway, max_bytes: int) -> None:
        self._gateway = gateway
        self._max_bytes = max_bytes

    def routes(self) -> list[Route]:
        """Their routes."""
        endpoints = {
            Step.SUBMIT_JOB: self._submit,
            Step.GET_RESULT: self._result,
            Step.CHAT: self._chat,
            Step.COMPLETION_TIME: self._completion_time,
            Step.AVAILABLE_MODELS: self._models,
            Step.ACTIVE_NODE_COUNT: self._active_nodes,
            Step.NETWORK_STATS: self._network,
            Step.TOTAL_JOB_COUNT: self._jobs,
            Step.NODE_JOB_COUNT: self._jobs_of_node,
        }
        return [
            Route(step.route.path, endpoint, methods=[step.route.method], name=step.label)
            for step, endpoint in endpoints.items()
        ]

    async def _submit(self, request: Request) -> Response:
        key = self._key(request)
        job = await self._gateway.submit(await read_body(request, JobRequest, self._max_bytes), key)
        return message_reply(JobTicket(job_id=job.job_id))

    async def _result(self, request: Request) -> Response:
        _, answer = self._gateway.answer(request.path_params["job_id"], self._key(request))
        result = ResultBody.model_validate_json(answer.result)
        return message_reply(JobOutcome(status=answer.status, result=result, model_name=answer.model_name))

    async def _completion_time(self, request: Request) -> Response:
        job, answer = self._gateway.answer(request.path_params["job_id"], self._key(request))
        return json_reply({"job_id": job.job_id, "completion_time": max(0.0, answer.at - job.submitted_at)})

    async def _chat(self, request: Request) -> Response:
        key = self._key(request)
        asked = await read_body(request, ChatRequest, self._max_bytes)
        order = JobRequest(
            model=asked.model, messages=asked.messages, max_output=asked.max_tokens, temperature=asked.temperature
        )
        wanted = asked.request_timeout_time
        timeout_s = wanted if wanted is not None and wanted > 0 else DEFAULT_CHAT_WAIT_S
        job = await self._gateway.submit(order, key)
        try:
            await while_connected(request.receive, self._gateway.wait(job, timeout_s))
        except ClientGone:
            return Response(status_code=499)
        answer = job.answer
        if answer is None:
            return json_reply({"detail": "there is no result yet", "job_id": job.job_id}, 504)
        result = ResultBody.model_validate_json(answer.result)
        if answer.status == "error":
            return json_reply({"detail": result.error or "the job failed", "job_id": job.job_id}, 502)
        choices = [ChatChoice(message=result.message)]
        return message_reply(ChatReply(id=job.job_id, model=answer.model_name, choices=choices))

    async def _models(self, request: Request) -> Response:
        self._check_optional_key(request)
        return json_reply({"models": list(self._gateway.network().models)})

    async def _active_nodes(self, request: Request) -> Response:
        self._check_optional_key(request)
        return json_reply({"active_node_count": self._gateway.network().active_nodes})

    async def _network(self, request: Request) -> Response:
        self._check_optional_key(request)
        stats = self._gateway.network()
        return json_reply(
            {
                "active_nodes": stats.active_nodes,
                "known_nodes": stats.known_nodes,
                "available_models": list(stats.models),
                "total_jobs": stats.jobs,
                "answered_jobs": stats.accepted,
                "pending_jobs": self._gateway.pending,
            }
        )

    async def _jobs(self, request: Request) -> Response:
        self._check_optional_key(request)
        return json_reply({"total_job_count": self._gateway.network().jobs})

    async def _jobs_of_node(self, request: Request) -> Response:
        self._check_optional_key(request)
        name = request.query_params.get("node_name")
        if not name:
            return missing_query("node_name")
        return json_reply({"node_name": name, "node_job_count": self._gateway.jobs_done(name)})

    def _key(self, request: Request) -> Secret:
        return self._gateway.check_key(request.headers.get(KEY_HEADER, ""))

    def _check_optional_key(self, request: Request) -> None:
        key = request.headers.get(KEY_HEADER)
        if key is not None:
            self._gateway.check_key(key)
