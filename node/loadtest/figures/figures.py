"""All figures of a run, or of one process's share of it: they merge without loss, and travel as JSON."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final

from node.loadtest.figures.histogram import Histogram
from node.loadtest.figures.reasons import Reasons
from node.loadtest.figures.series import Series

VERSION: Final = 1


class Measure(StrEnum):
    """What is timed. A time begins when its work was meant to begin, be that before it could."""

    REGISTER = "register"
    """Step 4 of the protocol, with its retries."""
    POLL = "poll"
    """A poll that brought a job, from the time at which it was due."""
    EMPTY_POLL = "poll_empty"
    """A poll that brought none, likewise."""
    LATENESS = "lateness"
    """How long after its time a poll began: the generator's share of the two above."""
    RESULT = "result"
    """From a result's being kept in the outbox to its acceptance, retries included."""
    RENEWAL = "renewal"
    """From a token's near end or denial to the next one."""
    SUBMIT = "submit"
    """A submission that the gateway took, from the time at which the plan meant it to be made."""
    FAILED_POLL = "failed_poll"
    """A poll that failed, from the time at which it was due to the failure. None is filled in."""
    FAILED_SUBMIT = "failed_submit"
    """A submission that failed, from its intended time; one that the end of the run cut off counts as old as it was."""
    CLAIM = "submitted_claimed"
    """From a job's intended submission to its first claim."""
    WORK = "claimed_accepted"
    """From a job's receipt to its result's acceptance."""
    JOB = "submitted_accepted"
    """From a job's intended submission to its result's first acceptance."""
    REDELIVERY = "crash_redelivered"
    """From the crash of a job's node to the job's next claim."""


class Count(StrEnum):
    """What is counted, besides how often each `Measure` was taken."""

    OFFERED = "offered"
    """Jobs that the plan meant to be submitted by now."""
    DROPPED = "dropped"
    """Of those, the ones that were not sent, since too many others had no answer yet."""
    SUBMITTED = "submitted"
    SUBMIT_FAILED = "submit_failed"
    CLAIMED = "claimed"
    """Jobs received and begun, each redelivery anew."""
    SKIPPED = "skipped"
    """Jobs that a node received and had already."""
    EXECUTED = "executed"
    FAILED = "failed"
    """Of those executed, the ones that ended in an error."""
    ACCEPTED = "accepted"
    """Results that the gateway took."""
    ALREADY = "already"
    """Results that the gateway had."""
    BURIED = "buried"
    """Results refused for good."""
    UNKEPT = "unkept"
    """Results that a node lost."""
    POLL_FAILED = "poll_failed"
    RETRIED = "retried"
    """Attempts at a step that failed and were repeated."""
    CRASHED = "crashed"
    """Nodes ended without goodbye."""


def _histograms() -> dict[Measure, Histogram]:
    return {measure: Histogram() for measure in Measure}


@dataclass(slots=True, eq=False)
class Figures:
    """Latencies, counts, failures by class, and the figures a second.

    In ``series`` latencies have the name of their `Measure`, counts that of their `Count`, how often a measure was
    taken that of the measure, and nodes by state the name ``nodes.<state>``.
    """

    histograms: dict[Measure, Histogram] = field(default_factory=_histograms)
    counts: Counter[str] = field(default_factory=Counter)
    errors: Reasons = field(default_factory=Reasons)
    series: Series = field(default_factory=Series)

    def merge(self, other: Figures) -> None:
        """Add another share's figures, which stay as they are."""
        for measure, histogram in other.histograms.items():
            self.histograms[measure].add(histogram)
        self.counts.update(other.counts)
        self.errors.merge(other.errors)
        self.series.merge(other.series)

    def to_document(self) -> dict[str, Any]:
        """The figures for JSON; histograms are in HdrHistogram's own format."""
        return {
            "v": VERSION,
            "histograms": {measure.value: histogram.encode() for measure, histogram in self.histograms.items()},
            "counts": dict(self.counts),
            "errors": dict(self.errors.most_common()),
            "series": self.series.to_document(),
        }

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> Figures:
        """Read what `to_document` made.

        Raises:
            ValueError: it is of a later version, or not that.
        """
        try:
            if document["v"] != VERSION:
                raise ValueError(f"figures of version {document['v']} are not known")
            read = {Measure(name): Histogram.decode(text) for name, text in document["histograms"].items()}
            return cls(
                _histograms() | read,
                Counter({str(name): int(count) for name, count in document["counts"].items()}),
                Reasons({str(name): int(count) for name, count in document["errors"].items()}),
                Series.from_document(document["series"]),
            )
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"these are no figures: {type(error).__name__}") from error
