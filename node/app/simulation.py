"""A simulation from its start to its outcome."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TextIO

from node.app.assembly import Fleet
from node.app.control_file import read_control_file
from node.app.display import Display
from node.app.fleet import open_fleet
from node.app.plan import FleetPlan
from node.app.sandbox import SandboxControl, running_sandbox
from node.app.stop_orders import StopOrders
from node.app.summary import Outcome
from node.app.telemetry import Listening, Telemetry, open_telemetry
from node.domain.errors import TransportError
from node.domain.events import ResultLost
from node.gateway.httpx_transport import HttpxTransportFactory
from node.gateway.tls import client_context
from node.manager.shutdown import ShutdownSignals
from node.observability.log_files import Topic
from node.observability.redaction import Redactor
from node.ports.transport import Request, Transport
from node.protocol.routes import Step
from node.runtime.signals import Signal
from node.runtime.tasks import TaskOwner
from node.sandbox.process import SandboxProcess
from node.settings.model import Settings

_LOOK_S: Final = 10.0


@dataclass(frozen=True, slots=True)
class Gateway:
    """The gateway of a run; ``control`` finds the way to its ledger where it is a sandbox on this machine, else None.

    ``echo_url`` is its own IP echo, empty where it has none; ``feeds_for_us`` says that its feeder ends with the run.
    """

    url: str
    auth_url: str
    echo_url: str = ""
    control: Callable[[], SandboxControl | None] = lambda: None
    feeds_for_us: bool = False


@dataclass(frozen=True, slots=True)
class Simulation:
    """One run of ``python main.py simulate``.

    It drains after ``duration_s``; None runs until a signal. The first SIGINT or SIGTERM drains too, the second
    aborts, the third ends the process with ``exit_code_at_third_signal``. ``console`` gets the log's errors; None
    where a live screen is shown.
    """

    plan: FleetPlan
    cwd: Path
    display: Display
    redactor: Redactor
    exit_code_at_third_signal: int
    duration_s: float | None = None
    console: TextIO | None = None

    async def run(self) -> Outcome:
        """Run to the end, whatever ends it. Nodes that fail do not raise: the outcome tells of them.

        Raises:
            SandboxFailed: the bundled gateway did not start.
            StorageInUse, StorageUnavailable: the outbox cannot be used.
            InvalidInput: the CA file cannot be used.
        """
        orders = StopOrders(self.display, self.plan.settings.stop)
        plan = self.plan
        about = Listening([spec.node_id for spec in plan.nodes], plan.settings.logging, plan.state_dir, plan.log_folder)
        async with open_telemetry(about, self.console, self.redactor) as telemetry:
            tasks = TaskOwner(telemetry.bus.emit)
            with ShutdownSignals(orders.drain, orders.abort, self.exit_code_at_third_signal):
                try:
                    async with self._gateway(telemetry, tasks) as gateway:
                        return await self._run(gateway, telemetry, tasks, orders)
                finally:
                    await tasks.cancel()

    @contextlib.asynccontextmanager
    async def _gateway(self, telemetry: Telemetry, tasks: TaskOwner) -> AsyncIterator[Gateway]:
        settings = self.plan.settings.gateway
        if not self.plan.uses_sandbox:
            async with _direct_transport(self.plan.settings) as transport:
                # Asked for anew each time: a gateway that was started again has another token.
                yield Gateway(settings.url, settings.effective_auth_url, control=lambda: self._found(transport))
            return
        logger = telemetry.logs.logger(Topic.GENERAL)
        async with (
            running_sandbox(self.plan, self.cwd, tasks, lambda line: logger.warning("sandbox", line=line)) as process,
            _direct_transport(self.plan.settings) as transport,
        ):
            self.redactor.register(process.handshake.control_token)
            url = process.handshake.url
            self.display.say(f"No gateway is configured: a sandbox gateway runs at {url} and is fed with jobs.")
            tasks.start(self._watch_sandbox(process), "watch the sandbox")
            control = SandboxControl(transport, process.handshake)
            yield Gateway(url, url, f"{url}/ip", lambda: control, feeds_for_us=True)

    def _found(self, transport: Transport) -> SandboxControl | None:
        handshake = read_control_file(self.plan.state_dir, self.plan.settings.gateway.url)
        if handshake is None:
            return None
        self.redactor.register(handshake.control_token)
        return SandboxControl(transport, handshake)

    async def _watch_sandbox(self, process: SandboxProcess) -> None:
        code = await process.wait()
        if code:
            self.display.say(f"The sandbox gateway has ended with exit code {code}.")

    async def _run(self, gateway: Gateway, telemetry: Telemetry, tasks: TaskOwner, orders: StopOrders) -> Outcome:
        async with open_fleet(self.plan, gateway.url, gateway.auth_url, telemetry, echo_url=gateway.echo_url) as fleet:
            self._tell_left_overs(fleet)
            telemetry.bus.subscribe(ResultLost, self._on_result_lost)
            stop = Signal()
            watching = tasks.start(self.display.watch(fleet, telemetry, stop), "display")
            tasks.start(self._look_for(gateway), "look for the gateway")
            orders.obeyed_by(lambda: _drain(fleet, gateway, tasks), fleet.abort)
            loop = asyncio.get_running_loop()
            timer = None if self.duration_s is None else loop.call_later(self.duration_s, orders.drain)
            try:
                await fleet.run()
                control = gateway.control()
                ledger = None if control is None else await control.ledger(orders.patience_s())
            finally:
                if timer is not None:
                    timer.cancel()
                stop.set()
                await asyncio.wait([watching])
            return Outcome(
                gateway=gateway.url,
                view=telemetry.monitor.snapshot(),
                nodes=telemetry.monitor.nodes(),
                ledger=ledger,
                unsent=fleet.outbox.count(),
                dead=sum(1 for _ in fleet.outbox.dead()),
                orphans=sum(fleet.sender.orphans(fleet.manager.nodes.keys()).values()),
                aborted=orders.aborted,
            )

    async def _look_for(self, gateway: Gateway) -> None:
        """Say so when nobody answers: the nodes keep trying, but whoever mistyped an address should know."""
        route = Step.PING.route
        async with _direct_transport(self.plan.settings) as transport:
            try:
                await transport.exchange(Request(route.method, gateway.url + route.path), _LOOK_S)
            except TransportError as error:
                self.display.say(f"The gateway at {gateway.url} does not answer ({error}); the nodes keep trying.")

    def _on_result_lost(self, event: ResultLost) -> None:
        self.display.say(f"{event.key.node}: the result of job {event.key.job} is lost: {event.reason}.")

    def _tell_left_overs(self, fleet: Fleet) -> None:
        waiting = fleet.outbox.count()
        if waiting:
            self.display.say(f"{waiting} finished results of an earlier run are in the outbox; they are sent first.")
        for node, count in fleet.sender.orphans(fleet.manager.nodes.keys()).items():
            self.display.say(
                f"{count} of them are of node {node}, which is not on the roster; they wait until they expire."
            )


def _drain(fleet: Fleet, gateway: Gateway, tasks: TaskOwner) -> None:
    if gateway.feeds_for_us and (control := gateway.control()) is not None:
        tasks.start(control.stop_feeding(), "stop feeding")
    fleet.drain()


@contextlib.asynccontextmanager
async def _direct_transport(settings: Settings) -> AsyncIterator[Transport]:
    transport = HttpxTransportFactory(client_context(settings.gateway.ca_file)).open(None)
    try:
        yield transport
    finally:
        await transport.aclose()
