"""Leaks to be caught: each grows as the fleet works."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from node.domain.jobs import ChatPayload
from node.domain.results import Generation
from node.executors.synthetic import SyntheticExecutor
from node.ports.executor import Partials


class RememberingExecutor(SyntheticExecutor):
    """Keeps every answer in a list."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.answers: list[Generation] = []

    async def execute(self, payload: ChatPayload, partials: Partials | None = None) -> Generation:
        """Answer, and keep the answer."""
        self.answers.append(await super().execute(payload, partials))
        return self.answers[-1]


class Link:
    """An object a job, each of which holds the one before."""

    def __init__(self, before: Link | None) -> None:
        self.before = before


class ChainingExecutor(SyntheticExecutor):
    """Leaks objects that are in no container."""

    last: Link | None = None

    async def execute(self, payload: ChatPayload, partials: Partials | None = None) -> Generation:
        """Answer, and lengthen the chain."""
        self.last = Link(self.last)
        return await super().execute(payload, partials)


class HoardingExecutor(SyntheticExecutor):
    """Keeps bytes in one object that only grows."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.hoard = bytearray()

    async def execute(self, payload: ChatPayload, partials: Partials | None = None) -> Generation:
        """Answer, and keep a kilobyte."""
        self.hoard.extend(b"x" * 1024)
        return await super().execute(payload, partials)


LEAKS: dict[str, Callable[..., SyntheticExecutor]] = {
    "a list": RememberingExecutor,
    "a chain of objects": ChainingExecutor,
    "a heap of bytes": HoardingExecutor,
}
