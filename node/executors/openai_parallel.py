"""How many requests a server runs at once, by the ways of those that tell. OpenAI's own API has none.

llama.cpp's own server tells its slots at ``/props`` (tools/server/README.md of ggml-org/llama.cpp), SGLang the limit
of each of its data-parallel parts at ``/server_info``, formerly ``/get_server_info`` ("SGLang Native APIs"). vLLM tells
it in its development mode alone, and others not at all.
"""

from __future__ import annotations

from typing import Final

from pydantic import BaseModel, ValidationError

PLACES: Final = ("/props", "/server_info", "/get_server_info")
"""Where to ask, below the server's root."""


class _Part(BaseModel):
    effective_max_running_requests_per_dp: int | None = None


class _Told(BaseModel):
    total_slots: int | None = None
    internal_states: list[_Part] = []
    max_running_requests: int | None = None


def parallel_in(body: bytes) -> int | None:
    """What the answer of one of the `PLACES` says; None where it says nothing of the kind."""
    try:
        told = _Told.model_validate_json(body)
    except ValidationError:
        return None
    parts = sum(part.effective_max_running_requests_per_dp or 0 for part in told.internal_states)
    number = told.total_slots or parts or told.max_running_requests or 0
    return number if number >= 1 else None
