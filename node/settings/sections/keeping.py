"""What is kept on disk: results on their way, and logs."""

from __future__ import annotations

from typing import Final

from node.domain.policies import OutboxPolicy
from node.settings.vocabulary import DAY_S, LogLevel, Number, OptionalPath, Section, Whole, seconds, setting

_OUTBOX: Final = OutboxPolicy()
_MIB: Final = 1024 * 1024


class OutboxSettings(Section):
    """Finished results, kept until the gateway has them."""

    max_results: Whole = setting(
        _OUTBOX.max_results, "Results that may wait; nodes claim no job beyond that.", ge=1, le=100_000_000
    )
    max_mb: Whole = setting(
        _OUTBOX.max_bytes // _MIB, "Size that waiting results may have together.", unit="MiB", ge=1, le=1_000_000
    )
    expire_s: Number = seconds(
        _OUTBOX.expire_s,
        "Age at which an unsent result becomes a dead letter, and a dead letter is removed.",
        ge=60,
        le=365 * DAY_S,
    )
    back_off_base_s: Number = seconds(
        _OUTBOX.back_off.base_s, "Longest wait after the first failed sending; it doubles with each.", ge=0.01, le=3600
    )
    back_off_cap_s: Number = seconds(
        _OUTBOX.back_off.cap_s,
        "Longest wait after any failed sending; a longer Retry-After is kept to, up to ten times this.",
        ge=0.01,
        le=3600,
    )
    per_node: Whole = setting(_OUTBOX.per_node, "Results of one node sent at the same time.", ge=1, le=1000)

    min_free_mb: Whole = setting(
        _OUTBOX.min_free_bytes // _MIB,
        "Free space on the disk below which no job is claimed.",
        unit="MiB",
        ge=0,
        le=1_000_000,
    )
    probe_s: Number = seconds(
        _OUTBOX.probe_s, "How often the disk is measured, and tried again after a failed write.", ge=0.1, le=3600
    )
    sweep_s: Number = seconds(_OUTBOX.sweep_s, "How often expired results are looked for.", ge=1)
    grace_s: Number = seconds(_OUTBOX.grace_s, "How long a sending under way is awaited when the program ends.", le=600)

    @property
    def max_bytes(self) -> int:
        """``max_mb`` in bytes."""
        return self.max_mb * _MIB

    @property
    def min_free_bytes(self) -> int:
        """``min_free_mb`` in bytes."""
        return self.min_free_mb * _MIB


class LoggingSettings(Section):
    """What is logged, and how. Secrets are masked whatever is set here."""

    level: LogLevel = setting(
        "info", "Least weight of what is logged: debug, info, warning or error.", flag="--log-level", env="LOG_LEVEL"
    )
    json_lines: bool = setting(
        default=False, description="Write JSON, an object a line, instead of text.", flag="--json-logs"
    )
    folder: OptionalPath = setting(
        None,
        "Folder for the logs; in production each node has one of its own in it. Empty: logs, in the state folder.",
    )
    rotate_mb: Whole = setting(
        10, "Size at which a log file is put aside and a new one begun.", unit="MiB", ge=1, le=10_000
    )
    rotate_count: Whole = setting(5, "Log files of a kind that are kept beside the one being written.", ge=0, le=1000)
    prompts: bool = setting(default=False, description="Log prompts and answers as well.")
    debug: bool = setting(
        default=False, description="Log everything, and tracebacks of defects on the console.", env="ENABLE_DEBUG_MODE"
    )
