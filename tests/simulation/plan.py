"""One seed's world, drawn before it begins: the fleet, its gateway, and everything that will go wrong."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from node.domain.identity import Hardware, Identity, NodeSpec
from node.domain.ids import AccountId, NodeId
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
from node.domain.proxies import ProxyAddress
from node.domain.secret import Secret
from node.executors.synthetic import SyntheticPolicy
from node.protocol.routes import Step
from node.sandbox.policy import SandboxPolicy, WorkloadPolicy
from node.settings.policies import Policies
from tests.simulation.faults import STEP_NAMES, Fault, Storm, Window

HOUR_S: Final = 3600.0
CALM_FROM_S: Final = 2100.0
"""When the faults end."""
FED_UNTIL_S: Final = 2300.0
"""When the last job is submitted."""
TOKENS_EXPIRE_BY_S: Final = 3700.0
"""How far the gateway's clock jumps ahead: beyond the life of any token."""
SETTLED_BY_S: Final = 3500.0
"""When every live node must be polling and every outbox be empty."""

GATEWAY_URL: Final = "http://gateway.test"
ECHO_URL: Final = "http://echo.test/ip"
PROXY_PASSWORD: Final = Secret("proxy-password-canary")
MODELS: Final = ("llama3.1:latest", "qwen2.5:7b", "mistral:latest")


@dataclass(frozen=True, slots=True)
class GatewayOutage:
    """The gateway ends, by itself or by a kill, and is started again."""

    at: float
    down_s: float
    killed: bool


@dataclass(frozen=True, slots=True)
class FleetRestart:
    """The fleet ends, ``after_steps`` steps after ``at``, in one of three ways, and is started again.

    A drain that lasts longer than ``then_after_s`` becomes an abort or a kill, as ``then`` says.
    """

    at: float
    after_steps: int
    way: str
    """``kill``, ``drain`` or ``abort``."""
    down_s: float
    then: str = "abort"
    then_after_s: float = float("inf")


@dataclass(frozen=True, slots=True)
class EngineOdds:
    """How often an execution hangs, fails, is refused as too much, or meets a defect of the executor."""

    hangs: float = 0.0
    fails: float = 0.0
    overloaded: float = 0.0
    defect: float = 0.0
    stubborn: float = 0.0
    """Share of the hangs that do not end when they are cancelled, but some seconds later."""


@dataclass(frozen=True, slots=True)
class ProxyPlan:
    """Everybody's proxies, and when which of them are down, or show the address that they should hide."""

    addresses: tuple[ProxyAddress, ...] = ()
    dead: tuple[tuple[str, Window], ...] = ()
    seen_through: tuple[tuple[str, Window], ...] = ()
    """Both by host."""

    def is_dead(self, proxy: ProxyAddress, now: float) -> bool:
        """Whether nobody answers there now."""
        return any(host == proxy.host and window.covers(now) for host, window in self.dead)

    def is_seen_through(self, proxy: ProxyAddress, now: float) -> bool:
        """Whether it shows its users' own address now."""
        return any(host == proxy.host and window.covers(now) for host, window in self.seen_through)


@dataclass(frozen=True, slots=True)
class Plan:
    """Everything that a seed decides; the same plan gives the same history, event for event."""

    seed: int
    nodes: int
    policies: Policies
    sandbox: SandboxPolicy
    keeps_state: bool
    """Whether a gateway that is started again knows what it knew."""
    speed: SyntheticPolicy
    engine: EngineOdds
    latency_s: Range
    late_s: Range
    rates: dict[Fault, float]
    storms: tuple[Storm, ...]
    gateway_outages: tuple[GatewayOutage, ...]
    fleet_restarts: tuple[FleetRestart, ...]
    auth_outages: tuple[Window, ...]
    denials: tuple[tuple[str, Window], ...]
    """When secrets or identities, by the step's name, are denied whosever they are."""
    disk_full: tuple[Window, ...]
    disk_s: Range
    """How long the disk takes for a commit."""
    skew_s: float
    """What the fleet's wall clock is off by at first."""
    skew_jumps: tuple[tuple[float, float], ...]
    """When it jumps, and by how many seconds."""
    tokens_expire: tuple[float, ...]
    """When the gateway's clock jumps ahead, so that every token is past its end at once."""
    proxies: ProxyPlan
    last_stop: str
    """How the fleet is stopped at the end of the hour."""

    @property
    def roster(self) -> list[NodeSpec]:
        """Nodes that differ in the models they offer; some have a proxy of their own."""
        return [_spec(number, self.proxies.addresses) for number in range(self.nodes)]


def draw_plan(seed: int, *, nodes: int | None = None) -> Plan:
    """The plan of this seed; ``nodes`` overrides the size of the fleet."""
    chance = random.Random(f"plan {seed}")
    restarts = _draw_fleet_restarts(chance)
    size = _draw_size(chance) if nodes is None else nodes
    cycle_s = _log_uniform(chance, 5.0, 60.0)
    slots = chance.choice((1, 1, 1, 2, 3))
    lease_s = chance.choice((90.0, 150.0, 300.0))
    deadline_s = lease_s * 0.5
    policies = _draw_policies(chance, cycle_s, slots, deadline_s)
    return Plan(
        seed=seed,
        nodes=size,
        policies=policies,
        sandbox=_draw_sandbox(chance, size, cycle_s, lease_s),
        keeps_state=chance.random() < 0.5,
        speed=SyntheticPolicy(1, chance.choice((20, 200)), chance.choice((2.0, 10.0, 80.0))),
        engine=_draw_engine(chance),
        latency_s=Range(0.001, chance.choice((0.01, 0.1, 1.0))),
        late_s=Range(1.0, chance.choice((20.0, 200.0))),
        rates={fault: _log_uniform(chance, 0.0005, 0.02) for fault in Fault if chance.random() < 0.6},
        storms=(
            *(_draw_storm(chance) for _ in range(chance.randrange(6))),
            *(_storm_at(chance, restart) for restart in restarts if chance.random() < 0.3),
        ),
        gateway_outages=_draw_gateway_outages(chance),
        fleet_restarts=restarts,
        auth_outages=tuple(_draw_window(chance, 400) for _ in range(chance.randrange(3))),
        denials=_draw_denials(chance),
        disk_full=tuple(_draw_window(chance, 200) for _ in range(chance.choice((0, 0, 1, 2)))),
        disk_s=Range(0.0, chance.choice((0.0, 0.001, 0.05, 0.5))),
        skew_s=chance.choice((0.0, 0.0, 1.5, -40.0, 3700.0, -86_400.0)),
        skew_jumps=_draw_jumps(chance),
        last_stop=chance.choice(("drain", "drain", "drain", "abort")),
        tokens_expire=tuple(chance.uniform(0, CALM_FROM_S) for _ in range(chance.choice((0, 0, 1, 4)))),
        proxies=_draw_proxies(chance, size),
    )


def _draw_size(chance: random.Random) -> int:
    return 200 if chance.random() < 0.01 else round(chance.triangular(5, 20, 5))


def _draw_policies(chance: random.Random, cycle_s: float, slots: int, deadline_s: float) -> Policies:
    return Policies(
        timeouts=StepTimeouts(poll_s=10, result_s=10, identity_s=20, register_s=20, models_s=10),
        retry=RetryPolicy(attempts=chance.choice((2, 5)), elapsed_s=60, back_off=BackOff(0.5, 15)),
        session=SessionPolicy(),
        node=NodePolicy(
            slots=slots,
            poll_cycle_s=cycle_s,
            poll_failures=chance.choice((3, 5)),
            back_off=BackOff(0.5, 15),
            job_deadline_s=deadline_s,
            models_update=Range(200, 400),
            points_check_s=chance.choice((150.0, 900.0)),
            recovery=Range(10, chance.choice((40, 120))),
        ),
        stop=StopPolicy(drain_s=chance.choice((10.0, 60.0))),
        stagger=StaggerPolicy(min_s=0, max_s=chance.choice((5, 60)), spacing_s=0.5, jitter_s=0.5),
        outbox=OutboxPolicy(
            back_off=BackOff(0.5, 30), remember_s=600, probe_s=5, min_free_bytes=1000, per_node=chance.choice((1, 4))
        ),
        auth=AuthPolicy(open_s=5, open_cap_s=60, release_per_s=10),
        proxy=ProxyPolicy(
            echo_url=ECHO_URL, recheck_s=chance.choice((30, 120)), cool_down_s=20, cool_down_cap_s=120, retry_s=5
        ),
    )


def _draw_sandbox(chance: random.Random, size: int, cycle_s: float, lease_s: float) -> SandboxPolicy:
    per_node = chance.choice((0.03, 0.1, 0.3)) / cycle_s
    workload = WorkloadPolicy(
        other_models=MODELS, rate_per_s=min(10.0, size * per_node), share_other=1.0, max_pending=50, max_output=32
    )
    return SandboxPolicy(
        token_lifetime_s=chance.choice((40.0, 200.0, 1000.0, 3600.0)),
        lease_s=lease_s,
        prefer_other_s=chance.choice((0.0, 30.0)),
        keep_results_s=24 * HOUR_S,
        checkpoint_s=60.0,
        workload=workload,
    )


def _draw_engine(chance: random.Random) -> EngineOdds:
    if chance.random() < 0.4:
        return EngineOdds()
    return EngineOdds(
        hangs=chance.choice((0.0, 0.02, 0.1)),
        fails=chance.choice((0.0, 0.02, 0.1)),
        overloaded=chance.choice((0.0, 0.02)),
        defect=chance.choice((0.0, 0.01)),
        stubborn=chance.choice((0.0, 0.3)),
    )


def _draw_storm(chance: random.Random) -> Storm:
    begin = chance.uniform(0, CALM_FROM_S - 10)
    step = chance.choice(("", *STEP_NAMES))
    end = min(CALM_FROM_S, begin + _log_uniform(chance, 5, 400))
    return Storm(begin, end, chance.choice(tuple(Fault)), step, chance.choice((0.2, 0.5, 0.95)))


def _storm_at(chance: random.Random, restart: FleetRestart) -> Storm:
    """Polls that fail while the fleet is told to end: a drain with a poll under way."""
    fault = chance.choice((Fault.CLIENT_ERROR, Fault.REDIRECT, Fault.SERVER_ERROR, Fault.RESET_AFTER))
    return Storm(restart.at - 5.0, restart.at + 10.0, fault, Step.POLL.label, 0.9)


def _draw_denials(chance: random.Random) -> tuple[tuple[str, Window], ...]:
    if chance.random() < 0.85:
        return ()
    step = chance.choice((Step.CHECK_SECRET, Step.CHECK_IDENTITY))
    return ((step.label, _draw_window(chance, 400)),)


def _draw_window(chance: random.Random, longest_s: float) -> Window:
    begin = chance.uniform(0, CALM_FROM_S - 10)
    return Window(begin, min(CALM_FROM_S, begin + _log_uniform(chance, 5, longest_s)))


def _draw_gateway_outages(chance: random.Random) -> tuple[GatewayOutage, ...]:
    outages = [
        GatewayOutage(chance.uniform(10, CALM_FROM_S - 700), _log_uniform(chance, 0.1, 600), chance.random() < 0.7)
        for _ in range(chance.choice((0, 1, 1, 2, 3)))
    ]
    if chance.random() < 0.2:  # one that falls again and again
        begin = chance.uniform(0, CALM_FROM_S - 400)
        times = (begin + 10 * number + chance.uniform(0, 10) for number in range(chance.randint(3, 20)))
        outages += [GatewayOutage(at, chance.uniform(0.1, 8), chance.random() < 0.7) for at in times]
    return tuple(sorted(outages, key=lambda outage: outage.at))


def _draw_fleet_restarts(chance: random.Random) -> tuple[FleetRestart, ...]:
    times = [chance.uniform(0, CALM_FROM_S - 200) for _ in range(chance.choice((0, 1, 2, 3, 5)))]
    if chance.random() < 0.3:  # one that falls again soon after it was started
        times += [at + chance.uniform(0.5, 20) for at in times]
    return tuple(_draw_restart(chance, at) for at in sorted(times))


def _draw_restart(chance: random.Random, at: float) -> FleetRestart:
    return FleetRestart(
        at=at,
        after_steps=int(_log_uniform(chance, 1, 3000)),
        way=chance.choice(("kill", "kill", "kill", "drain", "drain", "abort")),
        down_s=_log_uniform(chance, 0.5, 120),
        then=chance.choice(("abort", "kill")),
        then_after_s=chance.choice((float("inf"), 0.0, 0.3, 2.0, 20.0)),
    )


def _draw_jumps(chance: random.Random) -> tuple[tuple[float, float], ...]:
    if chance.random() < 0.7:
        return ()
    return ((chance.uniform(0, CALM_FROM_S), chance.choice((-3600.0, -5.0, 5.0, 600.0))),)


def _draw_proxies(chance: random.Random, size: int) -> ProxyPlan:
    if chance.random() < 0.5:
        return ProxyPlan()
    hosts = [f"10.0.0.{number}" for number in range(chance.randint(1, size + 3))]

    def windows(share: float) -> tuple[tuple[str, Window], ...]:
        return tuple((host, _draw_window(chance, 600)) for host in hosts if chance.random() < share)

    addresses = tuple(ProxyAddress("http", host, 3128, "proxy-user", PROXY_PASSWORD) for host in hosts)
    return ProxyPlan(addresses, dead=(*windows(0.3), *_flapping(chance, hosts)), seen_through=windows(0.1))


def _flapping(chance: random.Random, hosts: Sequence[str]) -> Iterator[tuple[str, Window]]:
    """Proxies that fail for moments, in the midst of a node's steps."""
    for host in hosts:
        if chance.random() < 0.2:
            for _ in range(60):
                begin = chance.uniform(0, CALM_FROM_S - 10)
                yield host, Window(begin, begin + chance.uniform(0.5, 5))


def _spec(number: int, proxies: Sequence[ProxyAddress]) -> NodeSpec:
    own = proxies[number % len(proxies)] if proxies and number % 4 == 0 else None
    return NodeSpec(
        Identity(
            node_id=NodeId(f"node-{number:03d}"),
            secret=Secret(f"node-secret-{number:03d}"),
            account_id=AccountId(f"account-{number % 5}"),
            pub_key=f"key-{number}",
        ),
        Hardware(ram_mb=16384, cpu_cores=8, vram_mb=8192, gpu="none", os="linux"),
        MODELS[: 3 - number % 3],
        own,
    )


def _log_uniform(chance: random.Random, low: float, high: float) -> float:
    return float(low * (high / low) ** chance.random())
