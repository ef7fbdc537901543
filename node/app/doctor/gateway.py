"""Looks at what a node needs of others: gateway, clock, secret, identity, proxy.

It never registers: a node with this identity may be at work.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from typing import Final

from node.app.doctor.findings import Finding, failed, passed, warned
from node.domain.errors import ConnectFailed, ProxyFailed, TimedOut, TlsFailed, TransportError
from node.domain.identity import NodeSpec
from node.domain.policies import ProxyPolicy, StepTimeouts
from node.domain.proxies import ProxyAddress
from node.domain.secret import Secret
from node.domain.verdict import Ruling, Verdict
from node.gateway.caller import masked_reply
from node.gateway.deployment import Deployment
from node.gateway.session import server_time
from node.monitors.proxy_check import ProxyChecker
from node.ports.clock import Clock
from node.ports.transport import Reply, Request, Transport, TransportFactory
from node.protocol import translate
from node.protocol.routes import Step
from node.protocol.verdict import judge

_JSON: Final = (("content-type", "application/json"),)
_PROXY_S: Final = 6.0
"""For the proxy to answer, and as much for the direct way that it is compared with."""
_GATEWAY_S: Final = 9.0
_AUTH_S: Final = 18.0
_DOUBTFUL_SKEW_S: Final = 30.0
_WRONG_SKEW_S: Final = 300.0


@dataclass(frozen=True, slots=True)
class GatewayExamination:
    """Asks the gateway and its auth service, through the node's proxy where it has one. Without a ``spec``, where
    nothing says who the node is, only whether the gateway can be reached, and its time.

    ``transports`` are the node's own kind, so that TLS is verified as it does. A question has the time that a node
    would give it, and less where that would make people wait: half a minute is the most for all of them.
    """

    spec: NodeSpec | None
    deployment: Deployment
    timeouts: StepTimeouts
    proxy_policy: ProxyPolicy
    transports: TransportFactory
    clock: Clock

    async def findings(self) -> AsyncIterator[Finding]:
        """What is found, one after the other. Never raises."""
        proxy = None if self.spec is None else self.spec.proxy
        if proxy is not None:
            found = await self._proxy(proxy)
            yield found
            if found.status == "fail":
                for name in ("gateway", "clock", "secret", "identity"):
                    yield warned(name, "not asked: a node with a proxy goes by no other way", "mend the proxy first")
                return
        transport = self.transports.open(proxy)
        try:
            if self.spec is None:
                async for found in self._ask_gateway(transport, None):
                    yield found
                yield warned("identity", _UNKNOWN, _NAME_IT)
            else:
                async for found in self._ask(transport, self.spec):
                    yield found
        finally:
            await transport.aclose()

    async def _proxy(self, proxy: ProxyAddress) -> Finding:
        policy = replace(self.proxy_policy, check_s=min(self.proxy_policy.check_s, _PROXY_S))
        checker = ProxyChecker(self.transports, policy, self.clock)
        checked = await checker.check(proxy)
        place = str(proxy)
        if not checked.is_conclusive:
            return warned("proxy", f"{place}: {checked.fault}", "set proxy.echo_url to a service that can be reached")
        if checked.fault:
            return failed("proxy", f"{place}: {checked.fault}", "correct its address and password, or use another")
        return passed("proxy", f"{place} hides the direct address, {checked.took_s * 1000:.0f} ms")

    async def _ask(self, transport: Transport, spec: NodeSpec) -> AsyncIterator[Finding]:
        identity = asyncio.get_running_loop().create_task(self._identity(transport, spec), name="identity")
        try:
            is_reached = True
            async for found in self._ask_gateway(transport, spec):
                yield found
                is_reached = is_reached and (found.name, found.status) != ("gateway", "fail")
            if is_reached or self.deployment.auth_url != self.deployment.gateway_url:
                yield await identity
            else:
                yield warned("identity", "not asked: the auth service is the gateway's own", "mend that first")
        finally:
            identity.cancel()
            await asyncio.wait([identity])

    async def _ask_gateway(self, transport: Transport, spec: NodeSpec | None) -> AsyncIterator[Finding]:
        route = Step.PING.route
        url = self.deployment.url(Step.PING)
        started = self.clock.monotonic()
        try:
            reply = await transport.exchange(Request(route.method, url), min(self.timeouts.secret_s, _GATEWAY_S))
        except TransportError as error:
            yield failed("gateway", f"{self.deployment.gateway_url} cannot be used: {error}", _remedy(error))
            for name in ("clock", "secret"):
                yield warned(name, "not asked: the gateway cannot be used", "mend that first")
        else:
            took_ms = (self.clock.monotonic() - started) * 1000
            yield self._answered(reply, took_ms)
            yield self._time(reply)
            yield warned("secret", _UNKNOWN, _NAME_IT) if spec is None else await self._secret(transport, spec)

    def _answered(self, reply: Reply, took_ms: float) -> Finding:
        place = self.deployment.gateway_url
        if reply.status >= 500:
            return failed(
                "gateway", f"{place} answers HTTP {reply.status}", "the gateway is in trouble: ask its operator"
            )
        if reply.status >= 300:
            text = f"{place} answers HTTP {reply.status} to {Step.PING.route.path}"
            remedy = (
                _elsewhere(reply, self.deployment.url(Step.PING))
                or "check that gateway.url is the gateway's base address"
            )
            return warned("gateway", text, remedy)
        verified = ", its certificate is good" if place.startswith("https:") else ""
        return passed("gateway", f"{place} answers within {took_ms:.0f} ms{verified}")

    def _time(self, reply: Reply) -> Finding:
        sent_at = server_time(reply.headers)
        if sent_at is None:
            return warned("clock", "the gateway does not tell its time")
        skew_s = self.clock.wall() - sent_at
        text = f"this machine is {abs(skew_s):.0f} s {'ahead of' if skew_s > 0 else 'behind'} the gateway"
        remedy = "set the clock, for instance with: timedatectl set-ntp true"
        if abs(skew_s) >= _WRONG_SKEW_S:
            return failed("clock", text, remedy)
        if abs(skew_s) >= _DOUBTFUL_SKEW_S:
            return warned("clock", text, remedy)
        return passed("clock", text)

    async def _secret(self, transport: Transport, spec: NodeSpec) -> Finding:
        timeout_s = min(self.timeouts.secret_s, _GATEWAY_S)
        verdict, elsewhere = await self._step(transport, Step.CHECK_SECRET, spec, timeout_s)
        if isinstance(verdict, TransportError):
            return failed("secret", str(verdict), _remedy(verdict))
        match verdict.ruling:
            case Ruling.OK:
                return passed("secret", f"the gateway takes the secret of node {spec.node_id}")
            case Ruling.IDENTITY_REFUSED:
                text = f"the gateway denies the secret of node {spec.node_id}: {verdict.reason}"
                return failed("secret", text, "correct NODE_ID and NODE_SECRET, or the row of the roster")
            case _:
                remedy = elsewhere or "the gateway is in trouble: try again, or ask its operator"
                return failed("secret", verdict.reason, remedy)

    async def _identity(self, transport: Transport, spec: NodeSpec) -> Finding:
        timeout_s = min(self.timeouts.identity_s, _AUTH_S)
        verdict, elsewhere = await self._step(transport, Step.CHECK_IDENTITY, spec, timeout_s)
        if isinstance(verdict, TimedOut):
            text = f"the auth service at {self.deployment.auth_url} said nothing within {timeout_s:g} s"
            remedy = f"check the network and firewalls; nodes give it {self.timeouts.identity_s:g} s, and try again"
            return failed("auth", text, remedy)
        if isinstance(verdict, TransportError):
            return failed(
                "auth", f"the auth service at {self.deployment.auth_url} cannot be used: {verdict}", _remedy(verdict)
            )
        match verdict.ruling:
            case Ruling.OK:
                account = spec.identity.account_id
                return passed("identity", f"the auth service knows account {account} and node {spec.node_id}")
            case Ruling.IDENTITY_REFUSED:
                text = f"the auth service does not know this account and node: {verdict.reason}"
                return failed("identity", text, "correct ACCOUNT_ID and NODE_PUB_KEY, or the row of the roster")
            case _:
                text = f"the auth service at {self.deployment.auth_url} is in trouble: {verdict.reason}"
                return failed("auth", text, elsewhere or "wait, or ask its operator; nodes wait for it by themselves")

    async def _step(
        self, transport: Transport, step: Step, spec: NodeSpec, timeout_s: float
    ) -> tuple[Verdict | TransportError, str]:
        """What came of it, and what to do where that was no gateway at all."""
        body = translate.secret_check(spec) if step is Step.CHECK_SECRET else translate.identity_check(spec)
        request = Request(step.route.method, self.deployment.url(step), _JSON, body.to_wire())
        try:
            reply = await transport.exchange(request, timeout_s)
        except TransportError as error:
            return error, ""
        shown = masked_reply(reply, spec.identity.secret, Secret(""))
        return judge(step, shown.status, shown.headers, shown.body).verdict, _elsewhere(shown, request.url)


_UNKNOWN: Final = "not asked: nothing says who the node is"
_NAME_IT: Final = "set NODE_ID and its like, or name a row of the roster with --node or --claim"


def _elsewhere(reply: Reply, url: str) -> str:
    """What to do about an answer that is no gateway's; empty for one that may be."""
    if 300 <= reply.status < 400:
        return f"redirects are not followed: write the address that it redirects to, which this shows: curl -sI {url}"
    if reply.headers.get("content-type", "").partition(";")[0].strip().lower() == "text/html" and reply.status < 500:
        return "check the address: what answers there is a web page, and no gateway"
    return ""


def _remedy(error: TransportError) -> str:
    match error:
        case TlsFailed():
            return "use the name that its certificate bears, or set gateway.ca_file to the authority that signed it"
        case ProxyFailed():
            return "correct the proxy's address and password, or use another"
        case ConnectFailed():
            return "check the address, the network and firewalls; is it running?"
        case TimedOut():
            return "check the network and firewalls; it is silent"
        case _:
            return "check the address: what answers there does not speak as a gateway does"
