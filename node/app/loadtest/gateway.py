"""The gateway of load tests: the one that is configured, or a bundled sandbox that is there as long as they run."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable
from typing import Final

from node.app.control_file import read_control_file
from node.app.loadtest.assembly import LoadGateway
from node.app.loadtest.control import LoadControl
from node.app.loadtest.plan import LoadTestPlan
from node.gateway.fast.transport import FastTransportFactory
from node.gateway.httpx_transport import HttpxTransportFactory
from node.gateway.tls import client_context
from node.observability.redaction import Redactor
from node.ports.transport import Request, Transport, TransportFactory
from node.protocol.routes import Step
from node.runtime.tasks import TaskOwner
from node.sandbox.policy import SandboxPolicy
from node.sandbox.process import SandboxProcess
from node.settings.model import Settings

_PING_S: Final = 10.0


def transports(settings: Settings) -> TransportFactory:
    """Connections that nobody else shares: what is cut off for nodes is not for those who watch.

    Raises:
        InvalidInput: the CA file cannot be used.
    """
    gateway = settings.gateway
    tls, most = client_context(gateway.ca_file), gateway.max_reply_bytes
    stock = HttpxTransportFactory(tls, max_reply_bytes=most, trust_env=gateway.trust_env_proxies)
    return FastTransportFactory(tls, stock, max_reply_bytes=most, trust_env=gateway.trust_env_proxies)


@contextlib.asynccontextmanager
async def opened_transport(factory: TransportFactory) -> AsyncIterator[Transport]:
    """A transport of its own, closed at the end of the block."""
    transport = factory.open(None)
    try:
        yield transport
    finally:
        await transport.aclose()


@contextlib.asynccontextmanager
async def opened_gateway(
    plan: LoadTestPlan, policy: SandboxPolicy, redactor: Redactor, say: Callable[[str], object], tasks: TaskOwner
) -> AsyncIterator[LoadGateway]:
    """The plan's gateway, or where none is configured a sandbox that behaves by ``policy`` and ends with the block.

    ``say`` is told what a person should know, ``tasks`` owns what watches the sandbox.

    Raises:
        SandboxFailed: the bundled gateway did not start.
        TransportError: the gateway does not answer.
        InvalidInput: the CA file cannot be used.
    """
    settings = plan.settings.gateway
    async with opened_transport(transports(plan.settings)) as transport:
        if not plan.uses_sandbox:
            # Whoever mistyped an address should know at once, and not by the figures of a whole run.
            await transport.exchange(Request(Step.PING.route.method, settings.url + Step.PING.route.path), _PING_S)
            handshake = read_control_file(plan.state_dir, settings.url)
            control = None
            if handshake is not None:
                redactor.register(handshake.control_token)
                control = LoadControl(transport, handshake)
            yield LoadGateway(settings.url, settings.effective_auth_url, control, is_bundled=False)
            return
        process = await SandboxProcess.start(policy, tasks, on_line=lambda line: say(f"sandbox: {line}"))
        try:
            handshake = process.handshake
            redactor.register(handshake.control_token)
            say(f"No gateway is configured: a sandbox gateway runs at {handshake.url}.")
            tasks.start(_watch(process, say), "watch the sandbox")
            yield LoadGateway(handshake.url, handshake.url, LoadControl(transport, handshake), is_bundled=True)
        finally:
            await process.stop()


async def _watch(process: SandboxProcess, say: Callable[[str], object]) -> None:
    if code := await process.wait():
        say(f"The sandbox gateway has ended with exit code {code}.")
