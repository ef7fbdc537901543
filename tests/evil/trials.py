"""Single trials of the fuzzer: each is drawn from a seed and a number alone, and can be had again from them."""

from __future__ import annotations

import asyncio
import json
import re
from dataclasses import dataclass
from random import Random

from node.domain.errors import BrokenReply, NodeError, ReplyTooLarge, TransportError, TryLater
from node.domain.events import Crash
from node.domain.ids import JobKey, SourceId
from node.domain.jobs import Job, MalformedPayload
from node.domain.proxies import ProxyAddress
from node.domain.results import Failure, FinishedJob, Generation, Success
from node.gateway.bodies import BoundedBody
from node.outbox.codec import decode, encode
from node.ports.transport import Reply, Request, Transport, TransportFactory
from node.protocol.translate import result_update
from tests.evil.parts import KIB, reply
from tests.evil.replies import draw_body, draw_encoded, draw_reply, draw_script
from tests.evil.server import Asked, EvilServer, Script
from tests.evil.steps import BAD, GOOD, KEYS_STEP, NONE, SPEC, STEPS, Client, EvilStep, good_answer, told_as

LIMIT = 256 * KIB
WIRE_TIMEOUT_S, WIRE_SLACK_S = 0.4, 10.0
STEP_S = 5.0
PARSED_STEPS = (*STEPS, *[step for step in STEPS if step.name in {"poll", "register", "result"}] * 2, KEYS_STEP)


class Wrong(Exception):
    """A trial showed what must not be."""


@dataclass(frozen=True)
class Outcome:
    """What came of a trial: on which way the reply went, at which step, and how that ended."""

    way: str
    step: str
    end: str
    why: str = ""


def chance_of(seed: int, number: int) -> Random:
    """The chance of one trial."""
    return Random(f"{seed} {number}")


class DrawnTransports:
    """Transports that return drawn replies to whatever is asked; good ones while they are told to be honest."""

    def __init__(self, chance: Random, step: EvilStep) -> None:
        self._chance = chance
        self._step = step
        self.honest = True

    def open(self, proxy: ProxyAddress | None) -> Transport:
        return _DrawnTransport(self, is_direct=proxy is None)

    def reply(self, request: Request, *, is_direct: bool) -> Reply:
        if self.honest or (is_direct and request.url.endswith("/echo")):
            return _parsed(request)
        drawn = draw_reply(self._chance, self._step)
        return Reply(drawn.status, drawn.headers, drawn.body)


@dataclass(frozen=True)
class _DrawnTransport:
    transports: DrawnTransports
    is_direct: bool

    async def exchange(self, request: Request, timeout_s: float) -> Reply:
        return self.transports.reply(request, is_direct=self.is_direct)

    async def aclose(self) -> None:
        pass


def _parsed(request: Request) -> Reply:
    path = "/" + request.url.partition("://")[2].partition("/")[2]
    script = good_answer(Asked(request.method, path, {}, b"", 0))
    head, _, body = b"".join(part for part in script if isinstance(part, bytes)).partition(b"\r\n\r\n")
    return Reply(int(head.split(b" ")[1]), {}, body)


async def parser_trial(seed: int, number: int) -> Outcome:
    """A drawn reply, given to one of the client's steps as a transport would.

    Raises:
        Wrong: something came of it that is not to be.
    """
    chance = chance_of(seed, number)
    step = chance.choice(PARSED_STEPS)
    transports = DrawnTransports(chance, step)
    client = Client.at("http://gateway.test:80", transports, STEP_S)
    try:
        if step.in_session:
            await client.join()
        transports.honest = False
        why = ""
        try:
            async with asyncio.timeout(STEP_S):
                end = GOOD if await step.take(client) else NONE if step.name == "poll" else BAD
        except NodeError as error:
            end, why = told_as(error), _shape(str(error))
            _check_wait(error)
        _check_events(client)
        if client.job is not None:
            _check_job(client.job)
        return Outcome("parsers", step.name, end, why)
    finally:
        await client.aclose()


def body_trial(seed: int, number: int) -> Outcome:
    """A drawn body, compressed in some way, read as a transport reads it."""
    chance = chance_of(seed, number)
    encoding, pieces = draw_encoded(chance, draw_body(chance, STEPS[4].good))
    limit = chance.choice((100, LIMIT))
    try:
        body = BoundedBody({"content-encoding": encoding.strip().lower()}, limit)
        for piece in pieces:
            body.feed(piece)
        whole = body.finish()
    except (BrokenReply, ReplyTooLarge) as error:
        return Outcome("parsers", "body", type(error).__name__, _shape(str(error)))
    if len(whole) > limit:
        raise Wrong(f"a body of {len(whole)} bytes passed a limit of {limit}")
    return Outcome("parsers", "body", GOOD)


def _check_wait(error: Exception) -> None:
    wait_s = error.retry_after_s if isinstance(error, TryLater) else None
    if wait_s is not None and not 0 <= wait_s <= 1e12:
        raise Wrong(f"it was told to wait {wait_s} s")


def _check_events(client: Client) -> None:
    crashes = client.events.of(Crash)
    if crashes:
        raise Wrong(f"a task crashed: {crashes[0]!r}")


def _check_job(job: Job) -> None:
    """A job must be fit to be answered: kept on disk, read again, and sent."""
    malformed = job.payload if isinstance(job.payload, MalformedPayload) else None
    outcome = Failure(malformed.reason, malformed.model) if malformed else Success(Generation("text", "m", "stored"))
    finished = FinishedJob(JobKey(SourceId("s"), SPEC.node_id, job.job_id), outcome, 1.0, 2.0, job.receipt)
    if decode(encode(finished)) != finished:
        raise Wrong("the result of this job does not survive the disk")
    if json.loads(result_update(finished).to_wire())["job_id"] != job.job_id:
        raise Wrong("the result of this job does not name it")


def marker(number: int) -> bytes:
    """What an honest answer around trial ``number`` says."""
    return b'{"marker": %d}' % number


def wire_server(seed: int) -> EvilServer:
    """A server that answers ``/evil/<number>`` as that trial draws it, and ``/good/<number>`` honestly."""

    def answer(asked: Asked) -> Script:
        _, kind, number = asked.path.split("/")
        if kind == "good":
            return (reply(marker(int(number))),)
        chance = chance_of(seed, int(number))
        return draw_script(chance, chance.choice(STEPS))

    return EvilServer(answer)


async def wire_trial(seed: int, number: int, server: EvilServer, transports: TransportFactory) -> Outcome:
    """A drawn reply in bytes, between two honest ones, over real sockets.

    Raises:
        Wrong: something came of it that is not to be.
    """
    method = chance_of(seed, number).choice(("GET", "POST"))
    transport = transports.open(None)
    try:
        end = why = ""
        for kind in ("good", "evil", "good", "good"):
            request = Request(method if kind == "evil" else "POST", f"{server.url}/{kind}/{number}")
            try:
                async with asyncio.timeout(WIRE_TIMEOUT_S + WIRE_SLACK_S):
                    got = await transport.exchange(request, WIRE_TIMEOUT_S)
            except TransportError as error:
                if kind == "evil":
                    end, why = type(error).__name__, _shape(str(error))
                continue
            if kind == "evil":
                end = str(got.status)
            elif got.body != marker(number):
                raise Wrong(f"another's words were taken for a reply: {got.body[:60]!r}")
        return Outcome("wire", method, end, why)
    finally:
        await transport.aclose()


_NAMES_AND_NUMBERS = re.compile(r"\d+|'[^']*'|\"[^\"]*\"")


def _shape(text: str) -> str:
    return _NAMES_AND_NUMBERS.sub("#", text)[:60]
