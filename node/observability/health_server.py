"""The health and control port."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from node.domain.events import Crash
from node.domain.secret import Secret
from node.observability.bounded_http import BoundedProtocol
from node.observability.health_routes import HealthRoutes
from node.ports.control import Control, StatusSource
from node.runtime.http_server import HttpServer, ServerPolicy
from node.runtime.tasks import TaskOwner


@dataclass(frozen=True, slots=True)
class HealthPolicy:
    """Where the port is, and who may steer the node by it."""

    host: str = "127.0.0.1"
    port: int = 0
    """0 is a free one."""
    token: Secret = Secret("")
    """What orders must bear; while it is empty all are refused."""
    grace_s: int = 2
    """Time that requests under way have at the end."""


class HealthServer(HttpServer):
    """Serves `HealthRoutes`.

    ``metrics`` gives Prometheus' text, ``lag_s`` how late the loop was of late in seconds. ``redact`` masks secrets
    in what is told; ``on_crash`` hears of a defect of the server itself; ``protocol`` bounds what connections cost.
    """

    def __init__(
        self,
        policy: HealthPolicy,
        status: StatusSource,
        control: Control,
        metrics: Callable[[], bytes],
        *,
        lag_s: Callable[[], float],
        on_crash: Callable[[Crash], object],
        redact: Callable[[str], str] = str,
        protocol: type[BoundedProtocol] = BoundedProtocol,
    ) -> None:
        routes = HealthRoutes(status, control, metrics, policy.token, lag_s, redact)
        place = ServerPolicy("health", policy.host, policy.port, grace_s=policy.grace_s)
        super().__init__(routes.app(), TaskOwner(on_crash), place, protocol)
