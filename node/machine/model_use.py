"""Which models run, and when each was last used."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from node.domain.events import JobClaimed, JobEnded, ResultLost
from node.domain.ids import JobKey
from node.domain.model_names import full_name
from node.ports.clock import Clock


class ModelUse:
    """Knows a model by its full name (`node.domain.model_names.full_name`). One never heard of counts as used when first
    asked about: what somebody else loaded is left alone for a while too.

    A subscriber of job events: the model that an open job asks for counts as running.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._last: dict[str, float] = {}
        self._running: Counter[str] = Counter()
        self._jobs: dict[JobKey, str] = {}
        self._sizes: dict[str, int] = {}

    def handlers(self) -> Mapping[type[Any], Callable[[Any], object]]:
        """What to call for which kind of event, as an event bus asks for it."""
        return {JobClaimed: self._on_claimed, JobEnded: self._on_over, ResultLost: self._on_over}

    def used(self, model: str) -> None:
        """It was used right now."""
        self._last[full_name(model)] = self._clock.monotonic()

    @contextmanager
    def using(self, model: str) -> Iterator[None]:
        """Within this block it runs."""
        key = full_name(model)
        self._begin(key)
        try:
            yield
        finally:
            self._end(key)

    def is_idle(self, key: str, for_s: float) -> bool:
        """Whether it does not run and was not used for so long."""
        return not self.runs(key) and self.last_used(key) + for_s <= self._clock.monotonic()

    def runs(self, key: str) -> bool:
        """Whether it runs."""
        return self._running[key] > 0

    def last_used(self, key: str) -> float:
        """When it was last used, in the event loop's time."""
        return self._last.setdefault(key, self._clock.monotonic())

    def note_size(self, key: str, size: int | None) -> None:
        """Remember what it takes of the memory; None where that is not known."""
        if size is not None:
            self._sizes[key] = size

    def size(self, key: str) -> int | None:
        """What was noted of its size."""
        return self._sizes.get(key)

    def forget_all_but(self, keys: Iterable[str]) -> None:
        """Forget the uses of models that are none of these and do not run: askers can name any number of them."""
        kept = {*keys, *self._running}
        self._last = {key: at for key, at in self._last.items() if key in kept}

    def _begin(self, key: str) -> None:
        self._running[key] += 1
        self._last[key] = self._clock.monotonic()

    def _end(self, key: str) -> None:
        self._last[key] = self._clock.monotonic()
        self._running[key] -= 1
        if self._running[key] <= 0:
            del self._running[key]

    def _on_claimed(self, event: JobClaimed) -> None:
        if event.model and event.key not in self._jobs:
            self._jobs[event.key] = key = full_name(event.model)
            self._begin(key)

    def _on_over(self, event: JobEnded | ResultLost) -> None:
        if (key := self._jobs.pop(event.key, None)) is not None:
            self._end(key)
