"""What a reply of the other side means for a node: the words of "The verdict" in docs/protocol.md."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Ruling(Enum):
    """The one thing to do next."""

    OK = "ok"
    NO_JOB = "no job"
    """A poll was answered, with nothing to do."""
    ALREADY = "already there"
    """The result had been taken before: done."""
    PENDING = "pending"
    """Ask again later: no failure."""
    RETRY = "try again"
    """A passing fault: back off first."""
    RENEW = "renew the session and repeat the step once"
    SESSION_LOST = "session lost"
    """Start again from the proxy check."""
    IDENTITY_REFUSED = "identity refused"
    """Secret or identity was denied."""
    DEAD_LETTER = "refused for good"
    """This result will never be taken."""
    REFUSED = "refused"
    """This step will never succeed as it was asked."""
    FAULT = "fault"
    """The session ends, and the node recovers."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """A ruling, a sentence that says why, and the least time in seconds to wait before a retry, if one was named."""

    ruling: Ruling
    reason: str = ""
    retry_after_s: float | None = None
