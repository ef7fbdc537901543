"""What the audit's book says of one job, for those who read it."""

from __future__ import annotations

from enum import IntEnum
from math import isnan
from typing import Final, NamedTuple

from node.domain.ids import JobId, NodeId


class Said(IntEnum):
    """What the gateway's public ``/get_result`` says of a job."""

    UNASKED = 0
    """It was not asked, or gave no usable answer."""
    PENDING = 1
    SUCCESS = 2
    ERROR = 3

    @property
    def is_answer(self) -> bool:
        """Whether there is a result."""
        return self >= Said.SUCCESS


class Held(IntEnum):
    """Where a sandbox's ledger says that a job is."""

    UNTOLD = 0
    QUEUED = 1
    LEASED = 2
    ANSWERED = 3
    NOWHERE = 4
    """Neither: it will never be handed out again."""


class Marked:
    """What else happened to a job at one node, as bits."""

    AGAIN: Final = 1
    """It was handed to the node once more while the node had it, and was not begun again."""
    ALREADY: Final = 2
    """The gateway said that it had a result."""
    BURIED: Final = 4
    """The gateway refused the result for good."""
    UNKEPT: Final = 8
    """The node lost the result."""
    UNASKED: Final = 16
    """The node was never seen to receive the job."""


class Claim(NamedTuple):
    """A job at one node. Times are Unix seconds, NaN for what did not happen.

    The gateway handed the job out between ``asked_at`` and ``at``. ``model`` is what it was handed out with, ``sent`` the
    digest of the result and ``sent_model`` its model, 0 and empty where none was seen; ``accepted`` is how often the
    gateway took a result as new, ``accepted_at`` when it first said that it has one, ``marks`` bits of `Marked`.
    """

    node: NodeId
    asked_at: float
    at: float
    model: str
    ended_at: float
    sent: int
    sent_model: str
    accepted: int
    accepted_at: float
    marks: int

    @property
    def is_delivery(self) -> bool:
        """Whether the node was seen to receive the job."""
        return not self.marks & Marked.UNASKED

    @property
    def is_taken(self) -> bool:
        """Whether the gateway told the node that it has a result."""
        return self.accepted > 0 or bool(self.marks & Marked.ALREADY)


class JobView(NamedTuple):
    """One job. ``is_submitted`` says that its submission is on the book; times of others are NaN.

    ``claims`` are in the order of time. ``stored`` is the digest of what ``/get_result`` gives, 0 where it was not read;
    ``stored_model`` is empty where the gateway names none. ``handed`` is how often, ``handed_at`` when last and
    ``handed_to`` to which node the sandbox's ledger says that it was handed out: 0, NaN and empty without a ledger.
    ``also_sent`` are digests and models of results that a node sent beside its first one.
    """

    job: JobId
    model: str
    intended_at: float
    submitted_at: float
    claims: tuple[Claim, ...]
    said: Said
    stored: int
    stored_model: str
    held: Held
    handed: int
    handed_at: float
    handed_to: NodeId
    also_sent: tuple[tuple[int, str], ...] = ()

    @property
    def is_submitted(self) -> bool:
        """Whether a submission of this job is on the book."""
        return not isnan(self.submitted_at)

    @property
    def deliveries(self) -> list[Claim]:
        """The claims that nodes were seen to receive."""
        return [claim for claim in self.claims if claim.is_delivery]

    @property
    def sent(self) -> list[tuple[int, str]]:
        """Digests and models of all results that nodes were seen to send."""
        return [*((claim.sent, claim.sent_model) for claim in self.claims if claim.sent), *self.also_sent]

    def is_told_answered(self, copies: int = 1) -> bool:
        """Whether the gateway told so many nodes that it has a result."""
        return sum(claim.is_taken for claim in self.claims) >= copies

    @property
    def accepted_at(self) -> float:
        """When a node first heard that the gateway has a result; NaN while none has."""
        times = [claim.accepted_at for claim in self.claims if claim.is_taken]
        return min(times) if times else float("nan")
