"""What happens in a fleet, told to whoever listens.

Events are named tuples: immutable and cheap, since a busy fleet makes tens of thousands a second. None holds
a secret, a prompt or an answer. Durations are in seconds.
"""

from __future__ import annotations

from typing import NamedTuple, TypeAlias

from node.domain.ids import JobId, JobKey, NodeId
from node.domain.results import Points
from node.domain.states import Hold, Life, LifeInput, Session


class LifeChanged(NamedTuple):
    """A node moved to another state; ``reason`` says why where there is more to say than the input."""

    node: NodeId
    before: Life
    input: LifeInput
    after: Life
    reason: str = ""


class SessionChanged(NamedTuple):
    """A node's token was granted, is near its end, was denied or dropped."""

    node: NodeId
    state: Session
    generation: int
    reason: str = ""


class HoldsChanged(NamedTuple):
    """The reasons for which a node does not claim."""

    node: NodeId
    holds: Hold


class PollStarted(NamedTuple):
    """A node asks for work; ``lateness_s`` is how long after the time it was due."""

    node: NodeId
    lateness_s: float


class PollEnded(NamedTuple):
    """The gateway answered, with a job or none, after ``took_s``."""

    node: NodeId
    took_s: float
    job: JobId | None


class PollFailed(NamedTuple):
    """A poll did not succeed; the node tries again in ``retry_in_s``."""

    node: NodeId
    took_s: float
    reason: str
    retry_in_s: float


class StepEnded(NamedTuple):
    """A step of the protocol other than the poll ended; ``error`` is empty when it succeeded."""

    node: NodeId
    step: str
    took_s: float
    attempts: int = 1
    error: str = ""


class StepRetried(NamedTuple):
    """A step failed and will be tried again in ``retry_in_s``."""

    node: NodeId
    step: str
    attempt: int
    reason: str
    retry_in_s: float


class JobClaimed(NamedTuple):
    """A node received a job and starts to work on it."""

    key: JobKey
    model: str


class JobSkipped(NamedTuple):
    """A node received a job that it has already run or runs, and does not run it again."""

    key: JobKey
    reason: str


class JobEnded(NamedTuple):
    """A job has a result, which is kept in the outbox.

    ``executor`` is empty and ``error`` is not when the job failed.
    """

    key: JobKey
    executor: str
    model: str
    took_s: float
    output_tokens: int | None
    error: str = ""


class ResultAccepted(NamedTuple):
    """The source took a result; ``took_s`` is from the job's receipt, ``already`` if it had it before."""

    key: JobKey
    took_s: float
    attempts: int
    already: bool


class ResultDelayed(NamedTuple):
    """A result could not be handed over yet; it is tried again in ``retry_in_s``."""

    key: JobKey
    attempt: int
    reason: str
    retry_in_s: float


class ResultBuried(NamedTuple):
    """A result was refused for good, or expired, and is kept as a dead letter."""

    key: JobKey
    reason: str


class ResultUnsafe(NamedTuple):
    """A finished result could not be put on disk yet; the node holds it and its slot, and tries again."""

    key: JobKey
    reason: str


class ResultLost(NamedTuple):
    """A claimed job ended without a kept result: the disk took none until the program had to end."""

    key: JobKey
    reason: str


class PointsChecked(NamedTuple):
    """The gateway told a node's points."""

    node: NodeId
    points: Points


class ModelsAnnounced(NamedTuple):
    """A node told the gateway which models it offers."""

    node: NodeId
    models: tuple[str, ...]


class AuthHealthChanged(NamedTuple):
    """The auth service is held to be healthy, or not."""

    state: str
    reason: str


class ProxyChecked(NamedTuple):
    """A proxy was tried: ``error`` is empty when it is good. ``proxy`` is its address without credentials."""

    proxy: str
    took_s: float
    error: str = ""


class ProxyAssigned(NamedTuple):
    """A node goes through this proxy from now on."""

    node: NodeId
    proxy: str


class EngineChanged(NamedTuple):
    """An engine was found, or is missing."""

    engine: str
    available: bool
    reason: str


class EngineCalled(NamedTuple):
    """An engine answered a request, or failed to; ``error`` is empty when it answered."""

    engine: str
    model: str
    took_s: float
    output_tokens: int | None
    error: str = ""


class Notice(NamedTuple):
    """Something that people should know and that no other event says."""

    topic: str
    text: str
    node: NodeId | None = None


class Crash(NamedTuple):
    """A task died of a defect; its owner goes on. ``trace`` has no secrets in it."""

    task: str
    error: str
    trace: str
    node: NodeId | None = None


Event: TypeAlias = (
    LifeChanged
    | SessionChanged
    | HoldsChanged
    | PollStarted
    | PollEnded
    | PollFailed
    | StepEnded
    | StepRetried
    | JobClaimed
    | JobSkipped
    | JobEnded
    | ResultAccepted
    | ResultDelayed
    | ResultBuried
    | ResultUnsafe
    | ResultLost
    | PointsChecked
    | ModelsAnnounced
    | AuthHealthChanged
    | ProxyChecked
    | ProxyAssigned
    | EngineChanged
    | EngineCalled
    | Notice
    | Crash
)
