"""Recorded jobs to replay: a file of JSON lines, read whole before a run begins."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, ClassVar, Final, NamedTuple

from pydantic import Field, ValidationError
from pydantic_core import from_json

from node.domain.errors import InputFault
from node.domain.toml_lines import path_text
from node.loadtest.plan.explain import explained
from node.loadtest.plan.vocabulary import Table

_MOST_FAULTS: Final = 20
_EXAMPLE: Final = 'write a line as {"at_s": 0.25, "model": "llama3.1:latest", "max_output": 64}'


class TraceJob(NamedTuple):
    """A recorded job; ``at_s`` counts from the first moment of the trace, and None is drawn as for other jobs."""

    at_s: float
    model: str
    max_output: int | None = None
    prompt_tokens: int | None = None


class _Line(Table):
    full_names: ClassVar[frozenset[str]] = frozenset({"at_s"})

    at_s: Annotated[float, Field(ge=0)]
    model: Annotated[str, Field(min_length=1)]
    max_output: Annotated[int, Field(ge=1)] | None = None
    prompt_tokens: Annotated[int, Field(ge=0)] | None = None


def read_trace(path: Path, label: str) -> tuple[tuple[TraceJob, ...], tuple[InputFault, ...]]:
    """The jobs of a trace in the order of their times, and what is wrong with its lines, the first twenty of it.

    Empty lines are skipped. ``label`` is the file's name for people. Never raises. Reading blocks.
    """
    try:
        lines = path.read_bytes().splitlines()
    except (OSError, ValueError) as error:
        reason = (error.strerror if isinstance(error, OSError) else None) or "the path is not usable"
        return (), (InputFault(label, f"the trace cannot be read: {reason}", "correct the path"),)
    jobs: list[TraceJob] = []
    faults: list[InputFault] = []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            read = _Line.model_validate_json(line)
        except ValidationError as error:
            faults += _faults(label, number, line, error)
            if len(faults) >= _MOST_FAULTS:
                break
        else:
            jobs.append(TraceJob(read.at_s, read.model, read.max_output, read.prompt_tokens))
    if not jobs and not faults:
        faults.append(InputFault(label, "the trace holds no job", _EXAMPLE))
    return tuple(sorted(jobs, key=lambda job: job.at_s)), tuple(faults[:_MOST_FAULTS])


def _faults(label: str, number: int, line: bytes, error: ValidationError) -> Iterator[InputFault]:
    """All that is wrong with a line."""
    details = error.errors(include_url=False)
    is_object = details[0]["type"] not in {"json_invalid", "model_type"}
    for detail in details:
        if not is_object:
            yield InputFault(label, "this is no JSON object", _EXAMPLE, number)
        elif detail["type"] == "missing":
            yield InputFault(label, f"{detail['loc'][-1]} is missing", _EXAMPLE, number, str(detail["loc"][-1]))
        else:
            found = explained(detail, from_json(line), _Line)
            yield InputFault(label, found.problem, found.remedy, number, path_text(found.path))
