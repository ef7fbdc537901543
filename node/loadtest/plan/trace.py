"""Recorded jobs to replay: a file of JSON lines, read whole before a run begins."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from node.domain.errors import InputFault

_MOST_FAULTS: Final = 20
_EXAMPLE: Final = 'write a line as {"at_s": 0.25, "model": "llama3.1:latest", "max_output": 64}'


class TraceJob(NamedTuple):
    """A recorded job; ``at_s`` counts from the first moment of the trace, and None is drawn as for other jobs."""

    at_s: float
    model: str
    max_output: int | None = None
    prompt_tokens: int | None = None


class _Line(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", hide_input_in_errors=True, allow_inf_nan=False)

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
            faults.append(_fault(label, number, error))
            if len(faults) == _MOST_FAULTS:
                break
        else:
            jobs.append(TraceJob(read.at_s, read.model, read.max_output, read.prompt_tokens))
    if not jobs and not faults:
        faults.append(InputFault(label, "the trace holds no job", _EXAMPLE))
    return tuple(sorted(jobs, key=lambda job: job.at_s)), tuple(faults)


def _fault(label: str, number: int, error: ValidationError) -> InputFault:
    first = error.errors(include_url=False, include_input=False, include_context=False)[0]
    column = ".".join(map(str, first["loc"])) or None
    return InputFault(label, first["msg"], _EXAMPLE, number, column)
