"""What can be wrong with a job, each kind defined once: reports quote the definitions."""

from __future__ import annotations

from enum import Enum


class Kind(Enum):
    """A kind of finding: its ``label`` in thresholds and reports, and what it means.

    A submitted job without a result, when all has settled, is of exactly one of the kinds lost, orphaned, leaked
    lease and stuck. All other kinds may come together.
    """

    LOST = (
        "lost",
        (
            "Submitted and worked on, and when all has settled there is no result: the gateway told a node that it has the "
            "result, or a live node gave the job back or was refused, and it is not handed out again."
        ),
    )
    ORPHANED = (
        "orphaned",
        "Submitted, claimed by a node that then crashed or left, and not handed out again though the lease is over.",
    )
    LEAKED_LEASE = (
        "leaked_lease",
        (
            "The lease was never given back: a sandbox's ledger shows that it went on when the result was taken, or that "
            "it is over and still counted; or nothing that its living node sent was taken, and though the lease is over "
            "the job was not handed out again."
        ),
    )
    STUCK = (
        "stuck",
        "Submitted, without a result, and none of the above: never handed out, queued, or under a lease that still runs.",
    )
    DUPLICATED = ("duplicated", "The gateway took more results for the job as new than it wants of one.")
    DOUBLE_CREDITED = (
        "double_credited",
        (
            "Credited more often than the gateway takes results. Examples are jobs where a ledger shows their credits, "
            "else nodes that were credited with more jobs than they can have had accepted."
        ),
    )
    UNCREDITED = (
        "uncredited",
        (
            "A result was taken and not credited. Examples are jobs where a ledger shows their credits, else nodes that "
            "were credited with fewer jobs than the gateway took from them, lost and duplicated ones left out."
        ),
    )
    MISCREDITED = ("miscredited", "Credited to a node whose result was not taken.")
    UNCLAIMED_ANSWER = (
        "unclaimed_answer",
        "The job has a result that comes from a node to which it was never handed out.",
    )
    DOUBLE_DELIVERED = (
        "double_delivered",
        "Handed out while as many leases as the gateway wants of a job still ran.",
    )
    LATE_DELIVERED = ("late_delivered", "Handed out although the gateway had taken all results that it wants.")
    ALTERED = ("altered", "The stored result is none of those that nodes sent.")
    WRONG_MODEL = (
        "wrong_model",
        (
            "Handed out with another model than was asked for, or to a node that does not offer it, or stored under another "
            "model than the node named."
        ),
    )
    PHANTOM = ("phantom", "Handed out, and never submitted.")
    MISCOUNTED = (
        "miscounted",
        (
            "Several submissions were given one id; or the gateway's count of jobs grew by another number than were "
            "submitted, by so many."
        ),
    )
    INTRUSION = (
        "intrusion",
        (
            "Something was granted that must be refused: a request with a forged or an expired token, or one that ends "
            "another node's session. Examples are such requests."
        ),
    )

    def __init__(self, label: str, meaning: str) -> None:
        self.label = label
        self.meaning = meaning
