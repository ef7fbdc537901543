"""What was measured since the last second, small enough to be told each second: counts, errors and the series.

Histograms of the whole run are left out: they come with the record.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any, Final

from node.loadtest.figures.figures import Figures
from node.loadtest.figures.reasons import Reasons
from node.loadtest.figures.series import MAX_MARKS, Mark, Series

_SAME_S: Final = 1.0


class Newsroom:
    """Keeps what was told of the figures of one shard."""

    def __init__(self, figures: Figures) -> None:
        self._figures = figures
        self._counts: Counter[str] = Counter()
        self._errors: Counter[str] = Counter()
        self._marks = 0
        self._until = 0.0

    def latest(self) -> dict[str, Any]:
        """What is new, for JSON; the second that still goes on is told when it is over."""
        figures, series = self._figures, self._figures.series
        errors = Counter(dict(figures.errors.most_common()))
        counts, self._counts = figures.counts - self._counts, figures.counts.copy()
        fresh, self._errors = errors - self._errors, errors
        part = series.part(self._until)
        if series.span:
            self._until = float(series.span[-1])
        marks, self._marks = series.marks[self._marks :], len(series.marks)
        return {
            "counts": dict(counts),
            "errors": dict(fresh),
            "series": part.to_document(),
            "marks": [[mark.at, mark.text] for mark in marks],
        }


def add_news(figures: Figures, news: Mapping[str, Any]) -> None:
    """Add what a shard has told to the figures of all.

    Raises:
        ValueError: it is not what `Newsroom.latest` made.
    """
    try:
        counts = {str(name): int(times) for name, times in news["counts"].items()}
        errors = {str(name): int(times) for name, times in news["errors"].items()}
        marks = [Mark(float(at), str(text)) for at, text in news["marks"]]
        series = Series.from_document(news["series"])
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"this is no news of a shard: {type(error).__name__}") from error
    figures.counts.update(counts)
    figures.errors.merge(Reasons(errors))
    figures.series.merge(series)
    figures.series.marks = once([*figures.series.marks, *marks])


def once(marks: Iterable[Mark]) -> list[Mark]:
    """The marks in order: of those with one text that are close to each other, the first.

    Each shard commits a fault that befalls all.
    """
    kept: list[Mark] = []
    last: dict[str, float] = {}
    for mark in sorted(marks):
        if mark.at - last.get(mark.text, float("-inf")) > _SAME_S:
            kept.append(mark)
            last[mark.text] = mark.at
    return kept[:MAX_MARKS]
