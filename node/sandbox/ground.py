"""What the parts of a gateway stand on."""

from __future__ import annotations

from dataclasses import dataclass

from node.domain.secret import Secret
from node.ports.clock import Clock, Ids
from node.runtime.tasks import TaskOwner
from node.sandbox.broker import Broker
from node.sandbox.journal import Journal
from node.sandbox.policy import SandboxPolicy


@dataclass(frozen=True, slots=True)
class Ground:
    """What comes from outside; ``secret`` is what tokens are signed with and node secrets hashed with."""

    policy: SandboxPolicy
    secret: Secret
    broker: Broker
    journal: Journal
    clock: Clock
    ids: Ids
    tasks: TaskOwner
