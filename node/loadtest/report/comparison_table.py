"""A comparison with earlier runs, as its document tells it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Final

from node.loadtest.figures.compare import Answer
from node.loadtest.plan.quantities import number_text, rate_text
from node.loadtest.report.markup import Markup, joined, tag
from node.loadtest.report.tables import table
from node.loadtest.report.wording import latency_text

_SENTENCES: Final = {
    Answer.WORSE: ("bad", "Worse than the baseline."),
    Answer.BETTER: ("good", "Better than the baseline."),
    Answer.SAME: ("", "No difference was seen."),
    Answer.UNKNOWN: ("doubt", "Nothing could be compared."),
}
_HEADS: Final = ("Metric", "Baseline", "Now", "Change", "Interval", "")


def comparison_table(comparison: Mapping[str, Any]) -> Markup:
    """What each metric came to, and all together; ``comparison`` is `LoadOutcome.comparison`."""
    colour, sentence = _SENTENCES[Answer(comparison["answer"])]
    baseline = ", ".join(map(str, comparison["baseline"]))
    words = tag("p", tag("b", sentence, class_=colour or None), " Baseline: ", tag("bdi", baseline))
    warnings = tag("ul", [tag("li", str(text)) for text in comparison["warnings"]]) if comparison["warnings"] else None
    rows = [_row(metric) for metric in comparison["metrics"]]
    return joined(words, warnings, table(_HEADS, rows, (1, 2, 3, 4)) if rows else None)


def _row(metric: Mapping[str, Any]) -> Markup:
    name, answer = str(metric["metric"]), Answer(metric["answer"])
    colour, words = _told(answer, is_sharp=bool(metric["is_sharp"]))
    low, high = metric["low"], metric["high"]
    cells = (
        _figure(name, metric["baseline"]),
        _figure(name, metric["candidate"]),
        _percent(metric["change"]),
        f"{_percent(low)} to {_percent(high)}" if low is not None and high is not None else "–",
    )
    return tag(
        "tr",
        tag("th", tag("code", name), scope="row"),
        [tag("td", text, class_="number", data_label=head) for head, text in zip(_HEADS[1:], cells, strict=False)],
        tag("td", words, class_=colour or None),
    )


def _told(answer: Answer, *, is_sharp: bool) -> tuple[str, str]:
    match answer:
        case Answer.BETTER:
            return "good", "better"
        case Answer.WORSE:
            return "bad", "worse"
        case Answer.UNKNOWN:
            return "doubt", "too little data"
        case Answer.SAME:
            return ("", "the same") if is_sharp else ("doubt", "too noisy to tell")


def _figure(name: str, value: float | None) -> str:
    if value is None:
        return "–"
    return rate_text(value) if name.endswith("_rate") else latency_text(value)


def _percent(share: float | None) -> str:
    if share is None or not math.isfinite(share):
        return "–"
    return f"{'+' if share > 0 else ''}{number_text(float(f'{share * 100:.3g}'))}\u00a0%"
