"""A gateway that repeats whatever secrets it was told, in every way that a gateway could."""

from __future__ import annotations

import asyncio
import base64
import itertools
import json
import random
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import Final
from urllib.parse import quote, quote_plus

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from node.domain.events import Crash
from node.domain.secret import Secret
from node.runtime.signals import Signal
from node.runtime.system import SystemClock, SystemIds
from node.runtime.tasks import TaskOwner
from node.sandbox.assembly import Surroundings, sandbox
from node.sandbox.policy import Prompt, SandboxPolicy, WorkloadPolicy
from node.sandbox.server import serving

_GATED: Final = ("/check_node_secret", "/node/check", "/worker/register_node")
_STATUSES: Final = {
    "any": (400, 401, 403, 404, 409, 418, 422, 429, 500, 502, 503),
    "gated": (400, 418, 422),
    "passing": (429, 500, 502, 503),
}
_POLL: Final = "/worker/get_job"
_RESULT: Final = "/worker/update_result"
_AT_WORK: Final = (_POLL, _RESULT)
_SPARED: Final = ("/ip", "/sandbox")
_REASONS: Final = range(270, 300, 3)
"""Lengths about that at which reasons of gateways are cut off."""
_HEADERS: Final = (b"retry-after", b"www-authenticate", b"set-cookie", b"content-encoding", b"date", b"x-error")


class Echoes:
    """What it may say, one after the other: a status, headers and a body with all secrets in it."""

    def __init__(self) -> None:
        self._statuses = {manner: itertools.cycle(statuses) for manner, statuses in _STATUSES.items()}
        self._round, self._quoted = itertools.count(), itertools.count()

    def next(
        self, secrets: list[str], manner: str, private: Sequence[str] = ()
    ) -> tuple[int, list[tuple[bytes, bytes]], bytes]:
        """``private`` are texts that are quoted, though not in disguise."""
        number = next(self._round)
        if private and number % 2:
            place = next(self._quoted)
            quoted = quotations(private[place % len(private)], _REASONS)
            said = json.dumps({"detail": quoted[place // len(private) % len(quoted)]}).encode()
            return next(self._statuses[manner]), [(b"content-type", b"application/json")], said
        bodies = _bodies(" ".join(secrets), secrets[number % len(secrets)])
        headers = [(b"content-type", b"application/json")]
        if number % 4 == 0:
            told = secrets[number % len(secrets)].encode("ascii", "ignore")
            headers.append((_HEADERS[number // 4 % len(_HEADERS)], told))
        if number % 9 == 0 and manner != "passing":
            return 307, [(b"location", f"http://127.0.0.1/{quote(secrets[-1])}".encode())], b""
        status = 200 if number % 7 == 0 else next(self._statuses[manner])
        return status, headers, bodies[number % len(bodies)]


def quotations(text: str, cuts: range) -> list[str]:
    """A text in the ways in which errors quote one; behind dots, of so many, where what is long is cut off."""
    return [
        text,
        repr(text),
        json.dumps({"input": text}),
        *(f"{'.' * dots} {text}" for dots in cuts),
        f"{'a word ' * 41}{text}",
    ]


def disguises(text: str, cuts: range) -> list[str]:
    """A text in all the ways in which servers repeat one."""
    encoded = [
        quote(text),
        quote_plus(text),
        base64.b64encode(f"user:{text}".encode()).decode(),
        text.encode().hex(),
    ]
    return [*quotations(text, cuts), *encoded]


def _bodies(everything: str, one: str) -> list[bytes]:
    """Bodies that repeat all secrets, and one."""
    shapes: list[object] = [{"detail": text} for text in (everything, quote(everything), *disguises(one, _REASONS))]
    shapes += [
        {"error": {"message": one}},
        {"message": [one, {one: one}]},
        {"detail": [{"loc": ["body", one], "msg": f"no {one}", "input": one}]},
        {one: everything},
        {"job_data": one},
        {"access_token": [one]},
        {"points": one},
        one,
    ]
    bodies = [json.dumps(shape, ensure_ascii=bool(place % 2)).encode() for place, shape in enumerate(shapes)]
    return [
        *bodies,
        f"<html><title>{everything}</title></html>".encode(),
        f"plain {everything}".encode(),
        b"{" + one.encode(),
    ]


class Echoing:
    """A gateway's application, before which a share of the requests is answered by an echo."""

    def __init__(self, app: ASGIApp, secrets: list[str], share: float = 0.3, private: Sequence[str] = ()) -> None:
        self.secrets = secrets
        """All that was planted or seen; grows."""
        self.echoes = self.quotations = 0
        self.results: list[bytes] = []
        """What was posted as results."""
        self._private = private
        self._app = app
        self._share = share
        self._chance = random.Random(5)
        self._said = Echoes()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        body, path = await _whole(receive), scope["path"]
        # Whom it lets in has more to hear.
        share = self._share / 4 if path in _GATED or (self._private and path not in _AT_WORK) else self._share
        if path == _RESULT:
            self.results.append(body)
            share = 0.6 if self._private else share
        if not path.startswith(_SPARED) and self._chance.random() < share:
            self.echoes += 1
            private = self._private_in(body)
            self.quotations += bool(private)
            status, headers, said = self._said.next(self.secrets, self._manner(path), private)
            await send({"type": "http.response.start", "status": status, "headers": headers})
            await send({"type": "http.response.body", "body": said})
            return
        replayed = iter([{"type": "http.request", "body": body}])

        async def again() -> Message:
            first = next(replayed, None)
            return await receive() if first is None else first

        async def overhear(message: Message) -> None:
            if message["type"] == "http.response.body":
                self._note(message.get("body", b""))
            await send(message)

        await self._app(scope, again, overhear)

    def _manner(self, path: str) -> str:
        if path in _GATED:
            return "gated"
        # A node by itself is at rest for a second whenever a poll ends its session.
        return "passing" if path == _POLL and self._private and self.echoes % 4 else "any"

    def _private_in(self, body: bytes) -> list[str]:
        """Private texts are repeated to whoever sent them."""
        return [text for text in self._private if json.dumps(text)[1:-1].encode() in body]

    def _note(self, body: bytes) -> None:
        """A secret that nobody was told yet is nobody's to keep."""
        if b'"access_token"' in body:
            self.secrets.append(json.loads(body)["access_token"])
        if b'"api_key"' in body and (key := json.loads(body)["job_data"]["api_key"]) not in self.secrets:
            self.secrets.append(key)


async def _whole(receive: Receive) -> bytes:
    body = b""
    while True:
        message = await receive()
        body += bytes(message.get("body", b""))
        if not message.get("more_body", False):
            return body


class Served:
    """The gateway as it runs: its URL, and its application for what it has seen."""

    def __init__(self) -> None:
        self.url = ""
        self.app: Echoing | None = None
        self.crashes: list[Crash] = []
        self.ready = threading.Event()
        self.stop: Signal | None = None
        self.loop: asyncio.AbstractEventLoop | None = None

    @property
    def tokens(self) -> list[str]:
        """The tokens granted so far."""
        return [] if self.app is None else [text for text in self.app.secrets if text.startswith("eyJ")]

    async def run(
        self, planted: list[str], signing: str, control: str, workload: WorkloadPolicy, share: float, private: list[str]
    ) -> None:
        self.stop, self.loop = Signal(), asyncio.get_running_loop()
        policy = SandboxPolicy(workload=workload, token_lifetime_s=30.0)
        around = Surroundings(
            *(SystemClock(), random.Random(1), SystemIds(), Secret(signing), Secret(control)), self.crashes.append
        )
        tasks = TaskOwner(self.crashes.append)
        async with sandbox(policy, around) as running:
            self.app = Echoing(running.app, planted, share, private)
            async with serving(self.app, tasks, grace_s=1) as handle:
                self.url = handle.url
                self.ready.set()
                await self.stop.wait()
                running.quiesce()
            await tasks.join()


@contextmanager
def echoing_gateway(
    planted: list[str],
    *,
    signing: str,
    control: str,
    api_key: str,
    share: float = 0.3,
    prompts: Sequence[Prompt] = (),
    private: Sequence[str] = (),
) -> Iterator[Served]:
    """Serve on a thread within the block; tokens that it signs with ``signing`` are added to ``planted``.

    Jobs are made of ``prompts``, or are words for a well-known model. ``private`` texts are repeated to those who sent
    them.
    """
    served = Served()
    workload = WorkloadPolicy(prompts=tuple(prompts), rate_per_s=15, share_other=0, api_key=Secret(api_key))
    if not prompts:
        workload = replace(workload, other_models=("llama3.1:latest",), share_other=1)
    serving_it = partial(served.run, planted, signing, control, workload, share, list(private))
    thread = threading.Thread(target=lambda: asyncio.run(serving_it()))
    thread.start()
    try:
        assert served.ready.wait(10)
        yield served
    finally:
        if served.loop is not None and served.stop is not None:
            served.loop.call_soon_threadsafe(served.stop.set)
        thread.join(10)
