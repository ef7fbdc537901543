"""How a node misbehaves at present."""

from __future__ import annotations


class Behaviour:
    """One node's faults that are in force, over all its lives. Several at a time add up."""

    __slots__ = ("_answering_twice", "_garbling", "_silent", "slowness")

    def __init__(self) -> None:
        self.slowness = 1.0
        """How many times as long its jobs take."""
        self._silent = 0
        self._answering_twice = 0
        self._garbling = 0

    @property
    def is_silent(self) -> bool:
        """Whether it takes jobs and never answers."""
        return self._silent > 0

    @property
    def answers_twice(self) -> bool:
        """Whether it sends each result that is taken a second time."""
        return self._answering_twice > 0

    @property
    def garbles(self) -> bool:
        """Whether it sends what is no result."""
        return self._garbling > 0

    def slow(self, factor: float, *, on: bool) -> None:
        """Begin or end taking ``factor`` times as long."""
        self.slowness = self.slowness * factor if on else self.slowness / factor

    def silence(self, *, on: bool) -> None:
        """Begin or end never answering."""
        self._silent += 1 if on else -1

    def answer_twice(self, *, on: bool) -> None:
        """Begin or end answering twice."""
        self._answering_twice += 1 if on else -1

    def garble(self, *, on: bool) -> None:
        """Begin or end sending garbage."""
        self._garbling += 1 if on else -1
