"""What readers of the live page are sent: events of a stream, each made once however many read."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from typing import Final

from pydantic_core import to_json

from node.loadtest.live.document import is_ended, plan_document, state_document
from node.loadtest.live.tracks import Latencies, Place, Track, measured_rows, standing_rows
from node.loadtest.live.trail import Trail
from node.loadtest.live.watched import WatchedRun
from node.runtime.signals import Bell

MAX_READERS: Final = 16

_LOOK_S: Final = 2.0
"""A reader looks that often whether something is new, tick or not."""

_RETRY: Final = b"retry: 2000\n\n"
_ALIVE: Final = b": alive\n\n"


class Feed:
    """Follows a run for its readers. Nothing is worked out while nobody reads.

    A reader has no queue: it is told how the run stands when it has taken what it was told before. ``now`` gives Unix
    seconds that no step moves. By ``run_id`` a page knows that another run is told of.
    """

    def __init__(self, run: WatchedRun, run_id: str, now: Callable[[], float]) -> None:
        self._run = run
        self._run_id = run_id
        self._trail = Trail(now)
        self._tracks = (
            Track("measured", lambda: run.figures.series, measured_rows(Latencies())),
            Track("standing", lambda: self._trail.series, standing_rows),
        )
        self._bells: list[Bell] = []
        self._ticks = 0
        self._state: tuple[object, bytes] | None = None
        self._blocks: dict[tuple[str, int, int], bytes] = {}
        self._is_closed = False

    @contextmanager
    def following(self) -> Iterator[None]:
        """Hear the run's ticks within the block, and end all readers after it."""
        end = self._run.on_tick(self._hear)
        try:
            yield
        finally:
            end()
            self._is_closed = True
            self._ring()

    @property
    def is_full(self) -> bool:
        """Whether there are as many readers as there may be."""
        return len(self._bells) >= MAX_READERS

    def state(self) -> bytes:
        """How the run stands, as JSON."""
        run = self._run
        version = (self._ticks, run.standing, run.verdict)
        if self._state is None or self._state[0] != version:
            self._state = (version, to_json(state_document(run, self._trail), inf_nan_mode="null"))
        return self._state[1]

    async def events(self) -> AsyncIterator[bytes]:
        """A stream of server-sent events: ``plan``, then ``cells``, ``marks``, ``errors`` and ``state``, at last ``end``.

        It ends when the run is judged, with all that was said, or when nobody follows the run any more.
        """
        bell = Bell()
        self._bells.append(bell)
        try:
            yield _RETRY + _event("plan", plan_document(self._run.plan, self._run.gateway, self._run_id))
            async for chunk in self._told_until_the_end(bell):
                yield chunk
        finally:
            self._bells.remove(bell)

    async def _told_until_the_end(self, bell: Bell) -> AsyncIterator[bytes]:
        places = [(track, Place()) for track in self._tracks]
        said: dict[str, object] = {}
        while not self._is_closed:
            # Before the rest is read, which takes as long as its reader does: no state comes before its figures, after
            # which none that draws them might come.
            is_judged, ticks, is_over = self._run.verdict is not None, self._ticks, is_ended(self._run)
            state = self.state()
            if said.get("ticks") != ticks or is_judged:
                for track, place in places:
                    for at, until in place.spans(track, is_over=is_over):
                        yield self._block(track, at, until)
                        await asyncio.sleep(0)
            said["ticks"] = ticks
            news = b"".join(self._news(said, state))
            yield news or _ALIVE
            if is_judged:
                yield _event("end", {})
                return
            await bell.wait(_LOOK_S)

    def _news(self, said: dict[str, object], state: bytes) -> Iterator[bytes]:
        """What has changed since it was said; ``said`` is brought up to date."""
        figures = self._run.figures
        now: dict[str, object] = {
            "marks": tuple(figures.series.marks),
            "errors": tuple(figures.errors.most_common()),
        }
        for name, content in now.items():
            if said.get(name) != content:
                said[name] = content
                yield _event(name, content)
        if said.get("state") != state:
            said["state"] = state
            yield _framed("state", state)

    def _block(self, track: Track, at: int, until: int) -> bytes:
        """The cells as an event, which are the same until the next tick for all who read them."""
        key = (track.name, at, until)
        if key not in self._blocks:
            self._blocks[key] = _event("cells", track.block(at, until))
        return self._blocks[key]

    def _hear(self) -> None:
        if not is_ended(self._run):
            self._trail.note(self._run.standing)
        self._ticks += 1
        self._blocks.clear()
        self._ring()

    def _ring(self) -> None:
        for bell in self._bells:
            bell.ring()


def _event(name: str, content: object) -> bytes:
    return _framed(name, to_json(content, inf_nan_mode="null"))


def _framed(name: str, json: bytes) -> bytes:
    return b"event: %b\ndata: %b\n\n" % (name.encode(), json)
