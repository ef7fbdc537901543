"""How nodes live: their own rhythm, the fleet's, their proxies, and how they stop.

The intervals of a fleet are quick here, so that a first run shows everything at work within seconds; those
of a real network are in the profile ``network``.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from node.domain.policies import NodePolicy, ProxyPolicy, StaggerPolicy, StopPolicy
from node.settings.vocabulary import (
    DAY_S,
    FilePath,
    Number,
    OptionalPath,
    OptionalUrl,
    ProxyAssignment,
    Section,
    Whole,
    seconds,
    setting,
)

_NODE: Final = NodePolicy()
_STAGGER: Final = StaggerPolicy()
_STOP: Final = StopPolicy()
_PROXY: Final = ProxyPolicy()


class NodeSettings(Section):
    """A node's own rhythm."""

    slots: Whole = setting(_NODE.slots, "Jobs that a node runs at the same time.", ge=1, le=256)
    poll_cycle_s: Number = seconds(
        _NODE.poll_cycle_s,
        "Time from one poll of an idle node to the next; after a job it polls again at once.",
        ge=0.05,
        le=3600,
    )
    poll_jitter: Number = setting(
        _NODE.poll_jitter,
        "Share of the cycle by which a wait is shortened or lengthened at random.",
        unit="share",
        ge=0,
        le=1,
    )
    burst: Whole = setting(
        _NODE.burst,
        "Jobs that a node claims one right after the other before it gives others a turn, for a 25th of its cycle. 0: as"
        " many as there are, in `node` worker.batch_size.",
        ge=0,
        le=10_000,
    )
    poll_failures: Whole = setting(
        _NODE.poll_failures, "Failed polls in a row after which a node ends its session and recovers.", ge=1, le=1000
    )
    back_off_base_s: Number = seconds(
        _NODE.back_off.base_s, "Longest wait after the first failed poll; it doubles with each.", ge=0.01, le=3600
    )
    back_off_cap_s: Number = seconds(
        _NODE.back_off.cap_s,
        "Longest wait after a failed poll; a longer Retry-After is kept to, up to ten times this.",
        ge=0.01,
        le=3600,
    )
    job_deadline_s: Number = seconds(
        _NODE.job_deadline_s, "Time for one job, after which it is answered with an error.", ge=0.1
    )
    refusals: Whole = setting(
        _NODE.refusals,
        "Denials of secret or identity in a row, the auth service healthy, after which a node gives up.",
        ge=1,
        le=1000,
    )
    default_max_output: Whole = setting(
        _NODE.default_max_output,
        "Length of an answer where the job sets no limit; also the most that a job may ask for.",
        unit="tokens",
        ge=1,
        le=10_000_000,
    )


class FleetSettings(Section):
    """Which nodes there are, and the intervals that all of them keep."""

    roster: FilePath = setting(
        Path("nodes.csv"),
        "The nodes, one a row (CSV). Where the default file is missing, 20 simulated nodes are used.",
        flag="--nodes",
    )
    proxies: OptionalPath = setting(
        Path("proxies.txt"),
        "The proxy pool, one a line. Empty, or the default file missing: no pool.",
        flag="--proxies",
    )
    strict: bool = setting(
        default=False,
        description="Refuse to start when a row of the roster or a proxy is bad; otherwise the good ones go on.",
        flag="--strict",
    )
    min_start_delay_s: Number = seconds(
        0, "Earliest start of an account's first node.", env="MIN_START_DELAY", le=DAY_S
    )
    max_start_delay_s: Number = seconds(3, "Latest start of an account's first node.", env="MAX_START_DELAY", le=DAY_S)
    start_spacing_s: Number = seconds(
        0.2, "Time between the starts of one account's nodes.", env="NODE_SPACING_DELAY", le=3600
    )
    start_jitter_s: Number = seconds(0.1, "Random part of each start, at most.", le=3600)
    return_cycles: Number = setting(
        _STAGGER.return_cycles,
        "Poll cycles over which all nodes come back, one after the other, to a gateway that was away or has forgotten"
        " them; nodes of a small fleet come back within half a second of each other. Below 8 a gateway with many"
        " nodes hears more than twice as much as it is used to.",
        unit="poll cycles",
        ge=0,
        le=1000,
    )
    recovery_min_s: Number = seconds(
        2, "Shortest rest of a node after a fault.", env="ERROR_RECOVERY_MIN", le=7 * DAY_S
    )
    recovery_max_s: Number = seconds(6, "Longest rest of a node after a fault.", env="ERROR_RECOVERY_MAX", le=7 * DAY_S)
    models_update_min_s: Number = seconds(
        300, "Shortest time until a node tells its models anew.", env="MODELS_UPDATE_MIN", ge=1, le=7 * DAY_S
    )
    models_update_max_s: Number = seconds(
        600, "Longest time until a node tells its models anew.", env="MODELS_UPDATE_MAX", ge=1, le=7 * DAY_S
    )
    points_check_s: Number = seconds(
        10, "Time between a node's looks at its points.", env="POINTS_CHECK_INTERVAL", ge=1, le=7 * DAY_S
    )
    status_report_s: Number = seconds(
        10, "Time between two status reports of the fleet.", env="STATUS_REPORT_INTERVAL", ge=1, le=DAY_S
    )


class StopSettings(Section):
    """What a stop may take: the first Ctrl+C or SIGTERM drains, the second aborts."""

    drain_s: Number = seconds(
        _STOP.drain_s,
        "Time for a graceful stop in all. Jobs may finish in it; the last quarter, 15 s at most, is for sending"
        " results and leaving.",
        le=DAY_S,
    )
    poll_grace_s: Number = seconds(
        _STOP.poll_grace_s, "How long a poll under way is awaited, since its reply may hold a job.", le=600
    )
    abort_s: Number = seconds(_STOP.abort_s, "Time for an abort.", le=600)


class ProxySettings(Section):
    """How proxies are given to nodes and judged."""

    assign: ProxyAssignment = setting(
        "auto",
        "Who uses which. auto: a node uses its proxy by the roster, and one of the pool when it has none or it is bad. roster: its"
        " own proxy and no other. none: every node connects directly.",
    )
    echo_url: OptionalUrl = setting(
        "",
        "Address that answers with the caller's own IP address, as text or as JSON with the key ip. Empty: the"
        f" bundled sandbox's where that is used, otherwise {_PROXY.echo_url}",
    )
    recheck_s: Number = seconds(_PROXY.recheck_s, "Age at which the check of a proxy in use is repeated.", ge=1)
    failures: Whole = setting(_PROXY.failures, "Failures in a row that set a proxy aside.", ge=1, le=1000)
    cool_down_s: Number = seconds(
        _PROXY.cool_down_s, "How long a proxy is set aside; doubled each time.", ge=0.1, le=7 * DAY_S
    )
    cool_down_cap_s: Number = seconds(
        _PROXY.cool_down_cap_s, "The longest that a proxy is set aside.", ge=0.1, le=7 * DAY_S
    )
    retry_s: Number = seconds(_PROXY.retry_s, "Wait between looks for a good proxy while there is none.", ge=0.1)
