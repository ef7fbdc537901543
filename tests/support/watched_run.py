"""A load test that is watched, and stands as a test wants it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from node.loadtest.driver.run import Phase
from node.loadtest.driver.verdict import Verdict
from node.loadtest.figures.figures import Figures
from node.loadtest.figures.series import Mark
from node.loadtest.live.watched import Standing
from node.loadtest.plan.model import Plan
from node.loadtest.thresholds.threshold import Outcome


class PlayedRun:
    """A `node.loadtest.live.watched.WatchedRun` of real figures, which waits; ``orders`` are what it was told.

    The plan's time 0 is ``begun_at``, Unix seconds.
    """

    def __init__(self, plan: Plan, gateway: str, begun_at: float) -> None:
        self.plan = plan
        self.gateway = gateway
        self.begun_at = begun_at
        self.figures = Figures()
        self.verdict: Verdict | None = None
        self.outcomes: Sequence[Outcome] = ()
        self.orders: list[str] = []
        self.standing = Standing(
            phase=Phase.WAITING,
            is_paused=False,
            elapsed_s=-0.5,
            duration_s=plan.duration_s,
            nodes=0,
            planned_nodes=0,
            states={},
            offered=0,
            submitted=0,
            accepted=0,
            queued=0,
            working=0,
            in_flight=0,
            outbox=0,
            lag_s=0.0,
            cpu=0.0,
        )
        self._ears: list[Callable[[], object]] = []

    def on_tick(self, hear: Callable[[], object]) -> Callable[[], None]:
        self._ears.append(hear)

        def end() -> None:
            if hear in self._ears:
                self._ears.remove(hear)

        return end

    @property
    def watchers(self) -> int:
        return len(self._ears)

    def start(self) -> None:
        self.orders.append("start")
        self.become(phase=Phase.LOAD)

    def pause(self) -> None:
        self.orders.append("pause")
        self.become(is_paused=True)

    def resume(self) -> None:
        self.orders.append("resume")
        self.become(is_paused=False)

    def stop(self) -> None:
        self.orders.append("stop")
        self.become(phase=Phase.SETTLING, is_paused=False)

    def stand(self, **changes: object) -> None:
        """Stand otherwise; nobody is told."""
        self.standing = replace(self.standing, **changes)  # type: ignore[arg-type]

    def become(self, **changes: object) -> None:
        """Stand otherwise, and tell who listens."""
        self.stand(**changes)
        self.tell()

    def tell(self) -> None:
        for hear in list(self._ears):
            hear()

    def mark(self, at_s: float, text: str) -> None:
        self.figures.series.mark(Mark(self.begun_at + at_s, text))
