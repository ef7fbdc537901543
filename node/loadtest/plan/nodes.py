"""The nodes of a plan: how many there are when, what they offer, and their rhythm."""

from __future__ import annotations

from bisect import bisect_right
from itertools import accumulate
from typing import Annotated, Literal, TypeAlias, assert_never

from pydantic import Field

from node.loadtest.plan.chance import Chance
from node.loadtest.plan.curve import Curve, Segment
from node.loadtest.plan.vocabulary import Count, Name, PositiveSeconds, Share, Table


class Ramp(Table):
    """From as many nodes as there are to ``to`` of them, evenly over a time; it may lead down."""

    kind: Literal["ramp"]
    to: Count
    over_s: PositiveSeconds


class Hold(Table):
    """As many as there are, for a time."""

    kind: Literal["hold"]
    for_s: PositiveSeconds


class Spike(Table):
    """``to`` nodes at once for a time, then as many as before at once."""

    kind: Literal["spike"]
    to: Count
    for_s: PositiveSeconds


class Storm(Table):
    """``to`` nodes at once, which stay: all that are new register at the same moment. It takes no time itself."""

    kind: Literal["storm"]
    to: Count


Stage: TypeAlias = Annotated[Ramp | Hold | Spike | Storm, Field(discriminator="kind")]


class Offer(Table):
    """Models that a part of the nodes offers; its part is its weight among those of all offers."""

    models: Annotated[tuple[Name, ...], Field(strict=False, min_length=1)]
    weight: Annotated[float, Field(gt=0, le=1e6)] = 1.0


class NodesPlan(Table):
    """The population. Stages follow one another from the start, with no node; the last level stays to the end."""

    stages: Annotated[tuple[Stage, ...], Field(strict=False, min_length=1)]
    offers: Annotated[tuple[Offer, ...], Field(strict=False, min_length=1)] = (Offer(models=("llama3.1:latest",)),)
    slots: Annotated[int, Field(ge=1, le=256)] = 1
    """Jobs that a node runs at the same time."""
    poll_cycle_s: Annotated[PositiveSeconds, Field(ge=0.05, le=3600)] = 5.0
    """From one poll of an idle node to the next."""
    poll_jitter: Share = 0.1
    """Part of the cycle by which a wait is shortened or lengthened at random."""
    job_deadline_s: PositiveSeconds | None = None
    """What a job may take; None: what the lease leaves room for, 230 s at most."""
    result_timeout_s: PositiveSeconds | None = None
    """What a result's request may take; None: a tenth of the lease, 30 s at most."""

    @property
    def models(self) -> frozenset[str]:
        """All models that some node offers."""
        return frozenset(model for offer in self.offers for model in offer.models)

    @property
    def stages_s(self) -> float:
        """The time that all stages take."""
        return sum(_length_s(stage) for stage in self.stages)

    def curve(self, duration_s: float) -> Curve:
        """How many nodes there are to be over time, up to the end of the run."""
        segments: list[Segment] = []
        at_s, level = 0.0, 0
        for stage in self.stages:
            end_s = at_s + _length_s(stage)
            match stage:
                case Ramp():
                    segments.append(Segment(at_s, end_s, level, stage.to))
                    level = stage.to
                case Hold():
                    segments.append(Segment(at_s, end_s, level, level))
                case Spike():
                    segments.append(Segment(at_s, end_s, stage.to, stage.to))
                case Storm():
                    level = stage.to
                case _:
                    assert_never(stage)
            at_s = end_s
        return Curve((*segments, Segment(at_s, max(at_s, duration_s), level, level)))


class OfferDraw:
    """Which models each node offers: shares hold among few nodes, too, and depend on seed and number alone."""

    def __init__(self, plan: NodesPlan, seed: int) -> None:
        self._offers = plan.offers
        self._bounds = list(accumulate(offer.weight for offer in plan.offers))
        self._chance = Chance(seed, "offers")

    def of(self, node: int) -> tuple[str, ...]:
        """The models of the node with this number, which counts from 0."""
        place = bisect_right(self._bounds, self._chance.spread(node) * self._bounds[-1])
        return self._offers[min(place, len(self._offers) - 1)].models


def _length_s(stage: Stage) -> float:
    match stage:
        case Ramp():
            return stage.over_s
        case Hold() | Spike():
            return stage.for_s
        case Storm():
            return 0.0
        case _:
            assert_never(stage)
