"""Writes the book from what happens in the generator's own nodes."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any, Final

from node.domain import events as ev
from node.domain.ids import JobId, NodeId
from node.domain.results import FinishedJob
from node.loadtest.audit.book import Book
from node.loadtest.audit.digest import digest_of

_LEAVE: Final = "leave"


class Watch:
    """A subscriber of an event bus, and told by the driver what no event says. Times are ``now``'s, Unix seconds.

    What nodes send is known only to who stands between them and their source: call `sent` before each
    `node.ports.source.JobSource.settle`, or leave it out, and altered results read as unknown.
    """

    def __init__(self, book: Book, now: Callable[[], float]) -> None:
        self._book = book
        self._now = now
        self._waited: dict[NodeId, float] = {}

    def handlers(self) -> Mapping[type[Any], Callable[[Any], object]]:
        """What to call for which kind of event, as an event bus asks for it."""
        return {
            ev.PollEnded: self._on_poll_ended,
            ev.JobClaimed: self._on_claimed,
            ev.JobSkipped: self._on_skipped,
            ev.JobEnded: lambda event: self._book.ended(event.key.job, event.key.node, self._now()),
            ev.ResultAccepted: self._on_accepted,
            ev.ResultBuried: lambda event: self._book.buried(event.key.job, event.key.node),
            ev.ResultLost: lambda event: self._book.unkept(event.key.job, event.key.node),
            ev.StepEnded: self._on_step,
            ev.LifeChanged: self._on_life,
            ev.ModelsAnnounced: lambda event: self._book.presences.offered(event.node, event.models),
        }

    def submitted(self, job: JobId, model: str, intended_at: float) -> None:
        """The gateway has just taken a job whose submission the plan meant for that time."""
        self._book.submitted(job, model, intended_at, self._now())

    def unconfirmed(self) -> None:
        """A submission ended without an answer: the gateway may have the job or not."""
        self._book.unconfirmed += 1

    def sent(self, finished: FinishedJob) -> None:
        """A node is about to hand over this result."""
        digest, model = digest_of(finished)
        self._book.sent(finished.key.job, finished.key.node, digest, model)

    def crashed(self, nodes: Collection[NodeId]) -> None:
        """These nodes have just been ended without goodbye."""
        self._book.presences.gone(nodes, self._now())

    def _on_poll_ended(self, event: ev.PollEnded) -> None:
        if event.job is not None:
            self._waited[event.node] = event.took_s

    def _on_claimed(self, event: ev.JobClaimed) -> None:
        node = event.key.node
        self._book.claimed(event.key.job, node, self._now(), event.model, self._waited.pop(node, 0.0))

    def _on_skipped(self, event: ev.JobSkipped) -> None:
        node = event.key.node
        self._book.claimed_again(event.key.job, node, self._now(), self._waited.pop(node, 0.0))

    def _on_accepted(self, event: ev.ResultAccepted) -> None:
        self._book.accepted(event.key.job, event.key.node, self._now(), already=event.already)

    def _on_step(self, event: ev.StepEnded) -> None:
        if event.step == _LEAVE:
            self._book.presences.left(event.node, self._now() - event.took_s)

    def _on_life(self, event: ev.LifeChanged) -> None:
        if event.after.is_over:
            self._book.presences.gone((event.node,), self._now())
