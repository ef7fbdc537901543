"""Troubles as POSTs to a web address of the operator's."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from node.domain.errors import TransportError
from node.domain.events import Notice
from node.domain.policies import BackOff
from node.domain.secret import Secret
from node.observability.backlog import Backlog
from node.observability.event_documents import FORMS, Document, Documents, is_trouble
from node.observability.sampling import Sampler, Sampling
from node.ports.clock import Clock, Random
from node.ports.events import EventSink
from node.ports.transport import Request, Transport
from node.runtime.signals import Signal

_PASSING: Final = frozenset({408, 425, 429})
_HEADERS: Final = (("content-type", "application/json"),)


@dataclass(frozen=True, slots=True)
class WebhookPolicy:
    """Where troubles are posted, and how many. The address itself may be a secret, as chat services have it."""

    url: Secret
    per_minute: int = 10
    """Of each type; beyond, they are dropped and counted."""
    attempts: int = 3
    timeout_s: float = 5.0
    """Time for one attempt."""
    queue: int = 100
    """Troubles that wait at most; beyond, the oldest are dropped."""
    flush_s: float = 5.0
    """Time at the end for what still waits."""
    back_off: BackOff = field(default_factory=lambda: BackOff(base_s=1.0, cap_s=15.0))


class Webhook:
    """A `Subscriber` that posts each trouble as one document; its ``dropped`` counts those that nobody got so far.

    Any 2xx is success; 408, 425, 429, 5xx and a failed exchange are tried again; on anything else, and after the
    last attempt, the trouble is dropped. The first failure in a row is told as a `Notice`, and their number at the end.
    """

    def __init__(
        self,
        policy: WebhookPolicy,
        documents: Documents,
        transport: Transport,
        clock: Clock,
        random: Random,
        events: EventSink,
    ) -> None:
        """Keep these; the transport stays its maker's to close."""
        self._policy = policy
        self._documents = documents
        self._transport = transport
        self._clock = clock
        self._random = random
        self._events = events
        self._limit = Sampling(burst=policy.per_minute, window_s=60.0)
        self._sampler: Sampler[str] = Sampler()
        self._backlog: Backlog[Document] = Backlog(policy.queue)
        self._is_failing = False
        self.sent = 0

    @property
    def dropped(self) -> int:
        """Troubles that were not posted and never will be."""
        return self._backlog.dropped

    def handlers(self) -> Mapping[type[Any], Callable[[Any], object]]:
        """See `node.observability.bus.Subscriber`."""
        return dict.fromkeys(FORMS, self._on_event)

    async def run(self, stop: Signal, left_s: Callable[[], float] = lambda: math.inf) -> None:
        """Post until ``stop`` is set, then what waits, for ``flush_s`` and ``left_s`` at most."""
        await self._backlog.emptied_by(self._post_all(), stop, lambda: min(self._policy.flush_s, left_s()))
        if self.dropped:
            self._tell(f"{self.dropped} troubles were not posted to the webhook, {self.sent} were")

    def _on_event(self, event: Any) -> None:
        if not is_trouble(event):
            return
        if self._sampler.admit(FORMS[type(event)].type, self._limit, self._clock.monotonic()) is None:
            self._backlog.drop()
        else:
            self._backlog.add(self._documents.of(event))

    async def _post_all(self) -> None:
        while await self._backlog.wait():
            left = troubles = self._backlog.take(1)
            try:
                problem = await self._post({**troubles[0], "dropped": self.dropped})
                left = []
            finally:
                self._backlog.give_back(left)
            if problem:
                self._backlog.drop()
                if not self._is_failing:
                    self._tell(f"the webhook does not take troubles: {problem}", is_trouble=True)
            else:
                self.sent += 1
            self._is_failing = bool(problem)

    async def _post(self, document: Document) -> str:
        """Post one; why it was given up, empty when it arrived."""
        body = json.dumps(document, ensure_ascii=False).encode(errors="replace")
        request = Request("POST", self._policy.url.reveal(), _HEADERS, body)
        problem = ""
        for attempt in range(1, self._policy.attempts + 1):
            if attempt > 1:
                await self._backlog.rest(self._policy.back_off.draw(attempt - 1, self._random))
            try:
                status = (await self._transport.exchange(request, self._policy.timeout_s)).status
            except TransportError as error:
                problem = type(error).__name__
                continue
            if 200 <= status < 300:
                return ""
            problem = f"HTTP {status}"
            if status < 500 and status not in _PASSING:
                break
        return problem

    def _tell(self, text: str, *, is_trouble: bool = False) -> None:
        self._events.emit(Notice("events", text, is_trouble=is_trouble))
