"""Between the wire's bodies and the program's own values."""

from __future__ import annotations

from typing import Any, Final

from pydantic_core import to_json

from node.domain.identity import NodeSpec
from node.domain.ids import JobId
from node.domain.jobs import ChatPayload, Job, MalformedPayload, Message
from node.domain.results import FinishedJob, Generation, Points, Success
from node.domain.secret import Secret
from node.protocol.messages import (
    IdentityCheck,
    JobData,
    Leaving,
    ModelsUpdate,
    PointsReply,
    Registration,
    ResultUpdate,
    SecretCheck,
    Stats,
)

API_KEY = "api_key"
"""The name in a job's receipt under which the developer's key travels with the result."""

_SPARE_S: Final = 10.0
_SPARE_SHARE: Final = 0.05
"""Of the time for which an asker waits, what is left for the result's way back: a share of it, 10 s at most."""


def secret_check(spec: NodeSpec) -> SecretCheck:
    """The body of step 2, the node's secret in clear."""
    return SecretCheck(node_id=spec.node_id, secret=spec.identity.secret.reveal())


def identity_check(spec: NodeSpec) -> IdentityCheck:
    """The body of step 3."""
    identity = spec.identity
    return IdentityCheck(node_id=identity.node_id, pub_key=identity.pub_key, account_id=identity.account_id)


def registration(spec: NodeSpec, node_version: str) -> Registration:
    """The body of step 4."""
    machine = spec.hardware
    stats = Stats(ram=machine.ram_mb, cpu=machine.cpu_cores, vram=machine.vram_mb, gpu=machine.gpu, os=machine.os)
    return Registration(node_url=spec.node_id, node_version=node_version, stats=stats)


def models_update(spec: NodeSpec, models: tuple[str, ...]) -> ModelsUpdate:
    """The body of step 5: the models that the node offers from now on, in place of all former ones."""
    return ModelsUpdate(node_url=spec.node_id, models=list(models))


def leaving(spec: NodeSpec) -> Leaving:
    """The body of step 9."""
    return Leaving(node_url=spec.node_id)


def points(reply: PointsReply) -> Points:
    """What step 8 brought."""
    return Points(points=reply.points, raw=reply.pointsraw)


def job(data: JobData) -> Job | None:
    """The job in a poll's answer; None when it has no ``job_id``, so that no answer could name it.

    Never raises: a job that cannot be run comes with a `MalformedPayload`, to be answered with an error.
    """
    if not data.job_id:
        return None
    receipt = {API_KEY: Secret(data.api_key)} if data.api_key else {}
    waits_s = data.request_timeout_time
    limit_s = waits_s - min(_SPARE_S, _SPARE_SHARE * waits_s) if waits_s is not None and waits_s > 0 else None
    return Job(job_id=JobId(data.job_id), payload=_payload(data), receipt=receipt, time_limit_s=limit_s)


def _payload(data: JobData) -> ChatPayload | MalformedPayload:
    model = data.model or ""
    if not model:
        return MalformedPayload(model, "the job names no model")
    if not isinstance(data.messages, list) or not data.messages:
        return MalformedPayload(model, "the job has no messages")
    messages: list[Message] = []
    for entry in data.messages:
        if (message := _message(entry)) is None:
            return MalformedPayload(model, "a message of the job lacks its role or its content")
        messages.append(message)
    whole = tuple(messages)
    if not whole[-1].content.strip():
        return MalformedPayload(model, "the job's last message is empty")
    wanted = data.max_output
    return ChatPayload(
        model=model,
        messages=whole,
        max_output=wanted if wanted is not None and wanted > 0 else None,
        temperature=data.temperature,
    )


def _message(entry: Any) -> Message | None:
    if not isinstance(entry, dict):
        return None
    role, content = entry.get("role"), entry.get("content")
    return Message(role, content) if isinstance(role, str) and role and isinstance(content, str) else None


def result_wire(finished: FinishedJob) -> bytes:
    """The body of step 7, secrets in clear. A failure's content is empty and its reason stands in ``result.error``.

    Halves of surrogate pairs in texts are replaced, so that it can be sent. It is written without a `ResultUpdate`,
    whose making and writing cost four times as much: a node does this for every job.

    Raises:
        TypeError: it is no result of a chat: the gateway hands out no other jobs.
        ValueError: a name holds half of a surrogate pair.
    """
    api_key = finished.receipt.get(API_KEY)
    outcome = finished.outcome
    result: dict[str, Any]
    if isinstance(outcome, Success):
        made = outcome.output
        if not isinstance(made, Generation):
            raise TypeError(f"the gateway hands out chats alone, and takes no {type(made).__name__}")
        result = {"message": {"role": "assistant", "content": _sendable(made.text)}}
        if (used := usage(made)) is not None:
            result["usage"] = used
        model, status = made.model, "success"
    else:
        result = {"message": {"role": "assistant", "content": ""}, "error": _sendable(outcome.reason)}
        model, status = outcome.model, "error"
    body = {
        "job_id": finished.key.job,
        "api_key": "" if api_key is None else api_key.reveal(),
        "model_name": model,
        "result": result,
        "status": status,
    }
    return to_json(body, inf_nan_mode="null")


def result_update(finished: FinishedJob) -> ResultUpdate:
    """The body of step 7 as its receiver reads it; raises as `result_wire`."""
    return ResultUpdate.model_validate_json(result_wire(finished))


def usage(made: Generation) -> dict[str, int | float | str] | None:
    """What the engine told of its work, None where it told nothing.

    ``first_token_ms`` is from the engine's being asked to the first piece of the text.
    """
    told: dict[str, int | float | str] = {}
    if made.prompt_tokens is not None:
        told["prompt_tokens"] = made.prompt_tokens
    if made.output_tokens is not None:
        told["output_tokens"] = made.output_tokens
    if made.first_token_s is not None:
        told["first_token_ms"] = round(made.first_token_s * 1000, 1)
    if made.tokens_per_s is not None:
        told["tokens_per_s"] = round(made.tokens_per_s, 2)
    if made.finish_reason is not None:
        told["finish_reason"] = _sendable(made.finish_reason)
    return told or None


def _sendable(text: str) -> str:
    """The text with halves of surrogate pairs, as cut-off emoji leave them, replaced: UTF-8 has no form for them."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode()
