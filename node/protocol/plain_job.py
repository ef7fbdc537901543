"""The usual job, read without a model of its fields: a node does this for every job, and most are as they should be.

What is not is left to `node.protocol.messages.JobData` and `node.protocol.translate.job`, which know what to make of
fields that are missing, null or of a wrong type; of the usual job both make the same.
"""

from __future__ import annotations

from typing import Any, Final

from pydantic_core import from_json

from node.domain.jobs import ChatPayload, Job, Message
from node.domain.secret import Secret
from node.protocol.json_reading import MAX_VALUES
from node.protocol.translate import API_KEY

_MOST_OUTPUT: Final = 2**53
_MOST_TEMPERATURE: Final = 1e308


def plain_job(body: bytes) -> Job | None:
    """The job in the answer to a poll; None where there is none, or it is anything but usual. Never raises."""
    if len(body) > MAX_VALUES:
        return None
    try:
        data = from_json(body)["job_data"]
        job_id, api_key, model, turns = data["job_id"], data["api_key"], data["model"], data["messages"]
        max_output, temperature = data["max_output"], data["temperature"]
    except (ValueError, KeyError, TypeError, IndexError):
        return None
    texts = type(job_id) is type(api_key) is type(model) is str and job_id and api_key and model
    if not texts or type(max_output) is not int or not 0 < max_output < _MOST_OUTPUT:
        return None
    if temperature is not None and not (type(temperature) is float and abs(temperature) < _MOST_TEMPERATURE):
        return None
    messages = _messages(turns)
    if messages is None or "request_timeout_time" in data:
        return None
    payload = ChatPayload(model, messages, max_output, temperature)
    return Job(job_id, payload, "chat", None, {API_KEY: Secret(api_key)})


def _messages(turns: Any) -> tuple[Message, ...] | None:
    """What was said, the last of it not blank; None where any of it is not as it should be."""
    if type(turns) is not list or not turns:
        return None
    messages: list[Message] = []
    for turn in turns:
        if type(turn) is not dict:
            return None
        role, content = turn.get("role"), turn.get("content")
        if type(role) is not str or type(content) is not str or not role:
            return None
        messages.append(Message(role, content))
    return tuple(messages) if messages[-1].content.strip() else None
