"""A load test in virtual time against the sandbox's application, wired as the program wires it."""

from __future__ import annotations

import contextlib
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar, get_args

from starlette.types import ASGIApp, Receive, Scope, Send

from node.app.loadtest.assembly import LoadBase, LoadGateway, assembled_run
from node.app.loadtest.control import LoadControl
from node.app.loadtest.judging import Evidence, judge_run
from node.app.loadtest.policies import sandbox_policy
from node.domain.events import Crash, Event
from node.domain.secret import Secret
from node.gateway.asgi_transport import AsgiTransportFactory
from node.loadtest.audit.policy import AuditPolicy
from node.loadtest.driver.engine import PlannedEngine
from node.loadtest.driver.identities import MadeIdentities
from node.loadtest.driver.outcome import LoadOutcome
from node.loadtest.driver.policy import DriverPolicy
from node.loadtest.driver.run import LoadRun, ShardRecord
from node.loadtest.plan.model import Engine
from node.loadtest.plan.reading import scenario_of
from node.loadtest.plan.scenario import Scenario, Schedule
from node.observability.bus import EventBus
from node.ports.clock import Clock
from node.runtime.signals import Signal
from node.sandbox.app import Dated
from node.sandbox.assembly import Sandbox, sandbox
from node.sandbox.assembly import Surroundings as SandboxSurroundings
from node.sandbox.bugs import parse_bugs
from node.sandbox.handshake import Handshake
from node.settings.load import load_settings
from node.settings.policies import to_policies
from tests.support.fleet import CountingIds
from tests.support.virtual_time import VirtualClock
from tests.unit.runtime.inline import InlineExecutor

E = TypeVar("E")

URL = "http://gateway.test"

BASE = """
name = "test"
duration = "{duration}"
settle = "{settle}"
warm_up = "0s"
seed = {seed}
thresholds = {thresholds}
[nodes]
poll_cycle = "{cycle}"
slots = {slots}
{nodes}
[jobs]
{arrivals}
[engine]
output_tokens = 20
tokens_per_s = {speed}
{faults}
[sandbox]
lease = "{lease}"
prefer_other = "0.5s"
active = "5s"
"""


def plan_text(**changes: object) -> str:
    """A small plan: ten nodes, ten jobs a second for ten seconds, half a second each."""
    given: dict[str, object] = {
        "duration": "12s",
        "settle": "20s",
        "seed": 1,
        "thresholds": '["jobs.lost == 0", "jobs.submitted > 50"]',
        "cycle": "250ms",
        "slots": 1,
        "nodes": '[[nodes.stages]]\nkind = "storm"\nto = 10',
        "arrivals": '[[jobs.arrivals]]\nkind = "constant"\nrate = 10\nat = "1s"\nfor = "10s"',
        "speed": 40,
        "faults": "",
        "lease": "5s",
    }
    return BASE.format(**(given | changes))


def fault(kind: str, at: str, **more: object) -> str:
    lines = [f'{name} = "{value}"' if isinstance(value, str) else f"{name} = {value}" for name, value in more.items()]
    return "\n".join(
        ["[[faults]]", f'kind = "{kind}"', f'at = "{at}"', *(line.replace("for_", "for") for line in lines)]
    )


class Door:
    """Stands before the gateway: while it is shut nobody is answered, and all are when it opens."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._opened: Signal | None = None

    def shut(self) -> None:
        self._opened = Signal()

    def open(self) -> None:
        assert self._opened is not None
        self._opened.set()
        self._opened = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self._opened is not None:
            await self._opened.wait()
        await self._app(scope, receive, send)


@dataclass
class World:
    """A run that is ready, and everything around it."""

    scenario: Scenario
    run: LoadRun
    sandbox: Sandbox
    door: Door
    events: list[Event]
    crashes: list[Crash]
    judge: Callable[[ShardRecord], Awaitable[LoadOutcome]]

    async def outcome(self) -> LoadOutcome:
        """Run to the end, and judge."""
        return await self.judge(await self.run.run())

    def of(self, kind: type[E]) -> list[E]:
        return [event for event in self.events if isinstance(event, kind)]


@contextlib.asynccontextmanager
async def world(
    text: str | Scenario,
    *bugs: str,
    has_control: bool = True,
    policy: DriverPolicy | None = None,
    audit: AuditPolicy | None = None,
    around_app: Callable[[ASGIApp], ASGIApp] = lambda app: app,
    sandbox_clock: Clock | None = None,
) -> AsyncIterator[World]:
    """A run of this plan; ``audit`` None knows the plan's lease, ``around_app`` may stand before the gateway."""
    scenario = text if isinstance(text, Scenario) else scenario_of(text, "plan.toml")
    schedule = Schedule(scenario)
    clock, policy = VirtualClock(), policy or DriverPolicy()
    crashes: list[Crash] = []
    events: list[Event] = []
    around = SandboxSurroundings(
        clock=sandbox_clock or clock,
        random=random.Random("sandbox"),
        ids=CountingIds(),
        secret=Secret("signing-secret-" + "x" * 32),
        control_token=Secret("control-token"),
        on_crash=crashes.append,
        executor=InlineExecutor(),
    )
    async with sandbox(sandbox_policy(schedule, parse_bugs(bugs)), around) as running:
        app = Door(around_app(Dated(running.app, clock)))
        factories = [AsgiTransportFactory(app, crashes.append) for _ in range(2)]
        developer = factories[1].open(None)
        handshake = Handshake(url=URL, control_token=Secret("control-token"), pid=1)
        control = LoadControl(developer, handshake) if has_control else None
        gateway = LoadGateway(URL, URL, control, is_bundled=True)
        chance = random.Random(1)
        engine = scenario.plan.engine
        assert isinstance(engine, Engine)
        bus = EventBus()
        bus.subscribe(Crash, crashes.append)
        for kind in get_args(Event):
            bus.subscribe(kind, events.append)
        settings = load_settings(config_file=None, profile=None, flags={}, environ={}, cwd=Path("/nonexistent"))
        base = LoadBase(
            clock=clock,
            random=chance,
            bus=bus,
            transports=factories[0],
            executor=PlannedEngine(engine, chance, shard=0),
            identities=MadeIdentities("run", Secret("a-key"), schedule.models_of),
            developer=developer,
            cpu_s=lambda: 0.0,
            policies=to_policies(settings),
            node_version="0.0.4",
        )
        api_key = Secret("developer")
        with assembled_run(schedule, gateway, base, api_key, policy) as run:

            async def judge(record: ShardRecord) -> LoadOutcome:
                evidence = Evidence(
                    scenario=scenario,
                    gateway=gateway,
                    developer=developer,
                    api_key=api_key,
                    audit=audit or AuditPolicy(lease_s=scenario.plan.sandbox.lease_s),
                    bugs=bugs,
                    defects=tuple(crash.error for crash in crashes),
                )
                return await judge_run(record, evidence, policy)

            yield World(scenario, run, running, app, events, crashes, judge)
        await developer.aclose()
        for factory in factories:
            await factory.aclose()
