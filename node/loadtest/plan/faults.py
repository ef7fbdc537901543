"""What goes wrong on purpose, and when."""

from __future__ import annotations

from typing import Annotated, Literal, Self, TypeAlias

from pydantic import Field, model_validator

from node.loadtest.plan.quantities import duration_text, number_text, share_text
from node.loadtest.plan.vocabulary import PositiveCount, PositiveSeconds, Seconds, Share, Table, fault


class Fault(Table):
    """Something that goes wrong at a time."""

    at_s: Seconds


class FaultOfNodes(Fault):
    """What befalls some of the nodes that run: a ``share`` of them, one at least, or a ``count``."""

    share: Annotated[Share, Field(gt=0)] | None = None
    count: PositiveCount | None = None

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        if (self.share is None) == (self.count is None):
            problem = "neither share nor count is given" if self.share is None else "both share and count are given"
            raise fault(problem, 'write one of them, such as share = "10%"')
        return self

    @property
    def part(self) -> str:
        """Whom it befalls, for people."""
        if self.count is not None:
            return f"{self.count} node{'s' if self.count > 1 else ''}"
        return share_text(self.share or 0.0)

    def number_of(self, running: int) -> int:
        """How many of this many nodes it befalls."""
        if self.count is not None:
            return min(self.count, running)
        return min(running, max(1, round((self.share or 0.0) * running)))


class Lasting(FaultOfNodes):
    """What lasts for a time."""

    for_s: PositiveSeconds


class Kill(FaultOfNodes):
    """Nodes end without goodbye, in the middle of whatever they do; they come back after a time, or not at all."""

    kind: Literal["kill"]
    restart_after_s: PositiveSeconds | None = None

    def __str__(self) -> str:
        back = "" if self.restart_after_s is None else f", back after {duration_text(self.restart_after_s)}"
        return f"kill {self.part}{back}"


class ExpireTokens(Fault):
    """All tokens given out so far count no more. The sandbox alone can be told to."""

    kind: Literal["expire-tokens"]

    def __str__(self) -> str:
        return "all tokens expire (sandbox)"


class Slow(Lasting):
    """Nodes take ``factor`` times as long for a job."""

    kind: Literal["slow"]
    factor: Annotated[float, Field(gt=1, le=10_000)]

    def __str__(self) -> str:
        return f"{self.part} slow ×{number_text(self.factor)} for {duration_text(self.for_s)}"


class Silent(Lasting):
    """Nodes take jobs and never answer them."""

    kind: Literal["silent"]

    def __str__(self) -> str:
        return f"{self.part} never answer for {duration_text(self.for_s)}"


class AnswerTwice(Lasting):
    """Nodes send each result a second time after it was accepted."""

    kind: Literal["answer-twice"]

    def __str__(self) -> str:
        return f"{self.part} answer twice for {duration_text(self.for_s)}"


class Garbage(Lasting):
    """Nodes send what is no result in place of results; another node gets the job when its lease ends."""

    kind: Literal["garbage"]

    def __str__(self) -> str:
        return f"{self.part} send garbage for {duration_text(self.for_s)}"


class Unreachable(Fault):
    """No node reaches the gateway: connections are cut and none is made."""

    kind: Literal["unreachable"]
    for_s: PositiveSeconds

    def __str__(self) -> str:
        return f"gateway unreachable for {duration_text(self.for_s)}"


PlannedFault: TypeAlias = Annotated[
    Kill | ExpireTokens | Slow | Silent | AnswerTwice | Garbage | Unreachable, Field(discriminator="kind")
]


def end_s(planned: PlannedFault) -> float | None:
    """When it is over: for a kill when the nodes come back, None where they do not; at once for what takes no time."""
    match planned:
        case Kill():
            return None if planned.restart_after_s is None else planned.at_s + planned.restart_after_s
        case ExpireTokens():
            return planned.at_s
        case _:
            return planned.at_s + planned.for_s
