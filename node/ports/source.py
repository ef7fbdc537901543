"""Where jobs come from and results go."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from node.domain.ids import SourceId
from node.domain.jobs import Job
from node.domain.results import FinishedJob
from node.domain.verdict import Verdict


class JobSource(Protocol):
    """One node's way to its jobs."""

    @property
    def source_id(self) -> SourceId:
        """Names the source in keys: results go back to the source they came from."""
        ...

    async def claim(self, still_wanted: Callable[[], bool] | None = None) -> Job | None:
        """Ask for one job; None when there is none. Tried once.

        A source that has to wait before it can ask calls ``still_wanted`` after the wait: a node that has no
        slot, disk or engine by then must not be given a job.

        Raises:
            Withdrawn: it was not wanted any more; nothing was asked.
            TryLater: a passing fault.
            SessionLost: the session is gone.
            StepFault: the answer ends the session.
            StepRefused: the source said no.
        """
        ...

    async def settle(self, finished: FinishedJob) -> Verdict:
        """Hand a result over, once, and say what became of it. A denied session is renewed on the way.

        Never raises `NodeError`: what went wrong is in the verdict (``RETRY``, ``SESSION_LOST``, ``FAULT``, …).
        """
        ...
