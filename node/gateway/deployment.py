"""What a client of a gateway is told: where the gateway is, how to behave, and what the process lends it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from node.domain.ids import SourceId
from node.domain.policies import RetryPolicy, SessionPolicy, StepTimeouts
from node.domain.secret import Secret
from node.gateway.keys import TokenTimesReader, UnverifiedTokens
from node.gateway.turnstile import Turnstile
from node.ports.clock import Clock, Random
from node.ports.events import EventSink
from node.ports.gates import AuthGate
from node.protocol.routes import Host, Step


@dataclass(frozen=True, slots=True)
class Deployment:
    """The two base URLs, which may be the same, and the version that a node calls its own."""

    gateway_url: str
    auth_url: str
    node_version: str

    @property
    def source_id(self) -> SourceId:
        """The gateway's name in job keys."""
        return SourceId(self.gateway_url.rstrip("/"))

    def url(self, step: Step) -> str:
        """Where a step's request goes, without a query; a ``{job_id}`` in its path is left to fill in."""
        base = self.auth_url if step.route.host is Host.AUTH else self.gateway_url
        return f"{base.rstrip('/')}{step.route.path}"


@dataclass(frozen=True, slots=True)
class ClientPolicy:
    """How steps are retried and timed, and when a session is renewed."""

    retry: RetryPolicy = field(default_factory=RetryPolicy)
    timeouts: StepTimeouts = field(default_factory=StepTimeouts)
    session: SessionPolicy = field(default_factory=SessionPolicy)


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What all nodes of a process share. ``tokens`` checks no signatures unless another reader is given.

    ``remember`` is told of every secret that the gateway gives away, before anything can be said about it;
    ``redact`` masks secrets in what is kept of the gateway's words.
    """

    auth_gate: AuthGate
    clock: Clock
    random: Random
    events: EventSink
    tokens: TokenTimesReader = field(default_factory=UnverifiedTokens)
    remember: Callable[[Secret], None] = lambda _: None
    turnstile: Turnstile = field(default_factory=Turnstile)
    redact: Callable[[str], str] = str
