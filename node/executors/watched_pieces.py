"""Whether an answer has begun to be told."""

from __future__ import annotations

from node.ports.executor import Partials


class WatchedPieces:
    """Passes pieces on, where there is somebody to take them, and remembers that one came.

    Once a piece came, a job must not be run again: whoever takes the pieces would see two answers mixed, and where
    nobody does, the engine has already spent its time on this one.
    """

    def __init__(self, taker: Partials | None) -> None:
        self._taker = taker
        self.came = False

    async def push(self, text: str) -> None:
        """See `node.ports.executor.Partials.push`."""
        self.came = True
        if self._taker is not None:
            await self._taker.push(text)
