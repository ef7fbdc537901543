"""How a sandbox gateway behaves, as one frozen value that travels to a child process as JSON.

Durations are in seconds.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from pydantic import GetPydanticSchema, TypeAdapter, ValidationError
from pydantic_core import CoreSchema, core_schema

from node.domain.errors import InputFault, InvalidInput
from node.domain.ids import AccountId, NodeId
from node.domain.secret import Secret
from node.protocol.routes import Step
from node.sandbox.bugs import Bug


def _to_secret(value: object) -> Secret:
    if isinstance(value, Secret):
        return value
    if isinstance(value, str):
        return Secret(value)
    raise ValueError("a secret is a string")


def _secret_schema(_source: Any, _handler: Any) -> CoreSchema:
    return core_schema.no_info_plain_validator_function(
        _to_secret, serialization=core_schema.plain_serializer_function_ser_schema(Secret.reveal)
    )


SecretText = Annotated[Secret, GetPydanticSchema(_secret_schema)]
"""A secret that is written to JSON in clear: the document goes through a pipe, never onto a command line."""

FaultKind = Literal["status", "delay", "hang", "garble", "cut", "reset"]
"""What goes wrong.

``status`` answers with ``FaultRule.status``; ``delay`` waits and goes on; ``hang`` never answers; ``garble`` sends
half of the true body as if it were whole; ``cut`` breaks off in the middle of the body; ``reset`` closes the
connection without a byte.
"""


FAULTY_STEPS: Final = ("*", "ip", *(step.label for step in Step))
"""What a fault may be committed on: ``*`` is every step, ``ip`` the IP echo."""


@dataclass(frozen=True, slots=True)
class FaultRule:
    """A fault to commit on requests of one step. The first rule that matches and fires decides.

    Raises:
        ValueError: a value is out of its bounds, or the step is not known.
    """

    step: str
    """One of `FAULTY_STEPS`."""
    kind: FaultKind
    after: bool = False
    """Whether the gateway acts on the request first; ``garble`` and ``cut`` always let it."""
    probability: float = 1.0
    """Chance, 0 to 1, with which a matching request meets it."""
    skip: int = 0
    """Matching requests to leave alone before the rule begins."""
    count: int | None = None
    """How often it fires at most; None: without end."""
    status: int = 500
    """The HTTP status of a ``status`` answer, 200 to 599."""
    body: Literal["json", "html", "empty"] = "json"
    """What a ``status`` answer carries."""
    retry_after: str | None = None
    """The ``Retry-After`` of a ``status`` answer: seconds, or an HTTP date."""
    delay_s: float = 1.0
    """How long a ``delay`` waits."""

    def __post_init__(self) -> None:
        if self.step not in FAULTY_STEPS:
            raise ValueError(f"step is one of {', '.join(FAULTY_STEPS)}")
        if not 0 <= self.probability <= 1:
            raise ValueError("probability lies between 0 and 1")
        if not 200 <= self.status <= 599:
            raise ValueError("status lies between 200 and 599")
        if self.delay_s < 0 or self.skip < 0 or (self.count is not None and self.count < 0):
            raise ValueError("delay_s, skip and count are not negative")


@dataclass(frozen=True, slots=True)
class Prompt:
    """Something to ask a model."""

    model: str
    text: str


@dataclass(frozen=True, slots=True)
class WorkloadPolicy:
    """What the feeder submits: an open model, whose rate does not depend on how fast jobs are done.

    Raises:
        ValueError: a rate or share is out of its bounds.
    """

    prompts: tuple[Prompt, ...] = ()
    """Asked as they stand, drawn evenly; the models of the other prompts are drawn from these, too."""
    other_models: tuple[str, ...] = ()
    """More models for the other prompts."""
    rate_per_s: float = 2.0
    """Jobs a second; 0: none."""
    arrivals: Literal["constant", "poisson"] = "poisson"
    share_other: float = 0.25
    """Share, 0 to 1, of jobs whose prompt is none of ``prompts``."""
    max_pending: int = 200
    """Jobs that may wait for a node; arrivals above that are dropped and counted."""
    limit: int | None = None
    """Jobs in all; None: without end."""
    max_output: int = 256
    """Tokens that each job asks for at most."""
    temperature: float | None = 0.7
    api_key: SecretText = Secret("sandbox-feeder")
    running: bool = True
    """Whether it begins at once or waits to be switched on."""

    def __post_init__(self) -> None:
        if self.rate_per_s < 0:
            raise ValueError("rate_per_s is not negative")
        if not 0 <= self.share_other <= 1:
            raise ValueError("share_other lies between 0 and 1")


@dataclass(frozen=True, slots=True)
class KnownIdentity:
    """What the auth service holds of a node."""

    pub_key: str
    account_id: AccountId


@dataclass(frozen=True, slots=True)
class SandboxPolicy:
    """Every setting of a sandbox gateway.

    Raises:
        ValueError: a value is out of its bounds.
    """

    host: str = "127.0.0.1"
    port: int = 0
    """0: a free one."""
    data_dir: Path | None = None
    """Where everything is kept; None: in memory, gone with the process."""
    token_lifetime_s: float = 3600.0
    lease_s: float = 300.0
    """How long a node may take over a job before another one gets it."""
    prefer_other_s: float = 30.0
    """How long a job that came back is kept from the nodes that had it, while others could take it."""
    active_s: float = 300.0
    """A node that has been silent for longer is not counted as active."""
    open_registration: bool = True
    """Whether any node id with a non-empty secret is taken, its secret remembered at first sight."""
    node_secrets: Mapping[NodeId, SecretText] = field(default_factory=dict)
    """Secrets known from the start; with closed registration the only ones."""
    identities: Mapping[NodeId, KnownIdentity] = field(default_factory=dict)
    """What the auth service insists on; other nodes pass with any non-empty key and account."""
    api_keys: tuple[SecretText, ...] = ()
    """The developers' keys; empty: any non-empty key."""
    control_token: SecretText | None = None
    """What ``/sandbox/*`` asks for; None: a random one, told in the handshake."""
    points_per_job: float = 1.0
    points_per_minute: float = 0.1
    """For time in session."""
    keep_results_s: float = 3600.0
    """How long an answered job is remembered: its result to be fetched, duplicates to be refused."""
    keep_results: int = 100_000
    """Answered jobs that are remembered at most."""
    keep_rows: int = 0
    """Forgotten jobs whose rows are kept for ``/sandbox/jobs``, compressed: for an audit of a run that is longer."""
    max_request_bytes: int = 16 * 1024 * 1024
    """A longer body is answered 413."""
    max_pending: int = 100_000
    """Jobs that may wait for a node before submissions are refused."""
    max_chat_wait_s: float = 600.0
    """The most that ``/chat/completions`` waits, whatever is asked."""
    keep_alive_s: int = 75
    """How long an idle connection is kept."""
    stop_grace_s: int = 5
    """How long requests under way may take when the server stops."""
    checkpoint_s: float = 10.0
    """How often uptimes are saved and old results forgotten."""
    rate_per_s: float | None = None
    """Jobs that are handed out a second at most, evenly; None: as many as there are."""
    latency_s: float = 0.0
    """What every request takes longer."""
    seed: int | None = None
    """Of the feeder, the faults and the bugs; None: another one each time."""
    workload: WorkloadPolicy | None = None
    faults: tuple[FaultRule, ...] = ()
    bugs: tuple[Bug, ...] = ()
    """What the gateway itself does wrong."""

    def __post_init__(self) -> None:
        if (self.rate_per_s is not None and self.rate_per_s < 0) or self.latency_s < 0 or self.keep_rows < 0:
            raise ValueError("rate_per_s, latency_s and keep_rows are not negative")
        if self.lease_s <= 0 or self.token_lifetime_s <= 0 or self.checkpoint_s <= 0:
            raise ValueError("lease_s, token_lifetime_s and checkpoint_s are above 0")
        if not 0 <= self.port <= 65535:
            raise ValueError("port lies between 0 and 65535")

    def secrets(self) -> Iterator[Secret]:
        """All secrets in it."""
        yield from self.node_secrets.values()
        yield from self.api_keys
        if self.control_token is not None:
            yield self.control_token
        if self.workload is not None:
            yield self.workload.api_key


def dump_policy(policy: SandboxPolicy) -> bytes:
    """The policy as one line of JSON, secrets in clear."""
    return TypeAdapter(SandboxPolicy).dump_json(policy)


def load_policy(document: str | bytes) -> SandboxPolicy:
    """The policy in a JSON document; what it leaves out has its default.

    Raises:
        InvalidInput: it is not JSON, or a value is not usable.
    """
    try:
        return TypeAdapter(SandboxPolicy).validate_json(document)
    except ValidationError as error:
        faults = error.errors(include_url=False, include_context=False, include_input=False)
    # Not raised from the cause: its text repeats what was given, secrets included.
    raise InvalidInput(
        [
            InputFault(
                place=f"sandbox configuration: {'.'.join(map(str, fault['loc'])) or 'document'}",
                problem=fault["msg"],
                remedy="correct it",
            )
            for fault in faults
        ]
    )
