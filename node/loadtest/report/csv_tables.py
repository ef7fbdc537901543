"""The run second by second, and the jobs that the audit accuses, as CSV for spreadsheets and scripts."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from math import isnan
from typing import Final

from node.loadtest.audit.views import Claim, Held, JobView, Marked, Said
from node.loadtest.driver.outcome import LoadOutcome
from node.loadtest.figures.figures import Count, Measure
from node.loadtest.figures.series import Series
from node.loadtest.report.markup import plain
from node.loadtest.report.wording import iso_text

_PERCENTS: Final = (50.0, 90.0, 99.0, 100.0)
_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r")
_SAID: Final = {Said.UNASKED: "", Said.PENDING: "pending", Said.SUCCESS: "success", Said.ERROR: "error"}
_HELD: Final = {
    Held.UNTOLD: "",
    Held.QUEUED: "queued",
    Held.LEASED: "leased",
    Held.ANSWERED: "answered",
    Held.NOWHERE: "nowhere",
}

JOB_COLUMNS: Final = (
    "kinds",
    "id",
    "what",
    "model",
    "intended_at",
    "submitted_at",
    "claims",
    "nodes",
    "first_claimed_at",
    "last_claimed_at",
    "accepted_times",
    "first_accepted_at",
    "told_already_times",
    "refused_times",
    "get_result_says",
    "ledger_says",
    "handed_out_times",
    "last_handed_to",
)
"""``what`` is ``job``, or ``other`` where the id is a node's or of a job that nothing is known of. Times are ISO 8601."""

SERIES_COLUMNS: Final = ("at", "unix_s", "elapsed_s", "seconds", "is_judged", "faults")
"""The first columns of a series; rates, gauges, maxima and percentiles in seconds follow."""


def series_csv(outcome: LoadOutcome) -> str:
    """A row for each cell of the series; what was not read is empty."""
    series, times, stretch = outcome.figures.series, outcome.times, outcome.stretch
    columns = dict(_columns(series))
    step = series.resolution_s
    faults: dict[int, list[str]] = {}
    for mark in series.marks:
        faults.setdefault(int(mark.at // step) * step, []).append(mark.text)
    rows = (
        [
            iso_text(at),
            at,
            round(at - times.begun_at, 3),
            step,
            int(stretch.start <= place < stretch.end),
            "; ".join(faults.get(at, ())),
            *(row[place] for row in columns.values()),
        ]
        for place, at in enumerate(series.span)
    )
    return _written([*SERIES_COLUMNS, *columns], rows)


def jobs_csv(outcome: LoadOutcome) -> str:
    """A row for each job, or node, that the audit names, with all kinds of finding that name it."""
    kinds: dict[str, list[str]] = {}
    for finding in outcome.report.broken:
        for name in finding.examples:
            kinds.setdefault(name, []).append(finding.kind.label)
    known: Mapping[str, JobView] = {view.job: view for view in outcome.accused}
    rows = ([" ".join(labels), name, *_known(known.get(name))] for name, labels in kinds.items())
    return _written(JOB_COLUMNS, rows)


def _columns(series: Series) -> Iterator[tuple[str, Sequence[float | None]]]:
    names = series.names
    for count in Count:
        yield f"{count.value}_per_s", series.rates(count)
    for measure in Measure:
        yield f"{measure.value}_per_s", series.rates(measure)
        for percent in _PERCENTS:
            label = "max" if percent == 100.0 else f"p{percent:g}"
            yield f"{measure.value}_{label}_s", series.percentiles(measure, percent)
    for name in names:
        if any(value is not None for value in series.levels(name)):
            yield name, series.levels(name)
        if any(value is not None for value in series.maxima(name)):
            yield f"{name}_max", series.maxima(name)


def _known(view: JobView | None) -> list[object]:
    if view is None:
        return ["other", *[""] * (len(JOB_COLUMNS) - 3)]
    claims = view.claims
    claimed = [claim.at for claim in view.deliveries]
    return [
        "job",
        view.model,
        _time(view.intended_at),
        _time(view.submitted_at),
        len(claimed),
        " ".join(dict.fromkeys(claim.node for claim in claims)),
        _time(min(claimed, default=float("nan"))),
        _time(max(claimed, default=float("nan"))),
        sum(claim.accepted for claim in claims),
        _time(view.accepted_at),
        _marked(claims, Marked.ALREADY),
        _marked(claims, Marked.BURIED),
        _SAID[view.said],
        _HELD[view.held],
        view.handed if view.held is not Held.UNTOLD else "",
        view.handed_to,
    ]


def _marked(claims: Iterable[Claim], mark: int) -> int:
    return sum(bool(claim.marks & mark) for claim in claims)


def _time(at: float) -> str:
    return "" if isnan(at) else iso_text(at)


def _written(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows([_cell(value) for value in row] for row in rows)
    return text.getvalue()


def _cell(value: object) -> object:
    if isinstance(value, float):
        return f"{value:.6g}" if abs(value) < 1e6 else f"{value:.3f}"
    if not isinstance(value, str):
        return "" if value is None else value
    text = plain(value)
    # A spreadsheet would run it: ids come from a gateway that may be hostile.
    return f"'{text}" if text.startswith(_FORMULA) else text
