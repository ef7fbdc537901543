"""What an examination finds."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal, NamedTuple, TypeAlias

Grade: TypeAlias = Literal["pass", "warn", "fail"]


class Finding(NamedTuple):
    """One thing that was looked at. ``remedy`` is what to do, empty where there is nothing to do; no secrets in either."""

    name: str
    status: Grade
    detail: str
    remedy: str = ""


def passed(name: str, detail: str) -> Finding:
    """It is as it should be."""
    return Finding(name, "pass", detail)


def warned(name: str, detail: str, remedy: str = "") -> Finding:
    """It is not as it should be, or could not be looked at; a node can work all the same."""
    return Finding(name, "warn", detail, remedy)


def failed(name: str, detail: str, remedy: str) -> Finding:
    """A node cannot work so."""
    return Finding(name, "fail", detail, remedy)


def as_json(findings: Iterable[Finding]) -> dict[str, Any]:
    """The findings as JSON has them: ``{"checks": [{"name", "status", "detail", "remedy"}]}``."""
    return {"checks": [finding._asdict() for finding in findings]}
