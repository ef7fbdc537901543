"""The bundled gateway, and the work that it is fed."""

from __future__ import annotations

from typing import Final

from node.domain.policies import OutboxPolicy
from node.settings.vocabulary import Number, OptionalPath, Section, Whole, seconds, setting

_OUTBOX: Final = OutboxPolicy()


class SandboxSettings(Section):
    """The bundled gateway. It listens on 127.0.0.1 alone."""

    port: Whole = setting(0, "Port to listen on. 0: one that is free.", ge=0, le=65535)
    lease_s: Number = seconds(
        _OUTBOX.remember_s, "How long a claimed job is its node's before another node gets it.", ge=1
    )
    token_lifetime_s: Number = seconds(3600, "Life of a session's token.", ge=1)
    data_dir: OptionalPath = setting(
        None, "Folder in which nodes, jobs and points outlive a restart. Empty: kept in memory.", flag="--data"
    )
    points_per_job: Number = setting(1.0, "What a node earns for a job done.", unit="points", ge=0, le=1_000_000)
    points_per_minute: Number = setting(
        0.1, "What a node earns for a minute in session.", unit="points", ge=0, le=1_000_000
    )


class WorkloadSettings(Section):
    """Jobs that the sandbox is fed."""

    jobs_per_s: Number = setting(8.0, "Jobs submitted. 0: none.", unit="jobs a second", ge=0, le=100_000)
    other_share: Number = setting(0.25, "Share of jobs whose prompt has no stored answer.", unit="share", ge=0, le=1)
    max_pending: Whole = setting(
        200, "Jobs that may wait for a node; more are not submitted.", unit="jobs", ge=1, le=10_000_000
    )
