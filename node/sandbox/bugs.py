"""Bugs that a gateway can have, planted on purpose: what an audit must find."""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeVar, get_args

from node.domain.errors import InputFault, InvalidInput
from node.ports.clock import Random

T = TypeVar("T")

BugKind = Literal[
    "lose-result",
    "false-conflict",
    "double-accept",
    "accept-unclaimed",
    "double-credit",
    "no-credit",
    "credit-other",
    "double-deliver",
    "no-redelivery",
    "leak-lease",
    "short-lease",
    "endless-lease",
    "wrong-model",
    "starve",
    "lose-job",
    "phantom-job",
    "swap-result",
    "corrupt-result",
    "stale-token",
    "forget-node",
]
"""What the gateway does wrong. Its share is a share of the occasions named in `BUGS`."""

BUGS: Final[dict[BugKind, str]] = {
    "lose-result": (
        "Of jobs' first results: answered 200 and forgotten. The lease ends, and the job is never handed out again. "
        "Ledger: an answer that is 'dropped'; the claim has ended as 'answered'; no credit; the job's state is 'lost'."
    ),
    "false-conflict": (
        "Of jobs' first results: answered 409, as if the job had its answer. Everything else is as with lose-result."
    ),
    "double-accept": (
        "Of results for jobs that have their answer, the same node's included: answered 200 instead of 409, stored in "
        "place of the former one, and credited. Ledger: two answers that are 'accepted', two credits."
    ),
    "accept-unclaimed": (
        "Of results from nodes that never had the job: taken like any other. Ledger: an accepted answer of a node that "
        "is in none of the claims."
    ),
    "double-credit": (
        "Of accepted results: counted and credited twice. Ledger: two credits for one accepted answer; the node's count "
        "of jobs and its points are too high."
    ),
    "no-credit": "Of accepted results: neither counted nor credited. Ledger: an accepted answer and no credit.",
    "credit-other": "Of accepted results: counted and credited to another node. Ledger: the credit names that node.",
    "double-deliver": (
        "Of jobs handed out: queued again at once, so that another node gets the job while the lease runs. Ledger: a "
        "claim that begins before the former one's 'until', which is not ended."
    ),
    "no-redelivery": (
        "Of leases that lapse or are given up: the job is not queued again. Ledger: the claim has ended as 'lapsed' or "
        "'left', and the job's state is 'lost'."
    ),
    "leak-lease": (
        "Of acceptances while a lease runs: the lease goes on. The job counts as leased until it lapses, and is then "
        "handed out again though it has its answer; the result of that gets 409, and ends the matter. Ledger: a claim "
        "that is not ended, or 'lapsed', after an accepted answer; then a claim that begins after it."
    ),
    "short-lease": (
        "Of leases: half as long as promised. Ledger: a claim that has 'lapsed' before its 'until', and a next one that "
        "begins before it."
    ),
    "endless-lease": (
        "Of leases: never over, whether the time is up or the node leaves; a result still ends them. Ledger: a claim "
        "that is not ended long after its 'until'; the job's state stays 'leased'."
    ),
    "wrong-model": (
        "Of polls: looked for a job of a model that the node does not offer first. Ledger: a claim of a node whose "
        "models are without the job's."
    ),
    "starve": (
        "Of models, in the order in which they are first asked for, the first one always: their queues are never "
        "served. Ledger: jobs of one model that stay 'queued' without a claim."
    ),
    "lose-job": (
        "Of submissions: told their id and not queued. Ledger: a job without claims whose state is 'lost'; it counts as "
        "submitted."
    ),
    "phantom-job": (
        "Of jobs handed out: queued once more under an id that nobody was told. Ledger: a job that was submitted at no "
        "time (null); it does not count as submitted."
    ),
    "swap-result": (
        "Of accepted results: exchanged, as they are stored, with that of the job accepted before. Ledger: the digests "
        "of the two are exchanged."
    ),
    "corrupt-result": (
        "Of accepted results: stored without the second half of the text and with U+FFFD at its end. Ledger: the digest "
        "is that of what is stored."
    ),
    "stale-token": "Of requests with a token that has expired, or was made to: answered as if it had not.",
    "forget-node": (
        "Of registrations: answered with a good token and forgotten, so that the node's next step is answered 400."
    ),
}
"""What a share of each is taken of, what happens there, and what the gateway's ledger then shows.

The ledger tells what the gateway did, bug or not, in the terms of `node.sandbox.job_rows`.
"""


@dataclass(frozen=True, slots=True)
class Bug:
    """A bug, and the share of its occasions, above 0 and at most 1, at which it strikes.

    Raises:
        ValueError: there is no such bug, or the share is out of its bounds.
    """

    kind: BugKind
    share: float = 1.0

    def __post_init__(self) -> None:
        if self.kind not in get_args(BugKind):
            raise ValueError(f"kind is one of {', '.join(get_args(BugKind))}")
        if not 0 < self.share <= 1:
            raise ValueError("share lies above 0 and is at most 1")

    def __str__(self) -> str:
        return self.kind if self.share == 1 else f"{self.kind}={self.share:g}"


def parse_bugs(texts: Iterable[str], place: str = "--fault") -> tuple[Bug, ...]:
    """Bugs written ``NAME`` or ``NAME=SHARE``, the share as ``0.05`` or ``5%``; without one it is 1.

    Raises:
        InvalidInput: a name is not known or comes twice, or a share is none; all of them at once. ``place`` is where
            they were given.
    """
    bugs: dict[str, Bug] = {}
    faults = []
    for text in texts:
        name, equals, share_text = (part.strip() for part in text.partition("="))
        kind = next((kind for kind in get_args(BugKind) if kind == name), None)
        share = _share(share_text) if equals else 1.0
        if kind is None:
            faults.append(InputFault(f"{place} {text}", f"{name or 'nothing'} is no bug of a gateway", _remedy(name)))
        elif share is None:
            problem = f"{share_text or 'nothing'} is no share above 0 and up to 1"
            faults.append(InputFault(f"{place} {text}", problem, f"write {name}=0.05 or {name}=5%"))
        elif name in bugs:
            faults.append(InputFault(f"{place} {text}", f"{name} is given twice", "leave one of them out"))
        else:
            bugs[name] = Bug(kind, share)
    if faults:
        raise InvalidInput(faults)
    return tuple(bugs.values())


class Bugs:
    """The bugs of one gateway at work: decides when each strikes, and counts.

    From the same random source and the same occasions come the same strikes.
    """

    def __init__(self, bugs: Sequence[Bug], random: Random) -> None:
        self._random = random
        self._shares: dict[str, float] = {bug.kind: bug.share for bug in bugs}
        self._occasions = dict.fromkeys(self._shares, 0)
        self._strikes = dict.fromkeys(self._shares, 0)

    def has(self, kind: BugKind) -> bool:
        """Whether this bug was planted."""
        return kind in self._shares

    def strikes(self, kind: BugKind) -> bool:
        """Whether this bug strikes on this occasion, which is counted; never, for one that was not planted."""
        share = self._shares.get(kind)
        if share is None:
            return False
        self._occasions[kind] += 1
        if share < 1 and self._random.random() >= share:
            return False
        self._strikes[kind] += 1
        return True

    def pick(self, things: Sequence[T]) -> T:
        """One of some things, by chance."""
        return self._random.choice(things)

    def report(self) -> list[dict[str, Any]]:
        """Each bug with its occasions so far, and how often it struck."""
        return [
            {"kind": kind, "share": share, "occasions": self._occasions[kind], "struck": self._strikes[kind]}
            for kind, share in self._shares.items()
        ]


def _share(text: str) -> float | None:
    percent = text.endswith("%")
    try:
        share = float(text.removesuffix("%")) / (100 if percent else 1)
    except ValueError:
        return None
    return share if math.isfinite(share) and 0 < share <= 1 else None


def _remedy(name: str) -> str:
    close = difflib.get_close_matches(name, get_args(BugKind), n=1)
    return f"perhaps {close[0]} is meant" if close else f"there are {', '.join(get_args(BugKind))}"
