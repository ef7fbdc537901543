"""A plan: everything that a load test does, as one frozen value."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Final, Literal, NamedTuple, TypeAlias

from pydantic import BeforeValidator, Field, InstanceOf, PlainSerializer

from node.domain.errors import InvalidInput
from node.loadtest.plan.distributions import Constant, Distribution
from node.loadtest.plan.faults import Kill, PlannedFault, Silent
from node.loadtest.plan.jobs import JobsPlan
from node.loadtest.plan.nodes import NodesPlan
from node.loadtest.plan.vocabulary import Name, PerSecond, PositiveCount, PositiveSeconds, Seconds, Table, Text, fault
from node.loadtest.thresholds.parser import parse_threshold
from node.loadtest.thresholds.threshold import Threshold
from node.ports.clock import Random

_MOST_JOB_S: Final = 230.0
_MOST_RESULT_S: Final = 30.0
_JOB_PART: Final = _MOST_JOB_S / 300.0
_RESULT_PART: Final = 0.1


class Work(NamedTuple):
    """What a job is for a synthetic engine: tokens to make, and the seconds that it takes."""

    tokens: int
    seconds: float


class Engine(Table):
    """Nodes without a model: a job takes as many seconds as its tokens at its speed, and its text is made up."""

    full_names: ClassVar[frozenset[str]] = frozenset({"tokens_per_s"})

    kind: Literal["synthetic"] = "synthetic"
    output_tokens: Distribution = Constant(value=100.0)
    """How long an answer wants to be; the job's own limit cuts it."""
    tokens_per_s: Distribution = Constant(value=50.0)
    """The speed of a job, drawn anew for each; 0: at once."""

    def service_s(self, tokens: float, tokens_per_s: float) -> float:
        """The time of a job of this length at this speed."""
        return tokens / tokens_per_s if tokens_per_s > 0 else 0.0

    def draw(self, random: Random, max_output: int | None = None) -> Work:
        """The work of one job, whose answer is no longer than ``max_output`` tokens."""
        tokens = max(1, round(self.output_tokens.quantile(random.random())))
        tokens = tokens if max_output is None else min(tokens, max(1, max_output))
        return Work(tokens, self.service_s(tokens, self.tokens_per_s.quantile(random.random())))

    @property
    def is_instant(self) -> bool:
        """Whether no job takes any time."""
        return isinstance(self.tokens_per_s, Constant) and self.tokens_per_s.value <= 0

    @property
    def mean_s(self) -> float:
        """About what a job takes on average, limits of jobs apart."""
        speeds = [self.tokens_per_s.quantile((step + 0.5) / 100) for step in range(100)]
        return self.output_tokens.mean * sum(self.service_s(1.0, speed) for speed in speeds) / len(speeds)


class RealEngine(Table):
    """Nodes that run their jobs on the executors of the settings. Written ``engine = "real"``."""

    kind: Literal["real"]


class GatewayPlan(Table):
    """What is known of a gateway that is not the sandbox."""

    lease_s: PositiveSeconds | None = None
    """How long a claimed job is its node's; None: not known, and neither is what depends on it."""
    copies: PositiveCount = 1
    """To how many nodes it gives each job, whose answers it compares."""


class SandboxPlan(Table):
    """How the sandbox of a run is set up: fields of `node.sandbox.policy.SandboxPolicy`, by the same names."""

    lease_s: PositiveSeconds = 300.0
    token_lifetime_s: PositiveSeconds = 3600.0
    prefer_other_s: Seconds = 30.0
    active_s: PositiveSeconds = 300.0
    max_pending: PositiveCount = 100_000
    rate_per_s: PerSecond | None = None
    """Jobs that it hands out a second at most; None: as many as it can."""
    latency_s: Seconds = 0.0
    """What every request takes longer."""


def _named_engine(given: Any) -> Any:
    if isinstance(given, str):
        return {"kind": given}
    if isinstance(given, dict):
        return {"kind": "synthetic", **given}
    return given


def _threshold(given: Any) -> Any:
    if not isinstance(given, str):
        return given
    try:
        return parse_threshold(given)
    except InvalidInput as error:
        first = error.faults[0]
        raise fault(first.problem, first.remedy) from None


def _steady(given: Any) -> Any:
    return None if given == "steady" else given


Thresholds: TypeAlias = tuple[
    Annotated[InstanceOf[Threshold], BeforeValidator(_threshold), PlainSerializer(str, return_type=str)], ...
]


class Plan(Table):
    """A load test."""

    name: Name
    description: Text = ""
    duration_s: PositiveSeconds
    """From the first node to the last arrival and fault."""
    settle_s: PositiveSeconds | None = None
    """How long jobs that can still be claimed or answered are waited for at the end, at most; None: see `settling_s`."""
    warm_up_s: Annotated[Seconds | None, BeforeValidator(_steady)] = None
    """What is cut off before figures are judged; None (written ``steady``): what a rule finds not to be steady yet."""
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 0
    """Every draw of a run comes from it."""
    nodes: NodesPlan
    jobs: JobsPlan = JobsPlan()
    engine: Annotated[Engine | RealEngine, Field(discriminator="kind"), BeforeValidator(_named_engine)] = Engine()
    faults: Annotated[tuple[PlannedFault, ...], Field(strict=False)] = ()
    thresholds: Annotated[Thresholds, Field(strict=False)] = ()
    gateway: GatewayPlan = GatewayPlan()
    sandbox: SandboxPlan = SandboxPlan()

    def lease_s(self, *, on_sandbox: bool) -> float | None:
        """How long a claimed job is its node's, there where the plan is run; None where that is not known."""
        return self.sandbox.lease_s if on_sandbox else self.gateway.lease_s

    def copies(self, *, on_sandbox: bool) -> int:
        """To how many nodes each job is given, there where the plan is run."""
        return 1 if on_sandbox else self.gateway.copies

    @property
    def shortest_lease_s(self) -> float:
        """The lease that a node's times are fitted to."""
        known = self.gateway.lease_s
        return self.sandbox.lease_s if known is None else min(known, self.sandbox.lease_s)

    @property
    def job_deadline_s(self) -> float:
        """What a job may take at a node."""
        given = self.nodes.job_deadline_s
        return min(_MOST_JOB_S, _JOB_PART * self.shortest_lease_s) if given is None else given

    @property
    def result_timeout_s(self) -> float:
        """What a result's request may take."""
        given = self.nodes.result_timeout_s
        return min(_MOST_RESULT_S, _RESULT_PART * self.shortest_lease_s) if given is None else given

    def settling_s(self, *, on_sandbox: bool) -> float:
        """How long is waited at the end, at most: as the plan says, or a lease, a job's deadline and ten seconds."""
        if self.settle_s is not None:
            return self.settle_s
        return (self.lease_s(on_sandbox=on_sandbox) or self.shortest_lease_s) + self.job_deadline_s + 10.0

    @property
    def needs_redelivery(self) -> bool:
        """Whether nodes vanish or fall silent, so that jobs must wait for the end of a lease."""
        return any(isinstance(planned, Kill | Silent) for planned in self.faults)
