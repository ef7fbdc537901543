"""Every endpoint of the gateway family: method, path, which host serves it, and how a caller proves itself."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from node.domain.states import SingleHash


class Host(Enum):
    """The two base URLs of a deployment; they may be the same."""

    GATEWAY = "gateway"
    AUTH = "auth"


class Proof(Enum):
    """What a request carries to show who sends it."""

    NONE = "none"
    BEARER = "bearer"
    """``Authorization: Bearer <access_token>``: a node in session."""
    API_KEY = "api_key"
    """Header ``api_key``: a developer."""


@dataclass(frozen=True, slots=True)
class Route:
    """Where a request goes. ``path`` begins with ``/`` and may hold ``{job_id}``, to be filled in."""

    method: str
    path: str
    host: Host = Host.GATEWAY
    proof: Proof = Proof.NONE


class Step(SingleHash, Enum):
    """What can be asked of a gateway. The node's own steps come first, in the order of a node's life."""

    CHECK_SECRET = Route("POST", "/check_node_secret")
    CHECK_IDENTITY = Route("POST", "/node/check", Host.AUTH)
    REGISTER = Route("POST", "/worker/register_node")
    UPDATE_MODELS = Route("POST", "/worker/update_models", proof=Proof.BEARER)
    POLL = Route("GET", "/worker/get_job", proof=Proof.BEARER)
    UPDATE_RESULT = Route("POST", "/worker/update_result", proof=Proof.BEARER)
    POINTS = Route("GET", "/get_points", proof=Proof.BEARER)
    LEAVE = Route("POST", "/worker/deregister_node", proof=Proof.BEARER)
    PING = Route("GET", "/worker/ping")
    SUBMIT_JOB = Route("POST", "/submit_job", proof=Proof.API_KEY)
    GET_RESULT = Route("GET", "/get_result/{job_id}", proof=Proof.API_KEY)
    CHAT = Route("POST", "/chat/completions", proof=Proof.API_KEY)
    COMPLETION_TIME = Route("GET", "/get_completion_time/{job_id}", proof=Proof.API_KEY)
    AVAILABLE_MODELS = Route("GET", "/available_models")
    ACTIVE_NODE_COUNT = Route("GET", "/active_node_count")
    NETWORK_STATS = Route("GET", "/network_stats")
    TOTAL_JOB_COUNT = Route("GET", "/total_job_count")
    NODE_JOB_COUNT = Route("GET", "/node_job_count")

    @property
    def route(self) -> Route:
        """Where it goes."""
        return self.value

    @property
    def label(self) -> str:
        """Its name for people and metrics: lower-case words joined by ``_``."""
        return self.name.lower()
