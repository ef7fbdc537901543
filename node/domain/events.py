"""What happens in a fleet, told to whoever listens.

Events are named tuples: immutable and cheap, since a busy fleet makes tens of thousands a second. None holds
a secret, a prompt or an answer. Durations are in seconds, attempts count from 1, and a ``reason`` or ``error``
is a sentence for people, empty where there is none.
"""

from __future__ import annotations

from typing import NamedTuple, TypeAlias

from node.domain.ids import JobId, JobKey, NodeId
from node.domain.jobs import JobKind
from node.domain.results import Points
from node.domain.states import Hold, Life, LifeInput, Session
from node.domain.trace import TraceContext


class LifeChanged(NamedTuple):
    """A node moved to another state; ``reason`` says why where there is more to say than the input."""

    node: NodeId
    before: Life
    input: LifeInput
    after: Life
    reason: str = ""


class SessionChanged(NamedTuple):
    """A node's token was granted, is near its end, was denied or dropped. ``generation`` counts the grants so far."""

    node: NodeId
    state: Session
    generation: int
    reason: str = ""


class HoldsChanged(NamedTuple):
    """All reasons for which a node does not claim from now on; with none it claims."""

    node: NodeId
    holds: Hold


class PollStarted(NamedTuple):
    """A node asks for work; ``lateness_s`` is how long after the time it was due and allowed.

    `PollEnded` or `PollFailed` follows, or the end of the session with `LifeChanged`.
    """

    node: NodeId
    lateness_s: float


class PollEnded(NamedTuple):
    """The source answered after ``took_s``, with a job or (``job`` is None) without."""

    node: NodeId
    took_s: float
    job: JobId | None


class PollFailed(NamedTuple):
    """A poll did not succeed, after ``took_s``; the node tries again in ``retry_in_s``.

    It stays in session, unless this was one failure in a row too many: then that ends, and ``retry_in_s`` is 0.
    """

    node: NodeId
    took_s: float
    reason: str
    retry_in_s: float


class StepEnded(NamedTuple):
    """A step of the protocol other than poll and result ended; ``error`` is empty when it succeeded.

    ``took_s`` is the time of all its ``attempts`` and of the waits between them, but for waits in the auth gate.
    """

    node: NodeId
    step: str
    took_s: float
    attempts: int = 1
    error: str = ""


class StepRetried(NamedTuple):
    """This attempt at a step failed, and the next is in ``retry_in_s``."""

    node: NodeId
    step: str
    attempt: int
    reason: str
    retry_in_s: float


class JobClaimed(NamedTuple):
    """A node received a job and starts to work on it; ``model`` is empty where the job names none."""

    key: JobKey
    model: str
    kind: JobKind = "chat"


class JobSkipped(NamedTuple):
    """A node received a job that it runs already or whose result is known, and does not run it again."""

    key: JobKey
    reason: str


class JobEnded(NamedTuple):
    """A job has a result, which is kept in the outbox.

    ``took_s`` is from the job's receipt to its result. When the job failed ``executor`` is empty, ``error`` is
    not, which may say more than the result does, and ``model`` is the one asked for instead of the one that ran. Token counts, ``first_token_s``, from the
    engine's being asked to its first piece of text, and ``finish_reason`` are None where the engine does not tell.
    """

    key: JobKey
    executor: str
    model: str
    took_s: float
    output_tokens: int | None
    error: str = ""
    prompt_tokens: int | None = None
    first_token_s: float | None = None
    finish_reason: str | None = None


class ResultAccepted(NamedTuple):
    """The source took a result, or (``already``) had it before.

    ``took_s`` is from the job's receipt, be that before a restart; ``attempts`` are those since the last start.
    """

    key: JobKey
    took_s: float
    attempts: int
    already: bool


class ResultDelayed(NamedTuple):
    """A result could not be handed over, or what became of it not be recorded; tried again in ``retry_in_s``."""

    key: JobKey
    attempt: int
    reason: str
    retry_in_s: float


class ResultBuried(NamedTuple):
    """A result was refused for good, or expired, and is kept as a dead letter."""

    key: JobKey
    reason: str


class ResultUnsafe(NamedTuple):
    """A finished result could not be put on disk yet; it is held in memory, its slot busy, and tried again."""

    key: JobKey
    reason: str


class ResultLost(NamedTuple):
    """A claimed job ended without a kept result: the node had to end before the disk took it, or met a defect."""

    key: JobKey
    reason: str


class JobPhases(NamedTuple):
    """Where the time of a job went, in seconds; from ``wait_s`` on the phases follow each other without a gap.

    A job that asked engines several times has the sums of all calls, and what lay between them in ``wait_s``.
    """

    poll_s: float
    """The poll that brought it."""
    wait_s: float
    """From its receipt until an engine worked on it: limits, routes, models fetched, waits between attempts."""
    load_s: float
    """The engine's queue and the loading of the model, where the engine tells."""
    first_token_s: float
    """The rest of the wait for the first piece of text: all of it where the engine does not tell more."""
    generation_s: float
    """From the first piece to the end."""
    keep_s: float
    """Until the result was on disk."""
    submit_s: float
    """Until it was accepted or refused, other attempts and a session that was away included."""


class JobProfiled(NamedTuple):
    """Where the time of a sampled job went, told when its result is accepted or refused.

    ``error`` is why the job failed or its result was refused. ``cpu_s`` is the processor time of the whole process
    and ``loop_lag_s`` how late the event loop was at worst, both from the job's receipt on. ``trace`` is the job's.
    """

    key: JobKey
    model: str
    error: str
    phases: JobPhases
    engine_calls: int
    cpu_s: float
    loop_lag_s: float
    trace: TraceContext


class PointsChecked(NamedTuple):
    """The gateway told a node's points."""

    node: NodeId
    points: Points


class ModelsAnnounced(NamedTuple):
    """A node told the gateway which models it offers, but for the times that a renewed session repeats that."""

    node: NodeId
    models: tuple[str, ...]


class AuthHealthChanged(NamedTuple):
    """The auth circuit moved to ``state``: "closed" (the service is held to be healthy), "open" or "half-open"."""

    state: str
    reason: str


class ProxyChecked(NamedTuple):
    """A proxy was checked, or failed a node that uses it; ``error`` is empty when it is good.

    ``took_s`` is the time of the exchange through it, 0 where a node reports. ``proxy`` is its address without
    credentials.
    """

    proxy: str
    took_s: float
    error: str = ""


class ProxyAssigned(NamedTuple):
    """A node goes through this proxy from now on: its address without credentials."""

    node: NodeId
    proxy: str


class EngineChanged(NamedTuple):
    """An engine was found, or is missing and ``reason`` says why."""

    engine: str
    available: bool
    reason: str


class EngineCalled(NamedTuple):
    """An engine answered a request, failed at it or was cut off; ``error`` is empty when it answered.

    Token counts are None where it does not tell, ``first_token_s`` where no piece of text came. ``is_overload`` says
    that it failed for being full, ``is_refusal`` that it would not run this job, or has not its model: both say nothing
    of its health. ``finish_reason`` is why an answer ended, and ``load_s`` how long the model was queued for and
    loaded, both as the engine tells and None where it does not; ``trace`` is that of the job's payload. That nobody is
    there to ask is told by `EngineChanged`, and as a failure too where the engine was held to be there.
    """

    engine: str
    model: str
    took_s: float
    output_tokens: int | None
    error: str = ""
    prompt_tokens: int | None = None
    first_token_s: float | None = None
    is_overload: bool = False
    is_refusal: bool = False
    finish_reason: str | None = None
    load_s: float | None = None
    trace: TraceContext | None = None


class BreakerChanged(NamedTuple):
    """The circuit before an engine's model moved to ``state``: "closed" (jobs pass), "open" or "half-open"."""

    engine: str
    model: str
    state: str
    reason: str = ""


class FellBack(NamedTuple):
    """A job for one model was given to another, by a declared rule; ``reason`` is why the first did not run it."""

    asked: str
    tried: str
    reason: str


class RuleBroken(NamedTuple):
    """A job was refused by one of the operator's own rules, named as the settings name it."""

    rule: str
    model: str


class ModelMoved(NamedTuple):
    """A model was pulled, loaded or unloaded, or that failed and ``error`` is not empty.

    ``action`` is "pull", "load" or "unload".
    """

    engine: str
    model: str
    action: str
    took_s: float
    error: str = ""


class ModelPulling(NamedTuple):
    """How far the download of a model is, in bytes, told a few times a minute; ``total`` is None while unknown."""

    engine: str
    model: str
    completed: int
    total: int | None


class Notice(NamedTuple):
    """Something that people should know and that no other event says; ``topic`` is one of few words.

    ``is_trouble`` says that somebody should do something about it.
    """

    topic: str
    text: str
    node: NodeId | None = None
    is_trouble: bool = False


class Crash(NamedTuple):
    """A task died of a defect; its owner goes on. ``trace`` lists lines of code, never values."""

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
    | JobProfiled
    | PointsChecked
    | ModelsAnnounced
    | AuthHealthChanged
    | ProxyChecked
    | ProxyAssigned
    | EngineChanged
    | EngineCalled
    | BreakerChanged
    | FellBack
    | RuleBroken
    | ModelMoved
    | ModelPulling
    | Notice
    | Crash
)
