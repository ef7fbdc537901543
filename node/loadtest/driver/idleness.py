"""What no plan needs to ask for: of what was never there no other threshold speaks, nor does an audit."""

from __future__ import annotations

from collections.abc import Iterator

from node.loadtest.figures.figures import Count, Figures, Measure
from node.loadtest.plan.model import Plan
from node.loadtest.thresholds.parser import parse_threshold
from node.loadtest.thresholds.threshold import Threshold


def unmet_premises(plan: Plan, figures: Figures, *, has_nodes: bool) -> Iterator[Threshold]:
    """What every plan means to hold, as thresholds, where it does not and the plan has none of these itself.

    Of the jobs that were due the gateway took one at least, and where there were nodes one of them came to polling. None
    was dropped because so many before it had no answer, unless the plan says how many may be.
    """
    counts, own = figures.counts, {str(threshold) for threshold in plan.thresholds}
    own |= {"jobs.dropped == 0" for threshold in plan.thresholds if "jobs.dropped" in threshold.names}
    has_no_job = counts[Count.OFFERED] and not counts[Count.SUBMITTED]
    has_no_poll = has_nodes and not (counts[Measure.POLL] or counts[Measure.EMPTY_POLL])
    missing = {
        "jobs.submitted > 0": has_no_job,
        "jobs.dropped == 0": counts[Count.DROPPED] > 0,
        "poll_rate > 0/s": has_no_poll,
    }
    for text, is_missing in missing.items():
        premise = parse_threshold(text)
        if is_missing and str(premise) not in own:
            yield premise
