"""How nodes, their clients and the sandbox behave in a load test: what its plan says, and what follows from it."""

from __future__ import annotations

from dataclasses import replace
from math import ceil

from node.domain.policies import (
    BackOff,
    NodePolicy,
    OutboxPolicy,
    Range,
    SessionPolicy,
    StaggerPolicy,
    StepTimeouts,
    StopPolicy,
)
from node.gateway.deployment import ClientPolicy
from node.gateway.turnstile import Turnstile
from node.loadtest.driver.policy import DriverPolicy
from node.loadtest.plan.model import Plan
from node.loadtest.plan.scenario import Schedule
from node.ports.outbox import Outbox
from node.sandbox.bugs import Bug
from node.sandbox.policy import SandboxPolicy
from node.settings.policies import Policies

_MOST_OUTPUT = 1 << 30
"""Tokens: the plan's jobs say how long they are, and no node's ceiling cuts them."""


def node_policy(plan: Plan) -> NodePolicy:
    """A node's rhythm."""
    nodes = plan.nodes
    return NodePolicy(
        slots=nodes.slots,
        poll_cycle_s=nodes.poll_cycle_s,
        poll_jitter=nodes.poll_jitter,
        job_deadline_s=plan.job_deadline_s,
        # Hours, as in life, would take a node that met a fault out of the test.
        recovery=Range(1.0, max(2.0, 2 * nodes.poll_cycle_s)),
        default_max_output=_MOST_OUTPUT,
    )


def client_policy(plan: Plan, settings: Policies) -> ClientPolicy:
    """How a node's requests are tried and timed; the settings say what the plan does not."""
    timeouts: StepTimeouts = replace(settings.timeouts, result_s=plan.result_timeout_s)
    session: SessionPolicy = settings.session
    return ClientPolicy(settings.retry, timeouts, session)


def outbox_policy(plan: Plan, settings: Policies) -> OutboxPolicy:
    """Results wait in memory; short leases leave no time for long waits between attempts."""
    lease_s, usual = plan.shortest_lease_s, settings.outbox.back_off
    back_off = BackOff(min(usual.base_s, lease_s / 20), min(usual.cap_s, lease_s / 4))
    return replace(settings.outbox, max_results=1_000_000, max_bytes=1 << 40, remember_s=lease_s, back_off=back_off)


def turnstile(schedule: Schedule, stagger: StaggerPolicy, outbox: Outbox) -> Turnstile:
    """What spreads the return of the shard's nodes, as in a fleet of that size: shards together return as the whole."""
    gap_s = stagger.return_gap_s(schedule.plan.nodes.poll_cycle_s, schedule.size)
    return Turnstile(gap_s, has_results=lambda node: outbox.count(node) > 0)


def stop_policy(driver: DriverPolicy) -> StopPolicy:
    """A node's end in good order takes no longer than the run waits for it."""
    return StopPolicy(drain_s=driver.drain_s, abort_s=driver.abort_s)


def sandbox_policy(schedule: Schedule, bugs: tuple[Bug, ...]) -> SandboxPolicy:
    """The bundled gateway as the plan wants it. It remembers every job of the run, for the audit."""
    plan, wanted = schedule.plan, schedule.plan.sandbox
    jobs = ceil(1.2 * schedule.jobs.expected(0.0, plan.duration_s)) + 1000
    return SandboxPolicy(
        lease_s=wanted.lease_s,
        token_lifetime_s=wanted.token_lifetime_s,
        prefer_other_s=wanted.prefer_other_s,
        active_s=wanted.active_s,
        max_pending=wanted.max_pending,
        rate_per_s=wanted.rate_per_s,
        latency_s=wanted.latency_s,
        keep_results=max(100_000, jobs),
        keep_results_s=max(3600.0, 2 * (plan.duration_s + plan.settling_s(on_sandbox=True))),
        seed=plan.seed,
        bugs=bugs,
    )
