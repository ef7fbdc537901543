"""Where a developer finds the gateway."""

from __future__ import annotations

from dataclasses import dataclass

from node.domain.secret import Secret
from node.ports.transport import Transport


@dataclass(frozen=True, slots=True)
class Target:
    """Where jobs are submitted and results asked for, and with which key."""

    transport: Transport
    gateway_url: str
    api_key: Secret
