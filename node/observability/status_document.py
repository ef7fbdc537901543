"""A node's status as JSON."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias

from node.domain.states import Hold
from node.ports.control import Check, EngineStatus, Status

Json: TypeAlias = "dict[str, Json] | list[Json] | str | int | float | bool | None"
"""What JSON can say."""


def status_document(status: Status) -> dict[str, Json]:
    """The status with plain values; seconds rounded to milliseconds."""
    return {
        "node": status.node,
        "worker": status.worker,
        "version": status.version,
        "life": status.life.value,
        "presence": status.presence.value,
        "holds": list(hold_names(status.holds)),
        "slots": {"used": status.slots_used, "total": status.slots_total},
        "last_poll_age_s": _rounded(status.last_poll_age_s),
        "jobs": dict(status.jobs),
        "outbox": {"depth": status.outbox.depth, "oldest_age_s": _rounded(status.outbox.oldest_age_s)},
        "engines": [_engine(engine) for engine in status.engines],
        "models": list(status.models),
        "uptime_s": _rounded(status.uptime_s),
    }


def checks_document(checks: Sequence[Check]) -> list[Json]:
    """The checks, each an object."""
    return [{"name": check.name, "ok": check.ok, "detail": check.detail} for check in checks]


def hold_names(holds: Hold) -> tuple[str, ...]:
    """Each reason against claiming as one word: "paused", "no-slot", …"""
    return tuple((hold.name or "").lower().replace("_", "-") for hold in holds)


def redacted(content: Json, redact: Callable[[str], str]) -> Json:
    """The same content with all its texts, names included, passed through ``redact``."""
    match content:
        case str():
            return redact(content)
        case list():
            return [redacted(part, redact) for part in content]
        case dict():
            return {redact(name): redacted(part, redact) for name, part in content.items()}
        case _:
            return content


def _engine(engine: EngineStatus) -> Json:
    return {
        "name": engine.name,
        "available": engine.available,
        "reason": engine.reason,
        "breakers": dict(engine.breakers),
    }


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 3)
