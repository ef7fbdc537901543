"""The steps of the protocol as an evil gateway meets them: each with its good answer, and a way to take it."""

from __future__ import annotations

import json
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import jwt
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from node.domain.errors import (
    IdentityRefused,
    NodeError,
    SessionLost,
    StepFault,
    StepRefused,
    TokenUnreadable,
    TransportError,
    TryLater,
)
from node.domain.events import StepEnded
from node.domain.identity import Hardware, Identity, NodeSpec
from node.domain.ids import AccountId, JobId, JobKey, NodeId, SourceId
from node.domain.jobs import Job
from node.domain.policies import ProxyPolicy, RetryPolicy, StepTimeouts
from node.domain.proxies import ProxyAddress
from node.domain.results import FinishedJob, Generation, Points, Success
from node.domain.secret import Secret
from node.domain.verdict import Ruling
from node.gateway.client import GatewayClient
from node.gateway.deployment import ClientPolicy, Deployment, Surroundings
from node.gateway.keys import PublishedKeys, TokenTimesReader, UnverifiedTokens
from node.gateway.retries import Exhausted
from node.monitors.open_gates import AlwaysHealthy
from node.monitors.proxy_check import ProxyChecker
from node.ports.transport import Transport, TransportFactory
from node.protocol.tokens import issue
from node.runtime.signals import Signal
from node.runtime.system import SystemClock
from node.sources.gateway import GatewaySource
from tests.evil.parts import reply
from tests.evil.server import Asked, Script
from tests.support.events import RecordingSink

SPEC = NodeSpec(
    Identity(NodeId("n1"), Secret("the-secret-of-n1"), AccountId("a1"), "pub"),
    Hardware(ram_mb=16000, cpu_cores=8, vram_mb=0, gpu="", os="Linux"),
    ("m",),
)
TOKEN = issue({"sub": "n1", "iat": 1, "exp": 4_000_000_000}, "k" * 32)
JOB = {"job_id": "j1", "api_key": "dev", "model": "m", "messages": [{"role": "user", "content": "hello"}]}
SIGNING = Ed25519PrivateKey.from_private_bytes(b"k" * 32)
KEYS = {"keys": [{**json.loads(jwt.algorithms.OKPAlgorithm.to_jwk(SIGNING.public_key())), "kid": "one"}]}
GOOD, NONE, RETRY, FAULT, REFUSED, BAD = "good", "none", "retry", "fault", "refused", "bad"
IDENTITY_REFUSED, SESSION_LOST = "identity refused", "session lost"
"""How a step can end: a poll without a job as none, a step that does not say in which way it failed as bad."""

PROXY_IP, DIRECT_IP = "203.0.113.7", "203.0.113.8"


@dataclass
class Client:
    """All that a node uses of a gateway, with every step tried once."""

    membership: GatewayClient
    source: GatewaySource
    checker: ProxyChecker
    keys: PublishedKeys
    proxy: ProxyAddress
    events: RecordingSink
    transports: tuple[Transport, ...]
    job: Job | None = None
    """The last one that a poll brought."""

    @classmethod
    def at(
        cls, url: str, transports: TransportFactory, timeout_s: float, tokens: TokenTimesReader | None = None
    ) -> Client:
        """A client of the gateway with this URL, which is its auth service, its echo service and its proxy too."""
        policy = ClientPolicy(RetryPolicy(attempts=1), StepTimeouts(*(timeout_s for _ in range(9))))
        events, clock, chance = RecordingSink(), SystemClock(), random.Random(1)
        transport, other = transports.open(None), transports.open(None)
        around = Surroundings(AlwaysHealthy(), clock, chance, events, tokens or UnverifiedTokens())
        membership = GatewayClient(SPEC, transport, Deployment(url, url, "0.0.4"), policy, around, Signal())
        return cls(
            membership,
            GatewaySource(membership, events, "0.0.4", policy.timeouts),
            ProxyChecker(transports, ProxyPolicy(echo_url=f"{url}/echo", check_s=timeout_s), clock),
            PublishedKeys(f"{url}/keys", other, clock, timeout_s),
            ProxyAddress.parse(urlsplit(url).netloc),
            events,
            (transport, other),
        )

    async def join(self) -> None:
        """Be in session."""
        await self.membership.register()

    async def aclose(self) -> None:
        await self.membership.aclose()
        for transport in self.transports:
            await transport.aclose()


async def _secret(client: Client) -> bool:
    await client.membership.check_secret()
    return True


async def _identity(client: Client) -> bool:
    await client.membership.check_identity()
    return True


async def _register(client: Client) -> bool:
    await client.membership.register()
    return True


async def _models(client: Client) -> bool:
    await client.membership.announce(SPEC.models)
    return True


async def _poll(client: Client) -> bool:
    client.job = await client.source.claim()
    return client.job is not None


async def _result(client: Client) -> bool:
    key = JobKey(SourceId(client.source.source_id), SPEC.node_id, JobId("j1"))
    verdict = await client.source.settle(FinishedJob(key, Success(Generation("text", "m", "stored")), 1.0, 2.0))
    match verdict.ruling:
        case Ruling.OK | Ruling.ALREADY:
            return True
        case Ruling.FAULT:
            raise StepFault(verdict.reason)
        case Ruling.REFUSED | Ruling.DEAD_LETTER:
            raise StepRefused(verdict.reason)
        case Ruling.SESSION_LOST:
            raise SessionLost(verdict.reason)
        case _:
            raise TryLater(verdict.reason, verdict.retry_after_s)


async def _points(client: Client) -> bool:
    assert isinstance(await client.membership.points(), Points)
    return True


async def _leave(client: Client) -> bool:
    await client.membership.leave(60.0)
    return not client.events.of(StepEnded)[-1].error


async def _echo(client: Client) -> bool:
    checked = await client.checker.check(client.proxy)
    return not checked.fault


async def _keys(client: Client) -> bool:
    await client.keys.read(jwt.encode({}, SIGNING, "EdDSA", headers={"kid": "one"}))
    return True


@dataclass(frozen=True)
class EvilStep:
    """One step: where it is asked, what a good answer says, and how it is taken.

    ``take`` returns whether the answer was taken as good. ``needs`` is whether an answer must have certain
    fields. ``failure`` is what every failure of a step is told as that tells them not apart.
    """

    name: str
    path: str
    good: Any
    take: Callable[[Client], Awaitable[bool]]
    needs: bool = False
    in_session: bool = False
    failure: str = ""

    @property
    def body(self) -> bytes:
        return json.dumps(self.good).encode()

    def __str__(self) -> str:
        return self.name


STEPS = (
    EvilStep("secret", "/check_node_secret", {"status": "ok"}, _secret),
    EvilStep("identity", "/node/check", {"valid_credentials": True}, _identity, needs=True),
    EvilStep("register", "/worker/register_node", {"access_token": TOKEN}, _register, needs=True),
    EvilStep("models", "/worker/update_models", {"status": "ok"}, _models, in_session=True),
    EvilStep("poll", "/worker/get_job", {"job_data": JOB}, _poll, needs=True, in_session=True),
    EvilStep("result", "/worker/update_result", {"status": "ok"}, _result, in_session=True),
    EvilStep("points", "/get_points", {"points": 1.5, "pointsraw": 2}, _points, needs=True, in_session=True),
    EvilStep("leave", "/worker/deregister_node", {"status": "ok"}, _leave, in_session=True, failure=BAD),
    EvilStep("echo", "/echo", {"ip": PROXY_IP}, _echo, needs=True, failure=BAD),
)
"""In the order of a node's life, and the echo service that proxies are checked with."""

KEYS_STEP = EvilStep("keys", "/keys", KEYS, _keys, needs=True, failure=RETRY)
"""Where an operator has signatures checked with keys that are published."""


def good_answer(asked: Asked) -> Script:
    """What an honest gateway says, also as echo service and proxy."""
    if asked.path == "/echo" and not asked.target.startswith("http"):
        return (reply(json.dumps({"ip": DIRECT_IP}).encode()),)
    return (reply(json.dumps(told_of(asked.path)).encode()),)


def told_of(path: str) -> Any:
    """The content of a good answer to who asks here."""
    return next((step.good for step in (*STEPS, KEYS_STEP) if step.path == path), {})


def is_evil_for(step: EvilStep, asked: Asked) -> bool:
    """Whether this is the request that the step's case is for: of the echo service's that by proxy."""
    return asked.path == step.path and (step.name != "echo" or asked.target.startswith("http"))


def told_as(error: Exception) -> str:
    """The verdict behind an error of a step.

    Raises:
        TypeError: the error is not one that a step may raise.
    """
    match error:
        case Exhausted() | TryLater() | TransportError() | TokenUnreadable():
            return RETRY
        case StepFault():
            return FAULT
        case StepRefused():
            return REFUSED
        case IdentityRefused():
            return IDENTITY_REFUSED
        case SessionLost():
            return SESSION_LOST
        case _:
            raise TypeError(f"{error!r} is not classified") from error


async def taken(step: EvilStep, client: Client) -> str:
    """Take the step, and say how it ended.

    Raises:
        TypeError: with an error that a step may not raise.
    """
    try:
        is_good = await step.take(client)
    except NodeError as error:
        return told_as(error)
    if is_good:
        return GOOD
    return NONE if step.name == "poll" else BAD
