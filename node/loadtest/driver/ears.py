"""All that listens to a run, and the driver's own words to it."""

from __future__ import annotations

from collections.abc import Callable

from node.domain.ids import JobId, NodeId
from node.loadtest.audit.watch import Watch
from node.loadtest.driver.muster import Muster
from node.loadtest.figures.health import Health
from node.loadtest.figures.recorder import Recorder


class Ears:
    """Recorder of figures, watch of the audit, generator's notes of itself, muster of nodes: told of what no event says."""

    def __init__(self, recorder: Recorder, watch: Watch, health: Health, muster: Muster) -> None:
        self.recorder = recorder
        self.watch = watch
        self.health = health
        self.muster = muster
        self.on_taken: Callable[[JobId], object] = lambda _: None

    def offered(self) -> None:
        """See `node.loadtest.driver.submitter.Submissions.offered`."""
        self.recorder.offered()
        self.health.offered()

    def sent(self, late_s: float) -> None:
        """See `node.loadtest.driver.submitter.Submissions.sent`."""
        self.health.sent(late_s)

    def taken(self, job: JobId, model: str, intended_at: float) -> None:
        """See `node.loadtest.driver.submitter.Submissions.taken`."""
        self.watch.submitted(job, model, intended_at)
        self.recorder.submitted(job, intended_at)
        self.on_taken(job)

    def withheld(self, late_s: float) -> None:
        """See `node.loadtest.driver.submitter.Submissions.withheld`: the generator was there in time, or not."""
        self.recorder.withheld()
        self.health.sent(late_s)

    def failed(self, reason: str, intended_at: float, *, is_unconfirmed: bool) -> None:
        """See `node.loadtest.driver.submitter.Submissions.failed`."""
        self.recorder.submit_failed(reason, intended_at)
        if is_unconfirmed:
            self.watch.unconfirmed()

    def crashed(self, nodes: list[NodeId]) -> None:
        """These nodes have just been ended without goodbye."""
        self.watch.crashed(nodes)
        self.recorder.crashed(nodes)
        self.muster.crashed(nodes)
