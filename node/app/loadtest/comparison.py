"""A run against earlier ones: their documents are read, and each metric is better, worse or the same."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from pydantic import ValidationError

from node.domain.errors import InputFault, InvalidInput
from node.loadtest.driver.judged import Stretch, judged_stretch
from node.loadtest.driver.outcome import SCHEMA, LoadOutcome
from node.loadtest.driver.run import Times
from node.loadtest.driver.verdict import Verdict
from node.loadtest.figures.compare import Answer, Comparison, Metric, Run, compare, floors, overall, samples
from node.loadtest.figures.figures import Count, Figures, Measure
from node.loadtest.figures.steady import Window
from node.loadtest.plan.model import Plan
from node.loadtest.thresholds.vocabulary import MEASURES

METRICS: Final = (
    Metric("rate", Count.ACCEPTED),
    *(
        Metric(statistic, of)
        for of in (Measure.POLL, Measure.EMPTY_POLL, Measure.SUBMIT, Measure.RESULT, Measure.WORK, Measure.JOB)
        for statistic in ("mean", "p99")
    ),
)
"""What is compared, as far as both sides have it."""

_MOST_BYTES: Final = 256 * 1024 * 1024
_NAMES: Final = {of: name for name, of in MEASURES.items()}
_MOST_KEYS: Final = 8

_WHOLE_S: Final = 1e-3
"""What may be missing from cells that count as full."""


@dataclass(frozen=True, slots=True)
class RunDocument:
    """A run as its document tells it; ``name`` is the document's for people."""

    name: str
    plan: Mapping[str, Any]
    verdict: str
    stretch: Stretch
    figures: Figures

    @property
    def window(self) -> Window:
        """The part of the run that was judged, without cells in the middle of which the load began or ended."""
        stretch, cells = self.stretch, self.stretch.end - self.stretch.start
        cut = int(cells * self.figures.series.resolution_s > stretch.seconds + _WHOLE_S)
        return Window(stretch.start + cut, stretch.end - cut, stretch.is_steady, stretch.rule)

    def samples(self) -> Run:
        """Its values by second, for `node.loadtest.figures.compare`."""
        return samples(self.figures.series, self.window, METRICS)


@dataclass(frozen=True, slots=True)
class Compared:
    """A comparison with its context: ``names`` are those of the runs, the candidate's last."""

    names: tuple[str, ...]
    comparisons: tuple[Comparison, ...]
    warnings: tuple[str, ...]

    @property
    def answer(self) -> Answer:
        """All metrics together; see `node.loadtest.figures.compare.overall`."""
        return overall(self.comparisons)

    def to_document(self) -> dict[str, Any]:
        """All of it for JSON: changes are relative to the baseline, times are seconds, what is unknown is null."""
        return {
            "baseline": list(self.names[:-1]),
            "now": self.names[-1],
            "answer": self.answer.value,
            "metrics": [asdict(one) | {"answer": one.answer.value} for one in self.comparisons],
            "warnings": list(self.warnings),
        }


def read_run(path: Path, label: str) -> RunDocument:
    """The run in a document that a load test wrote; ``label`` is the file's name for people. Reading blocks.

    Raises:
        InvalidInput: the file cannot be read, or is no such document, or one of another version.
    """
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise _unusable(label, "it is larger than any load test's document")
        document = json.loads(path.read_bytes())
    except OSError as error:
        raise _unusable(label, f"it cannot be read: {error.strerror or type(error).__name__}") from error
    except ValueError as error:
        raise _unusable(label, "it is no JSON") from error
    except RecursionError as error:
        raise _unusable(label, "it is no load test's document") from error
    if not isinstance(document, dict) or "schema" not in document or "figures" not in document:
        raise _unusable(label, "it is no load test's document")
    if document["schema"] != SCHEMA:
        raise _unusable(label, f"it is of version {document['schema']}, and this program reads version {SCHEMA}")
    try:
        figures = Figures.from_document(document["figures"])
        times = Times(*(float(document[name]) for name in ("begun_at", "load_ended_at", "settled_at")))
        stretch = judged_stretch(figures, Plan.model_validate(document["plan"]), times)
        return RunDocument(label, document["plan"], str(document["verdict"]), stretch, figures)
    except (KeyError, TypeError, ValueError) as error:
        reason = "its plan is not one" if isinstance(error, ValidationError) else type(error).__name__
        raise _unusable(label, f"it is not complete: {reason}") from error


def run_of(outcome: LoadOutcome, name: str = "this run") -> RunDocument:
    """A run that has just ended."""
    plan = outcome.plan.model_dump(mode="json")
    return RunDocument(name, plan, outcome.verdict.value, outcome.stretch, outcome.figures)


def compare_runs(baseline: Sequence[RunDocument], candidate: RunDocument) -> Compared:
    """Compare a run with one or more earlier ones; what is void on either side is not compared."""
    runs = (*baseline, candidate)
    names = tuple(run.name for run in runs)
    warnings = list(_warnings(baseline, candidate))
    if any(run.verdict == Verdict.VOID.value for run in runs):
        return Compared(names, (), tuple(warnings))
    rows = [run.samples() for run in runs]
    metrics = [metric for metric in METRICS if any(row[metric.name] for row in rows)]
    floor: dict[str, float] = {}
    for run in runs:
        for statistic, seconds in floors(run.figures.series, run.window).items():
            floor[statistic] = max(floor.get(statistic, 0.0), seconds)
    found = compare(rows[:-1], rows[-1:], metrics, floor=floor)
    return Compared(
        names, tuple(_renamed(one, metric) for one, metric in zip(found, metrics, strict=True)), tuple(warnings)
    )


def _renamed(comparison: Comparison, metric: Metric) -> Comparison:
    """With the name that thresholds have for it."""
    name = "accepted_rate" if isinstance(metric.of, Count) else f"{metric.statistic}.{_NAMES[metric.of]}"
    return Comparison(**(asdict(comparison) | {"metric": name, "answer": comparison.answer}))


def _warnings(baseline: Sequence[RunDocument], candidate: RunDocument) -> Iterator[str]:
    for run in (*baseline, candidate):
        if run.verdict == Verdict.VOID.value:
            yield f"{run.name} is void, so nothing is compared: its generator fell short"
        elif run.verdict == Verdict.STOPPED.value:
            yield f"{run.name} was stopped before its time"
    for run in baseline:
        if keys := _differing(run.plan, candidate.plan):
            more = f" and {len(keys) - _MOST_KEYS} more" if len(keys) > _MOST_KEYS else ""
            yield f"{run.name} had another plan, which differs in {', '.join(keys[:_MOST_KEYS])}{more}"


def _differing(one: object, two: object, path: str = "") -> list[str]:
    """The keys at which two plans differ, as people write them."""
    if isinstance(one, Mapping) and isinstance(two, Mapping):
        keys = dict.fromkeys((*one, *two))
        return [found for key in keys for found in _differing(one.get(key), two.get(key), f"{path}.{key}".lstrip("."))]
    if isinstance(one, list) and isinstance(two, list) and len(one) == len(two):
        places = enumerate(zip(one, two, strict=True), 1)
        return [found for place, pair in places for found in _differing(*pair, f"{path}[{place}]")]
    return [] if one == two else [path]


def _unusable(label: str, problem: str) -> InvalidInput:
    return InvalidInput([InputFault(label, problem, "give a file that loadtest run --json has written")])
