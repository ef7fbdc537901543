"""A job, and what happened to it."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any, Final, Literal, NamedTuple

from node.domain.ids import JobId, NodeId
from node.domain.secret import Secret
from node.sandbox.broker import Ticket
from node.sandbox.sums import Status

MAX_RECEIPTS: Final = 100
"""Results of one job that are noted beside its answer; more are counted alone."""

HowEnded = Literal["answered", "lapsed", "left"]
"""How a lease ended: the job got its answer, the time was over, or the node left."""

Receipt = Literal["accepted", "duplicate", "mismatch", "unclaimed", "dropped"]
"""What became of a result.

``duplicate``: the job had its answer. ``mismatch``: another ``api_key`` than the job's. ``unclaimed``: of a node that
never had the job. ``dropped``: a bug of the gateway forgot it.
"""

JobState = Literal["queued", "leased", "answered", "lost"]
"""Where a job is; ``lost`` is neither queued nor leased nor answered: nobody will ever get it."""


class Claim(NamedTuple):
    """A job was handed to a node; times are Unix seconds.

    ``until`` is what the lease was promised to last, None after a restart. ``ended`` and ``ended_at`` are None while
    it has not, and after a restart.
    """

    node: NodeId
    at: float
    until: float | None = None
    ended: HowEnded | None = None
    ended_at: float | None = None


class Answer(NamedTuple):
    """The one result that was accepted; ``at`` is Unix time in seconds, ``result`` the JSON of a `ResultBody`."""

    node: NodeId
    at: float
    status: Status
    model_name: str
    result: bytes


class Received(NamedTuple):
    """A result that is not the job's answer; ``at`` is Unix time in seconds."""

    node: NodeId
    at: float
    receipt: Receipt
    status: Status


@dataclass(slots=True, eq=False)
class JobRecord:
    """One job. ``seq`` counts submissions from 1; ``submitted_at`` is Unix time in seconds, NaN of one never submitted."""

    job_id: JobId
    seq: int
    model: str
    api_key: Secret
    submitted_at: float
    body: bytes = field(repr=False)
    """The JSON of its `JobData`, ready to be handed out; empty once there is an answer."""
    claims: list[Claim] = field(default_factory=list)
    answer: Answer | None = field(default=None, repr=False)
    credits: tuple[NodeId, ...] = ()
    """The nodes that were credited for it, once for each time; a failed job earns no credit."""
    refused: int = 0
    """Results that came after the answer."""
    received: tuple[Received, ...] = ()
    """Results beside the answer, `MAX_RECEIPTS` at most."""
    returned_at: float = -math.inf
    """Monotonic time at which it was last queued again."""

    @property
    def ticket(self) -> Ticket:
        """Its place in the queue."""
        return Ticket(self.job_id, self.model, self.seq)

    def claimed_by(self, node: NodeId) -> bool:
        """Whether the job was ever handed to this node."""
        return any(claim.node == node for claim in self.claims)

    def lease_ended(self, node: NodeId, how: HowEnded, at: float) -> None:
        """The running lease of this node, if it has one, ended at this Unix time."""
        for place in range(len(self.claims) - 1, -1, -1):
            claim = self.claims[place]
            if claim.node == node:
                if claim.ended is None:
                    self.claims[place] = Claim(claim.node, claim.at, claim.until, how, at)
                return

    def note(self, received: Received) -> None:
        """Note a result that is not the answer."""
        if len(self.received) < MAX_RECEIPTS:
            self.received = (*self.received, received)

    def row(self, state: JobState) -> dict[str, Any]:
        """The job for a report: no prompt, no answer, no key."""
        answer = self.answer
        return {
            "job_id": self.job_id,
            "seq": self.seq,
            "model": self.model,
            "submitted_at": None if math.isnan(self.submitted_at) else self.submitted_at,
            "state": state,
            "claims": [{"node": claim.node, "at": claim.at} for claim in self.claims],
            "accepted": None
            if answer is None
            else {"node": answer.node, "at": answer.at, "status": answer.status, "model_name": answer.model_name},
            "refused": self.refused,
        }
