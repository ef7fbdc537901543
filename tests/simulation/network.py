"""The network between a fleet and its gateway: it takes time, loses, doubles, breaks and lies."""

from __future__ import annotations

import asyncio
import json
import random
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Final, Protocol
from urllib.parse import urlsplit

from node.domain.errors import (
    BrokenReply,
    ConnectFailed,
    ProxyFailed,
    ReplyTooLarge,
    TimedOut,
    TlsFailed,
    TransportError,
)
from node.domain.proxies import ProxyAddress
from node.ports.transport import Reply, Request
from node.protocol.routes import Step
from tests.simulation.faults import (
    CLIENT_STATUSES,
    ECHO_DIRECT,
    ECHO_PROXY,
    NODE_STEPS,
    SERVER_STATUSES,
    Fault,
    Plight,
    Tally,
    Weather,
)
from tests.simulation.gateway_host import GatewayHost
from tests.simulation.plan import CALM_FROM_S, ECHO_URL, Plan
from tests.simulation.timeline import Process, Timeline

_LABELS: Final = {step.route.path: step.label for step in NODE_STEPS}
_POLL: Final = Step.POLL.label
_CHECK: Final = Step.CHECK_IDENTITY.label
_PAGES: Final = (b"<html>Sign in to the hotel's network</html>", b"\x00\xff\xfe garbage", b"[1, 2", b"null", b"")
_OWN_ADDRESS: Final = "203.0.113.1"

_UNACTED: Final[Mapping[Fault, Callable[[], TransportError]]] = {
    Fault.REFUSED: lambda: ConnectFailed("gateway.test: connection refused"),
    Fault.UNTRUSTED: lambda: TlsFailed("gateway.test: certificate has expired"),
    Fault.RESET_BEFORE: lambda: BrokenReply("gateway.test: connection reset"),
}
"""What breaks an exchange before the gateway has seen it."""

_ACTED: Final[Mapping[Fault, Callable[[], TransportError]]] = {
    Fault.RESET_AFTER: lambda: BrokenReply("gateway.test: connection reset"),
    Fault.CUT: lambda: BrokenReply("gateway.test: closed in the middle of the reply"),
    Fault.TOO_LARGE: lambda: ReplyTooLarge("gateway.test: more bytes than allowed"),
}
"""What spoils an exchange after the gateway has acted."""


class Witness(Protocol):
    """Sees every exchange from the wire's side."""

    def sent(self, step: str, request: Request) -> None:
        """A node sends a request."""

    def delivered(self, step: str, request: Request, reply: Reply) -> None:
        """A whole reply reaches a node that still waits for it."""


class Flight:
    """One request on its way, and who waits for its reply."""

    __slots__ = ("client", "ending", "is_cut", "proxy", "request", "step")

    def __init__(
        self, client: Process, step: str, request: Request, ending: asyncio.Future[Reply], proxy: ProxyAddress | None
    ) -> None:
        self.client = client
        self.step = step
        self.request = request
        self.ending = ending
        self.proxy = proxy
        self.is_cut = False
        """Whether its connection is gone."""

    @property
    def is_awaited(self) -> bool:
        """Whether anybody is there to hear what becomes of it."""
        return not (self.is_cut or self.client.is_dead or self.ending.done())


class Network:
    """Carries every exchange, in a process of its own that never dies."""

    def __init__(
        self, timeline: Timeline, plan: Plan, host: GatewayHost, tally: Tally, witness: Witness, process: Process
    ) -> None:
        self._timeline = timeline
        self._plan = plan
        self._host = host
        self._tally = tally
        self._witness = witness
        self._process = process
        self._chance = random.Random(f"network {plan.seed}")
        self._weather = Weather(plan.rates, plan.storms, CALM_FROM_S, str(plan.seed))
        self.under_way: dict[Flight, None] = {}
        self.sent: Counter[str] = Counter()

    def fingerprint(self) -> object:
        """What differs as soon as anything else was drawn here."""
        return self._chance.random(), self._weather.fingerprint(), sorted(self.sent.items())

    def steps_under_way(self) -> list[str]:
        """The steps of all exchanges that somebody waits for."""
        return [flight.step for flight in self.under_way if flight.is_awaited]

    def break_connections(self) -> None:
        """The gateway's process has ended: what was on its way to it or from it is gone."""
        for flight in list(self.under_way):
            if flight.is_awaited and flight.step not in {ECHO_DIRECT, ECHO_PROXY}:
                self._tally.note(Plight.GATEWAY_KILLED, flight.step)
                self._fail(flight, BrokenReply("gateway.test: connection reset"))
                flight.is_cut = True

    def launch(self, flight: Flight) -> None:
        """Send a request off."""
        self.under_way[flight] = None
        self.sent[flight.step] += 1
        self._witness.sent(flight.step, flight.request)
        fault = self._weather.strike(flight.step, self._timeline.now)
        if fault is not None:
            self._tally.note(fault, flight.step)
        if flight.proxy is not None and self._plan.proxies.is_dead(flight.proxy, self._timeline.now):
            self._tally.note(Plight.PROXY_DEAD, flight.step)
            self._fail_later(flight, ProxyFailed(f"proxy {flight.proxy}: connection refused"))
        elif fault is not None and fault in _UNACTED:
            self._fail_later(flight, _UNACTED[fault]())
        elif fault is not Fault.LOST_REQUEST:
            self._process.call_later(self._travel_s(fault), self._arrive, flight, fault)

    def _travel_s(self, fault: Fault | None = None) -> float:
        between = self._plan.late_s if fault is Fault.LATE else self._plan.latency_s
        return between.draw(self._chance)

    def _arrive(self, flight: Flight, fault: Fault | None) -> None:
        if flight.is_cut:
            return
        if flight.step in {ECHO_DIRECT, ECHO_PROXY}:
            self._answered(flight, fault, 200, [], self._echo(flight))
        elif flight.step == _CHECK and any(outage.covers(self._timeline.now) for outage in self._plan.auth_outages):
            self._tally.note(Plight.AUTH_OUTAGE, flight.step)
            if self._chance.random() < 0.5:
                self._answered(flight, None, 503, [], b"")
        elif any(step == flight.step and window.covers(self._timeline.now) for step, window in self._plan.denials):
            self._tally.note(Plight.DENIED, flight.step)
            self._answered(flight, None, *self._denial(flight.step))
        elif not self._host.is_up:
            self._tally.note(Plight.GATEWAY_DOWN, flight.step)
            self._fail_later(flight, ConnectFailed("gateway.test: connection refused"))
        elif fault in {Fault.CLIENT_ERROR, Fault.SERVER_ERROR, Fault.REDIRECT}:
            self._answered(flight, None, *self._lie(fault, flight.request))
        elif fault is Fault.GARBAGE and self._chance.random() < 0.5:
            self._answered(flight, fault, 200, [], b"")
        else:
            self._host.handle(
                flight.request,
                flight.proxy.host if flight.proxy else None,
                lambda status, headers, body: self._answered(flight, fault, status, headers, body),
            )
            if fault is Fault.DUPLICATED:
                self._process.call_later(self._travel_s(), self._arrive_again, flight)

    def _arrive_again(self, flight: Flight) -> None:
        if self._host.is_up:
            self._host.handle(flight.request, None, lambda *_: None)

    def _answered(
        self, flight: Flight, fault: Fault | None, status: int, headers: list[tuple[bytes, bytes]], body: bytes
    ) -> None:
        """A reply leaves the gateway, or what speaks in its place."""
        if fault is Fault.LOST_REPLY:
            return
        if fault is not None and fault in _ACTED:
            self._fail_later(flight, _ACTED[fault]())
            return
        match fault:
            case Fault.SERVER_ERROR_AFTER:
                status, headers, body = self._lie(fault, flight.request)
            case Fault.GARBAGE:
                status, headers, body = 200, [], self._chance.choice(_PAGES)
                if flight.step == Step.UPDATE_RESULT.label:
                    body = body if body not in {b"null", b""} else _PAGES[0]
            case Fault.TRUNCATED:
                body = body[: len(body) // 2]
            case _:
                pass
        names = {name.decode("latin-1").lower(): text.decode("latin-1") for name, text in headers}
        self._process.call_later(self._travel_s(fault), self._deliver, flight, Reply(status, names, body))

    def _denial(self, step: str) -> tuple[int, list[tuple[bytes, bytes]], bytes]:
        if step == _CHECK and self._chance.random() < 0.5:
            return 200, [], b'{"valid_credentials": false}'
        return self._chance.choice((401, 403, 404)), [], b'{"detail": "unknown"}'

    def _lie(self, fault: Fault, request: Request) -> tuple[int, list[tuple[bytes, bytes]], bytes]:
        """What something between node and gateway says in the gateway's name."""
        chance = self._chance
        headers: list[tuple[bytes, bytes]] = []
        if fault is Fault.REDIRECT:
            return chance.choice((301, 302, 307, 308)), [(b"location", b"http://elsewhere.test/")], b""
        status = chance.choice(CLIENT_STATUSES if fault is Fault.CLIENT_ERROR else SERVER_STATUSES)
        if status in {429, 503} and chance.random() < 0.5:
            headers.append((b"retry-after", chance.choice((b"1", b"7", b"soon", b"Fri, 31 Dec 2199 23:59:59 GMT"))))
        return status, headers, chance.choice((b"", b'{"detail": "no"}', b"<html>no</html>", _repeated(request)))

    def _echo(self, flight: Flight) -> bytes:
        seen = _OWN_ADDRESS
        if flight.proxy is not None:
            if self._plan.proxies.is_seen_through(flight.proxy, self._timeline.now):
                self._tally.note(Plight.PROXY_SEEN_THROUGH, flight.step)
            else:
                seen = flight.proxy.host
        return b'{"ip": "%s"}' % seen.encode()

    def _fail_later(self, flight: Flight, error: TransportError) -> None:
        self._process.call_later(self._travel_s(), self._fail, flight, error)

    def _fail(self, flight: Flight, error: TransportError) -> None:
        if flight.is_awaited:
            flight.ending.set_exception(error)

    def _deliver(self, flight: Flight, reply: Reply) -> None:
        if flight.is_awaited:
            if reply.status == 401 and b"expired" in reply.body:
                self._tally.note(Plight.TOKEN_EXPIRED, flight.step)
            self._witness.delivered(flight.step, flight.request, reply)
            flight.ending.set_result(reply)


def _repeated(request: Request) -> bytes:
    """What a careless server says: the whole request, with all its secrets, in an error."""
    said = f"cannot process {dict(request.headers)} {(request.body or b'').decode()}"
    return json.dumps({"detail": said}).encode()


class NetworkTransports:
    """The `node.ports.transport.TransportFactory` of one fleet process."""

    def __init__(self, network: Network, client: Process) -> None:
        self._network = network
        self._client = client

    def open(self, proxy: ProxyAddress | None) -> NetworkTransport:
        """See `node.ports.transport.TransportFactory.open`."""
        return NetworkTransport(self._network, self._client, proxy)


class NetworkTransport:
    """See `node.ports.transport.Transport`."""

    def __init__(self, network: Network, client: Process, proxy: ProxyAddress | None) -> None:
        self._network = network
        self._client = client
        self._proxy = proxy
        self._under_way: dict[Flight, None] = {}
        self._closed = False

    async def exchange(self, request: Request, timeout_s: float) -> Reply:
        """See `node.ports.transport.Transport.exchange`."""
        if self._closed:
            raise ConnectFailed("gateway.test: the transport is closed")
        flight = Flight(self._client, self._step(request), request, self._client.create_future(), self._proxy)
        timer = self._client.call_later(timeout_s, _time_out, flight, timeout_s)
        self._under_way[flight] = None
        self._network.launch(flight)
        try:
            return await flight.ending
        finally:
            timer.cancel()
            del self._under_way[flight]
            self._network.under_way.pop(flight, None)

    async def aclose(self) -> None:
        """See `node.ports.transport.Transport.aclose`."""
        self._closed = True
        for flight in self._under_way:
            if not flight.ending.done():
                flight.ending.set_exception(BrokenReply("gateway.test: the transport was closed"))

    def _step(self, request: Request) -> str:
        if request.url == ECHO_URL:
            return ECHO_DIRECT if self._proxy is None else ECHO_PROXY
        return _LABELS[urlsplit(request.url).path]


def _time_out(flight: Flight, timeout_s: float) -> None:
    if not flight.ending.done():
        flight.ending.set_exception(TimedOut(f"gateway.test: no whole reply in {timeout_s:g} s"))
