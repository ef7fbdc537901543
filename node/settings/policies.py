"""Turning settings into the frozen policies that the rest of the program is given."""

from __future__ import annotations

from dataclasses import dataclass

from node.domain.policies import (
    AuthPolicy,
    BackOff,
    NodePolicy,
    OutboxPolicy,
    ProxyPolicy,
    Range,
    RetryPolicy,
    SessionPolicy,
    StaggerPolicy,
    StepTimeouts,
    StopPolicy,
)
from node.settings.model import Settings


@dataclass(frozen=True, slots=True)
class Policies:
    """How every part of the program behaves in this run."""

    timeouts: StepTimeouts
    retry: RetryPolicy
    session: SessionPolicy
    node: NodePolicy
    stop: StopPolicy
    stagger: StaggerPolicy
    outbox: OutboxPolicy
    auth: AuthPolicy
    proxy: ProxyPolicy


def to_policies(settings: Settings, *, echo_url: str = "") -> Policies:
    """The policies that these settings, as `node.settings.load.load` has checked them, ask for.

    ``echo_url`` is the sandbox's own, where one is used; an address in the settings goes before it.
    """
    retry = settings.retry
    return Policies(
        timeouts=StepTimeouts(**settings.timeouts.model_dump()),
        retry=RetryPolicy(retry.attempts, retry.elapsed_s, BackOff(retry.base_s, retry.cap_s)),
        session=SessionPolicy(**settings.session.model_dump()),
        node=_node(settings),
        stop=StopPolicy(**settings.stop.model_dump()),
        stagger=_stagger(settings),
        outbox=_outbox(settings),
        auth=AuthPolicy(**settings.auth.model_dump()),
        proxy=_proxy(settings, echo_url),
    )


def _node(settings: Settings) -> NodePolicy:
    node, fleet = settings.node, settings.fleet
    return NodePolicy(
        slots=node.slots,
        poll_cycle_s=node.poll_cycle_s,
        poll_jitter=node.poll_jitter,
        burst=node.burst,
        poll_failures=node.poll_failures,
        back_off=BackOff(node.back_off_base_s, node.back_off_cap_s),
        job_deadline_s=settings.job_deadline_s,
        heeds_job_limits=not settings.worker.timeout_s,
        models_update=Range(fleet.models_update_min_s, fleet.models_update_max_s),
        points_check_s=fleet.points_check_s,
        recovery=Range(fleet.recovery_min_s, fleet.recovery_max_s),
        refusals=node.refusals,
        default_max_output=node.default_max_output,
    )


def _stagger(settings: Settings) -> StaggerPolicy:
    fleet = settings.fleet
    return StaggerPolicy(
        min_s=fleet.min_start_delay_s,
        max_s=fleet.max_start_delay_s,
        spacing_s=fleet.start_spacing_s,
        jitter_s=fleet.start_jitter_s,
        return_cycles=fleet.return_cycles,
    )


def _outbox(settings: Settings) -> OutboxPolicy:
    outbox = settings.outbox
    return OutboxPolicy(
        max_results=outbox.max_results,
        max_bytes=outbox.max_bytes,
        expire_s=outbox.expire_s,
        remember_s=settings.lease_s,
        back_off=BackOff(outbox.back_off_base_s, outbox.back_off_cap_s),
        per_node=outbox.per_node,
        min_free_bytes=outbox.min_free_bytes,
        probe_s=outbox.probe_s,
        sweep_s=outbox.sweep_s,
        grace_s=outbox.grace_s,
    )


def _proxy(settings: Settings, echo_url: str) -> ProxyPolicy:
    proxy = settings.proxy
    return ProxyPolicy(
        echo_url=proxy.echo_url or echo_url or ProxyPolicy().echo_url,
        check_s=settings.timeouts.proxy_check_s,
        recheck_s=proxy.recheck_s,
        failures=proxy.failures,
        cool_down_s=proxy.cool_down_s,
        cool_down_cap_s=proxy.cool_down_cap_s,
        retry_s=proxy.retry_s,
    )
