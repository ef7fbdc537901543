"""A node that tells what it is given and notes what it is told."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from node.domain.ids import NodeId
from node.domain.presence import Presence
from node.domain.states import Hold, Life
from node.ports.control import Check, EngineStatus, OutboxStatus, Status

STATUS = Status(
    node=NodeId("node-1"),
    worker="box-7",
    version="1.2.3",
    life=Life.RUNNING,
    presence=Presence.PROCESSING,
    holds=Hold.PAUSED | Hold.NO_SLOT,
    slots_used=2,
    slots_total=4,
    last_poll_age_s=1.23456,
    jobs={"succeeded": 7, "failed": 1},
    outbox=OutboxStatus(3, 12.0),
    engines=(
        EngineStatus("ollama", available=True, breakers={"m": "open"}),
        EngineStatus("vllm", available=False, reason="connection refused"),
    ),
    models=("m", "n"),
    uptime_s=60.0,
)
GOOD = (Check("registered", ok=True, detail="in session"), Check("engine", ok=True, detail="ollama answers"))
BAD = (GOOD[0], Check("engine", ok=False, detail="no engine answers"))


@dataclass
class ControlledNode:
    """Both a `StatusSource` and a `Control`."""

    now: Status = STATUS
    conditions: tuple[Check, ...] = GOOD
    orders: list[str] = field(default_factory=list)

    def status(self) -> Status:
        return self.now

    def checks(self) -> tuple[Check, ...]:
        return self.conditions

    def pause(self) -> None:
        self.orders.append("pause")
        self.now = replace(self.now, holds=self.now.holds | Hold.PAUSED)

    def resume(self) -> None:
        self.orders.append("resume")
        self.now = replace(self.now, holds=self.now.holds & ~Hold.PAUSED)

    def drain(self) -> None:
        self.orders.append("drain")
        self.now = replace(self.now, life=Life.DRAINING)
