"""What a report's JSON looks like, as JSON Schema: docs/loadtest-report.schema.json is made from here.

Times are Unix seconds, latencies and durations seconds, shares lie between 0 and 1, and null is what is not known. Keys
may be added within a version; one that goes, or means something else, is a new version.
"""

from __future__ import annotations

from typing import Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field

from node.loadtest.audit.report import AuditVerdict
from node.loadtest.driver.verdict import Verdict
from node.loadtest.figures.figures import Measure
from node.loadtest.plan.model import Plan
from node.loadtest.thresholds.threshold import State

_DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"
_HISTOGRAM: Final = "In HdrHistogram's compressed format V2, in base64; whole microseconds up to an hour, 3 digits."


class _Part(BaseModel):
    model_config = ConfigDict(extra="allow")


class ThresholdResult(_Part):
    """What came of a threshold: both sides in seconds, counts, rates a second or shares."""

    threshold: str
    state: State
    left: float | None
    right: float | None
    why: str = Field(description="Why the state is unknown; empty where it is not.")


class Latencies(_Part):
    """Times in seconds."""

    count: int
    mean: float
    p50: float
    p90: float
    p95: float
    p99: float
    p99_9: float = Field(alias="p99.9")
    max: float


class Judged(_Part):
    """The figures over the time that counts for the verdict."""

    seconds: float | None
    rule: str = Field(description="How that time was found.")
    is_steady: bool
    values: dict[str, float | None] = Field(description="By the names that thresholds have for them.")
    latencies: dict[Measure, Latencies | None] = Field(description="By what was timed; null where nothing was.")


class JobCounts(_Part):
    """Jobs by how far they came."""

    submitted: int
    unconfirmed: int = Field(description="Submissions that ended without an answer.")
    claimed: int
    redelivered: int = Field(description="Claims beyond each job's first.")
    executed: int
    sent: int
    accepted: int
    answered: int | None = Field(description="Jobs that the gateway shows a result of.")
    credited: int | None


class AuditFinding(_Part):
    """One kind of thing that can be wrong with a job."""

    count: int | None
    judged: int = Field(description="For how many jobs it could be told.")
    examples: list[str] = Field(description="Ids, of jobs unless the kind says otherwise.")
    meaning: str


class Audit(_Part):
    """Every job, from its submission to its credit, against what the gateway says."""

    v: Literal[1]
    verdict: AuditVerdict
    jobs: JobCounts
    findings: dict[str, AuditFinding]
    notes: list[str]


class Generator(_Part):
    """Whether this program was the bottleneck."""

    is_void: bool
    reasons: list[str]
    found: dict[str, float | None]
    defects: list[str] = Field(description="Of this program, that showed in the run.")


class SeriesDocument(_Part):
    """Figures over time: pairs of a cell and its value. A cell begins at its number times ``resolution_s``."""

    v: Literal[1]
    resolution_s: int
    limit: int
    counts: dict[str, list[tuple[int, float]]]
    gauges: dict[str, list[tuple[int, float]]]
    maxima: dict[str, list[tuple[int, float]]]
    latencies: dict[str, list[tuple[int, str]]] = Field(
        description="Base64 of pairs of 32-bit little-endian numbers: bucket of 2 significant digits, count."
    )
    marks: list[tuple[float, str]] = Field(description="Faults and other things that happened, with their times.")


class FiguresDocument(_Part):
    """All that was measured, from the first second to the last."""

    v: Literal[1]
    histograms: dict[Measure, str] = Field(description=_HISTOGRAM)
    counts: dict[str, int]
    errors: dict[str, int] = Field(description="Failures by step and class.")
    series: SeriesDocument


class HealthDocument(_Part):
    """What the generator's processes noted of themselves."""

    v: Literal[1]
    loop_lag: list[str] = Field(description=_HISTOGRAM)
    send_lag: list[str] = Field(description=_HISTOGRAM)
    cpu: list[list[float]] = Field(description="By process and second, in cores.")
    offered: int
    tried: int


class ReportDocument(_Part):
    """The result of a load test."""

    version: Literal[1] = Field(alias="schema")
    plan: Plan
    gateway: str
    verdict: Verdict
    environment: dict[str, str] = Field(description="The program, and the machine that it ran on.")
    begun_at: float
    load_ended_at: float
    settled_at: float
    thresholds: list[ThresholdResult]
    judged: Judged
    audit: Audit
    generator: Generator
    comparison: dict[str, Any] | None = Field(default=None, description="With earlier runs; null without one.")
    sandbox_bugs: list[str] = Field(description="Planted into the bundled gateway on purpose.")
    notes: list[str]
    figures: FiguresDocument
    health: HealthDocument


def report_schema() -> dict[str, Any]:
    """The schema as JSON has it."""
    schema = ReportDocument.model_json_schema(by_alias=True, mode="serialization")
    return {"$schema": _DIALECT, **schema, "title": "A load test's report, version 1"}
