"""Events to Kafka; needs the extra ``kafka``."""

from __future__ import annotations

import asyncio
import json
import math
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any, Final, Literal, NamedTuple, Protocol

from node.domain.errors import InputFault, InvalidInput
from node.domain.events import Notice
from node.domain.policies import BackOff
from node.domain.secret import Secret
from node.observability.backlog import Backlog
from node.observability.event_documents import FORMS, Documents
from node.ports.clock import Random
from node.ports.events import EventSink
from node.runtime.signals import Signal

MAX_BYTES: Final = 64 * 1024
"""The longest message; an event that would make a longer one is dropped."""

_BATCH: Final = 200


@dataclass(frozen=True, slots=True)
class KafkaPolicy:
    """Which brokers, which topic, and what is kept while they are away.

    ``tls`` None is a connection in the clear; with ``username`` the brokers are told who asks, by ``mechanism``.
    """

    bootstrap_servers: tuple[str, ...]
    topic: str
    client_id: str = "llm-worker-node"
    tls: ssl.SSLContext | None = None
    username: str = ""
    password: Secret = Secret("")
    mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = "PLAIN"
    queue: int = 10_000
    """Events that wait at most; beyond, the oldest are dropped."""
    request_s: float = 3.0
    """Time for the brokers to take a message."""
    flush_s: float = 3.0
    """Time at the end for what still waits; what is under way by then has its ``request_s``."""
    back_off: BackOff = field(default_factory=lambda: BackOff(base_s=1.0, cap_s=30.0))


class _Message(NamedTuple):
    key: bytes
    value: bytes


class _Producer(Protocol):
    async def start(self) -> None: ...

    async def stop(self) -> None: ...

    async def send(self, topic: str, value: bytes, key: bytes) -> asyncio.Future[object]: ...


class KafkaStream:
    """A `Subscriber` that sends the kinds of `FORMS` to a topic, a message each, keyed by the node's name.

    The node never waits for it: what the brokers do not take waits in a bounded queue, at least once each, and what
    does not fit is dropped and counted. That brokers are away, and are back, is told as a `Notice`.
    """

    def __init__(
        self, policy: KafkaPolicy, documents: Documents, random: Random, events: EventSink, library: Any
    ) -> None:
        """Made by `open`."""
        self._policy = policy
        self._documents = documents
        self._random = random
        self._events = events
        self._library = library
        self._backlog: Backlog[_Message] = Backlog(policy.queue)
        self._producer: _Producer | None = None
        self._failures = 0
        self.sent = 0

    @classmethod
    def open(cls, policy: KafkaPolicy, documents: Documents, random: Random, events: EventSink) -> KafkaStream:
        """Load the client library; nothing is connected before `run`.

        Raises:
            InvalidInput: the extra is not installed.
        """
        try:
            library = import_module("aiokafka")
        except ImportError as error:
            remedy = "install it: pip install 'llm-worker-node[kafka]'"
            raise InvalidInput([InputFault("events to Kafka", "aiokafka is not installed", remedy)]) from error
        return cls(policy, documents, random, events, library)

    @property
    def dropped(self) -> int:
        """Events that were not sent and never will be."""
        return self._backlog.dropped

    def handlers(self) -> Mapping[type[Any], Callable[[Any], object]]:
        """See `node.observability.bus.Subscriber`."""
        return dict.fromkeys(FORMS, self._on_event)

    async def run(self, stop: Signal, left_s: Callable[[], float] = lambda: math.inf) -> None:
        """Send until ``stop`` is set, then what waits, for ``flush_s`` and ``left_s`` at most.

        What is left is dropped, and told.
        """
        try:
            await self._backlog.emptied_by(self._send_all(), stop, lambda: min(self._policy.flush_s, left_s()))
        finally:
            await self._close()
        if self.dropped:
            self._tell(f"{self.dropped} events were not sent to Kafka, {self.sent} were")

    def _on_event(self, event: object) -> None:
        document = self._documents.of(event)
        value = json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode(errors="replace")
        if len(value) > MAX_BYTES:
            self._backlog.drop()
            return
        self._backlog.add(_Message(str(document["node"] or "").encode(), value))

    async def _send_all(self) -> None:
        while await self._backlog.wait():
            left = messages = self._backlog.take(_BATCH)
            error: Exception | None = None
            try:
                left, error = await self._send(messages)
            finally:
                self._backlog.give_back(left)
            self.sent += len(messages) - len(left)
            if error is not None:
                await self._rest_after(error)
            elif self._failures:
                self._failures = 0
                self._tell(f"Kafka takes events again; {self.dropped} were dropped so far")

    async def _send(self, messages: list[_Message]) -> tuple[list[_Message], Exception | None]:
        """Send these; those that were not taken, and why."""
        kafka_error: type[Exception] = self._library.errors.KafkaError
        try:
            producer = self._producer or await self._connect()
        except (kafka_error, OSError) as error:
            return messages, error
        under_way: dict[asyncio.Future[object], _Message] = {}
        failed: Exception | None = None
        for message in messages:
            try:
                future = await producer.send(self._policy.topic, message.value, message.key)
            except kafka_error as error:
                failed = error
                break
            future.add_done_callback(_look_at)
            under_way[future] = message
        left = messages[len(under_way) :]
        if under_way:
            await asyncio.wait(list(under_way))
        refused = [(message, why) for future, message in under_way.items() if (why := _error_of(future))]
        if refused:
            failed = refused[0][1]
        return [message for message, _ in refused] + left, failed

    async def _connect(self) -> _Producer:
        policy = self._policy
        security = ("SASL_" if policy.username else "") + ("SSL" if policy.tls else "PLAINTEXT")
        producer: _Producer = self._library.AIOKafkaProducer(
            bootstrap_servers=list(policy.bootstrap_servers),
            client_id=policy.client_id,
            acks="all",
            request_timeout_ms=int(policy.request_s * 1000),
            security_protocol=security,
            ssl_context=policy.tls,
            sasl_mechanism=policy.mechanism,
            sasl_plain_username=policy.username or None,
            sasl_plain_password=policy.password.reveal() or None,
        )
        try:
            await producer.start()
        except BaseException:
            await producer.stop()
            raise
        self._producer = producer
        return producer

    async def _rest_after(self, error: Exception) -> None:
        self._failures += 1
        if self._failures == 1:
            self._tell(
                f"Kafka does not take events ({type(error).__name__}): up to {self._policy.queue} wait", is_trouble=True
            )
        await self._backlog.rest(self._policy.back_off.draw(self._failures, self._random))

    async def _close(self) -> None:
        if self._producer is not None:
            producer, self._producer = self._producer, None
            await producer.stop()

    def _tell(self, text: str, *, is_trouble: bool = False) -> None:
        self._events.emit(Notice("events", text, is_trouble=is_trouble))


def _error_of(future: asyncio.Future[object]) -> Exception | None:
    if future.cancelled():
        return TimeoutError("given up")
    error = future.exception()
    return error if isinstance(error, Exception) else None


def _look_at(future: asyncio.Future[object]) -> None:
    """Keep asyncio from telling of an error that nobody asks for any more once the time is over."""
    if not future.cancelled():
        future.exception()
