"""From a TOML file to a scenario, with everything that is wrong told at once."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Final

from pydantic import ValidationError

from node.domain.errors import InputFault, InvalidInput
from node.domain.toml_lines import key_lines
from node.loadtest.plan.doubts import doubts, doubts_elsewhere
from node.loadtest.plan.explain import explained
from node.loadtest.plan.findings import Finding, placed
from node.loadtest.plan.jobs import ReplayStream
from node.loadtest.plan.mistakes import mistakes, trace_mistakes
from node.loadtest.plan.model import Plan
from node.loadtest.plan.overrides import PLACE, Override, overridden
from node.loadtest.plan.scenario import Scenario
from node.loadtest.plan.trace import TraceJob, read_trace

_POSITION: Final = re.compile(r" \(at line (\d+), column (\d+)\)$")


def read_scenario(path: Path, label: str | None = None, overrides: tuple[Override, ...] = ()) -> Scenario:
    """The plan in a file, and the traces that it names; their paths are relative to the file's folder.

    ``overrides`` take the place of what the file says.
    ``label`` is the file's name for people, without it the path. Reading blocks: it is for the time before the event
    loop runs.

    Raises:
        InvalidInput: with everything that is wrong.
    """
    label = str(path) if label is None else label
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except (OSError, ValueError) as error:
        raise InvalidInput([_unreadable(label, error)]) from error
    return scenario_of(text, label, lambda file: read_trace(path.parent / file, str(file)), overrides)


def scenario_of(
    text: str,
    label: str,
    trace: Callable[[Path], tuple[tuple[TraceJob, ...], tuple[InputFault, ...]]] = lambda file: read_trace(
        file, str(file)
    ),
    overrides: tuple[Override, ...] = (),
) -> Scenario:
    """The same of a plan that was read already; ``trace`` reads the jobs to replay.

    Raises:
        InvalidInput: with everything that is wrong.
    """
    try:
        raw = tomllib.loads(text)
    except ValueError as error:
        raise InvalidInput([_no_toml(label, str(error))]) from error
    raw = overridden(raw, overrides)
    place = partial(
        placed, raw=raw, label=label, lines=key_lines(text), elsewhere={one.path: PLACE for one in overrides}
    )
    plan = _plan(raw, place)
    faults = place(mistakes(plan))
    traces: dict[Path, tuple[TraceJob, ...]] = {}
    for stream in plan.jobs.arrivals:
        if isinstance(stream, ReplayStream) and stream.file not in traces:
            traces[stream.file], unread = trace(stream.file)
            faults += unread
    faults += place(trace_mistakes(plan, traces))
    if faults:
        raise InvalidInput(faults)
    warnings = place(doubts(Scenario(plan, traces)))
    elsewhere = place(doubts_elsewhere(plan))
    return Scenario(plan, traces, tuple(warnings), tuple(elsewhere))


def _plan(raw: Mapping[str, Any], place: Callable[[Iterable[Finding]], list[InputFault]]) -> Plan:
    try:
        return Plan.model_validate(raw)
    except ValidationError as error:
        # A list whose items are all bad is said to be empty, too.
        details = [
            detail
            for detail in error.errors(include_url=False)
            if not (detail["type"] == "too_short" and detail["input"])
        ]
    raise InvalidInput(place(explained(detail, raw, Plan) for detail in details))


def _no_toml(label: str, said: str) -> InputFault:
    position = _POSITION.search(said)
    line, column = (int(position[1]), f"column {position[2]}") if position else (None, None)
    problem = f"not TOML: {_POSITION.sub('', said)}"
    return InputFault(label, problem, "correct the line; texts stand in double quotes", line, column)


def _unreadable(label: str, error: Exception) -> InputFault:
    if isinstance(error, UnicodeDecodeError):
        return InputFault(label, "the file is not UTF-8", "save it as UTF-8")
    reason = (error.strerror if isinstance(error, OSError) else None) or "the path is not usable"
    return InputFault(label, f"the plan cannot be read: {reason}", "give the path of a TOML file")
