"""The book of a load test: every job, and every time that a node had one, some 200 bytes each with its id.

Each process keeps one of what it saw. Books are merged at the end: a job that one process submitted and another one's
node claimed becomes whole by its id.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from math import inf, isnan, nan
from typing import Any, Final

from node.domain.ids import JobId, NodeId
from node.loadtest.audit.columns import Columns, Names
from node.loadtest.audit.presence import Presences
from node.loadtest.audit.views import Claim, Held, JobView, Marked, Said

VERSION: Final = 1

_JOBS: Final = {
    "model": ("H", 0),
    "intended_at": ("d", nan),
    "delay_s": ("f", nan),
    "last": ("i", -1),
    "said": ("B", 0),
    "stored": ("Q", 0),
    "stored_model": ("H", 0),
    "held": ("B", 0),
    "handed": ("B", 0),
    "handed_at": ("d", nan),
    "handed_to": ("I", 0),
}
_CLAIMS: Final = {
    "before": ("i", -1),
    "node": ("I", 0),
    "waited_s": ("f", 0),
    "at": ("d", nan),
    "model": ("H", 0),
    "ended_s": ("f", nan),
    "sent": ("Q", 0),
    "sent_model": ("H", 0),
    "accepted": ("B", 0),
    "accepted_s": ("f", nan),
    "marks": ("B", 0),
}
_MOST_MODELS: Final = 60_000
_SAID: Final = tuple(Said)
_HELD: Final = tuple(Held)


class Book:
    """Jobs by id, claims by job and node, and in ``presences`` when nodes were gone. Times are Unix seconds.

    ``unconfirmed`` counts submissions of which it is not known whether the gateway took them: such jobs have no id.
    ``repeated`` counts those that were given the id of another one.
    """

    def __init__(self) -> None:
        self.presences = Presences()
        self.unconfirmed = 0
        self.repeated = 0
        self.lost_shards = 0
        """Processes whose books never came: what their nodes did is not known."""
        self._rows: dict[JobId, int] = {}
        self._jobs = _columns(_JOBS)
        self._claims = _columns(_CLAIMS)
        self._nodes = Names()
        self._models = Names()
        self._also_sent: dict[JobId, list[tuple[int, str]]] = {}

    def __len__(self) -> int:
        return len(self._rows)

    def submitted(self, job: JobId, model: str, intended_at: float, submitted_at: float) -> None:
        """The gateway took a job."""
        row, jobs = self._row(job), self._jobs.of
        if not isnan(jobs["delay_s"][row]):
            self.repeated += 1
        jobs["model"][row] = self._model(model)
        jobs["intended_at"][row] = intended_at
        jobs["delay_s"][row] = submitted_at - intended_at

    def claimed(self, job: JobId, node: NodeId, at: float, model: str = "", waited_s: float = 0.0) -> None:
        """A node received a job, ``waited_s`` after it had asked for one."""
        claim = self._add(job, node, at)
        self._claims.of["model"][claim] = self._model(model)
        self._claims.of["waited_s"][claim] = waited_s

    def claimed_again(self, job: JobId, node: NodeId, at: float, waited_s: float = 0.0) -> None:
        """A node received a job that it had, and did not begin it anew."""
        self.claimed(job, node, at, waited_s=waited_s)
        self._mark(len(self._claims) - 1, Marked.AGAIN)

    def ended(self, job: JobId, node: NodeId, at: float) -> None:
        """The node has a result."""
        claim, claims = self._claim(job, node, at), self._claims.of
        claims["ended_s"][claim] = at - claims["at"][claim]

    def sent(self, job: JobId, node: NodeId, digest: int, model: str) -> None:
        """The node sends this result, perhaps again; see `node.loadtest.audit.digest.digest_of`."""
        claim, claims = self._claim(job, node), self._claims.of
        first = claims["sent"][claim]
        if not first:
            claims["sent"][claim] = digest
            claims["sent_model"][claim] = self._model(model)
        elif first != digest:
            self._also_sent.setdefault(job, []).append((digest, model))

    def accepted(self, job: JobId, node: NodeId, at: float, *, already: bool) -> None:
        """The gateway took the node's result as new, or (``already``) had one."""
        claim, claims = self._claim(job, node, at), self._claims.of
        if already:
            self._mark(claim, Marked.ALREADY)
        else:
            claims["accepted"][claim] = min(255, claims["accepted"][claim] + 1)
        if isnan(claims["accepted_s"][claim]):
            claims["accepted_s"][claim] = at - claims["at"][claim]

    def buried(self, job: JobId, node: NodeId) -> None:
        """The gateway refused the node's result for good."""
        self._mark(self._claim(job, node), Marked.BURIED)

    def unkept(self, job: JobId, node: NodeId) -> None:
        """The node lost its result."""
        self._mark(self._claim(job, node), Marked.UNKEPT)

    def said(self, job: JobId, said: Said, digest: int = 0, model: str = "") -> None:
        """What ``/get_result`` says of a job; ``digest`` as `node.loadtest.audit.digest.digest` makes it."""
        row, jobs = self._row(job), self._jobs.of
        jobs["said"][row] = said
        jobs["stored"][row] = digest
        jobs["stored_model"][row] = self._model(model)

    def handed(self, job: JobId, times: int, at: float, node: str, held: Held) -> None:
        """What a sandbox's ledger says of a job: how often, when last and to whom it was handed out; where it is."""
        row, jobs = self._row(job), self._jobs.of
        jobs["handed"][row] = min(255, times)
        jobs["handed_at"][row] = at
        jobs["handed_to"][row] = self._nodes.number(node)
        jobs["held"][row] = held

    def knows(self, job: JobId) -> bool:
        """Whether there is anything of this job."""
        return job in self._rows

    def view(self, job: JobId) -> JobView:
        """One job.

        Raises:
            KeyError: the book has nothing of it.
        """
        return self._view(job, self._rows[job])

    def __iter__(self) -> Iterator[JobView]:
        """All jobs; a million take some seconds."""
        for job, row in self._rows.items():
            yield self._view(job, row)

    def merge(self, other: Book) -> None:
        """Add what another process saw."""
        self.unconfirmed += other.unconfirmed
        self.repeated += other.repeated
        self.lost_shards += other.lost_shards
        for job in other:
            if job.is_submitted:
                self.submitted(job.job, job.model, job.intended_at, job.submitted_at)
            for claim in job.claims:
                self._copy(job.job, claim)
            if job.said is not Said.UNASKED:
                self.said(job.job, job.said, job.stored, job.stored_model)
            if job.held is not Held.UNTOLD or job.handed:
                self.handed(job.job, job.handed, job.handed_at, job.handed_to, job.held)
        for name, also in other._also_sent.items():
            self._also_sent.setdefault(name, []).extend(also)
        self.presences.merge(other.presences)

    def to_document(self) -> dict[str, Any]:
        """The book for JSON."""
        return {
            "v": VERSION,
            "ids": list(self._rows),
            "jobs": self._jobs.to_document(),
            "claim_count": len(self._claims),
            "claims": self._claims.to_document(),
            "nodes": self._nodes.texts,
            "models": self._models.texts,
            "also_sent": self._also_sent,
            "presences": self.presences.to_document(),
            "unconfirmed": self.unconfirmed,
            "repeated": self.repeated,
            "lost_shards": self.lost_shards,
        }

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> Book:
        """Read what `to_document` made: by this program, for a row's number is trusted to be one.

        Raises:
            ValueError: it is of a later version, or not that.
        """
        book = cls()
        try:
            if document["v"] != VERSION:
                raise ValueError(f"a book of version {document['v']} is not known")
            book._rows = {JobId(str(job)): row for row, job in enumerate(document["ids"])}
            book._jobs.read(document["jobs"], len(book._rows))
            book._claims.read(document["claims"], int(document["claim_count"]))
            book._nodes, book._models = Names(list(document["nodes"])), Names(list(document["models"]))
            book._also_sent = {
                JobId(job): [(int(digest), str(model)) for digest, model in sent]
                for job, sent in document["also_sent"].items()
            }
            book.presences = Presences.from_document(document["presences"])
            book.unconfirmed, book.lost_shards = int(document["unconfirmed"]), int(document["lost_shards"])
            book.repeated = int(document["repeated"])
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"this is no book: {type(error).__name__}") from error
        return book

    def _row(self, job: JobId) -> int:
        row = self._rows.get(job)
        if row is None:
            row = self._rows[job] = self._jobs.append()
        return row

    def _add(self, job: JobId, node: NodeId, at: float) -> int:
        row = self._row(job)
        claim, claims = self._claims.append(), self._claims.of
        claims["before"][claim] = self._jobs.of["last"][row]
        claims["node"][claim] = self._nodes.number(node)
        claims["at"][claim] = at
        self._jobs.of["last"][row] = claim
        return claim

    def _claim(self, job: JobId, node: NodeId, at: float = nan) -> int:
        """The claim of a job by a node that was begun last; a new one, marked, where none was seen."""
        number, claims = self._nodes.number(node), self._claims.of
        claim = self._jobs.of["last"][self._row(job)]
        while claim >= 0:
            if claims["node"][claim] == number and not claims["marks"][claim] & Marked.AGAIN:
                return int(claim)
            claim = claims["before"][claim]
        claim = self._add(job, node, at)
        self._mark(claim, Marked.UNASKED)
        return claim

    def _mark(self, claim: int, mark: int) -> None:
        self._claims.of["marks"][claim] |= mark

    def _model(self, model: str) -> int:
        # A gateway that makes up a new name for every job must not fill the memory.
        return self._models.number(model if len(self._models.texts) < _MOST_MODELS else "?")

    def _copy(self, job: JobId, claim: Claim) -> None:
        row, claims = self._add(job, claim.node, claim.at), self._claims.of
        claims["waited_s"][row] = claim.at - claim.asked_at if claim.is_delivery else 0.0
        claims["model"][row] = self._model(claim.model)
        claims["sent_model"][row] = self._model(claim.sent_model)
        claims["ended_s"][row] = claim.ended_at - claim.at
        claims["accepted_s"][row] = claim.accepted_at - claim.at
        for name in ("sent", "accepted", "marks"):
            claims[name][row] = getattr(claim, name)

    def _view(self, job: JobId, row: int) -> JobView:
        jobs, models = self._jobs.of, self._models.texts
        claims = []
        at = jobs["last"][row]
        while at >= 0:
            claims.append(self._claim_view(at))
            at = self._claims.of["before"][at]
        claims.reverse()
        if len(claims) > 1:
            claims.sort(key=lambda claim: inf if isnan(claim.at) else claim.at)
        return JobView(
            job=job,
            model=models[jobs["model"][row]],
            intended_at=jobs["intended_at"][row],
            submitted_at=jobs["intended_at"][row] + jobs["delay_s"][row],
            claims=tuple(claims),
            said=_SAID[jobs["said"][row]],
            stored=jobs["stored"][row],
            stored_model=models[jobs["stored_model"][row]],
            held=_HELD[jobs["held"][row]],
            handed=jobs["handed"][row],
            handed_at=jobs["handed_at"][row],
            handed_to=NodeId(self._nodes.texts[jobs["handed_to"][row]]),
            also_sent=tuple(self._also_sent.get(job, ())),
        )

    def _claim_view(self, row: int) -> Claim:
        claims, models = self._claims.of, self._models.texts
        at = claims["at"][row]
        return Claim(
            node=NodeId(self._nodes.texts[claims["node"][row]]),
            asked_at=at - claims["waited_s"][row],
            at=at,
            model=models[claims["model"][row]],
            ended_at=at + claims["ended_s"][row],
            sent=claims["sent"][row],
            sent_model=models[claims["sent_model"][row]],
            accepted=claims["accepted"][row],
            accepted_at=at + claims["accepted_s"][row],
            marks=claims["marks"][row],
        )


def _columns(layout: Mapping[str, tuple[str, float]]) -> Columns:
    return Columns(
        {name: kind for name, (kind, _) in layout.items()}, {name: empty for name, (_, empty) in layout.items()}
    )
