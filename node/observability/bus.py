"""Events on their way from nodes to whoever listens."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Mapping
from typing import Any, Final, Protocol, TypeVar

from node.domain.events import Event
from node.observability.last_resort import LastResort, to_stderr

E = TypeVar("E")

Handler = Callable[[Any], object]
"""Called with an event; must not wait. What it returns is ignored."""

MAX_FAILURES: Final = 20
"""Failures in a row after which a handler is cut off."""


class Subscriber(Protocol):
    """Something that listens to several kinds of events."""

    def handlers(self) -> Mapping[type[Any], Handler]:
        """What to call for which kind; asked once, when it subscribes."""
        ...


class _Listener:
    __slots__ = ("failures", "handle", "kind", "told")

    def __init__(self, kind: type[Any], handle: Handler) -> None:
        self.kind = kind
        self.handle = handle
        self.failures = 0
        self.told = False

    def __str__(self) -> str:
        name = getattr(self.handle, "__qualname__", type(self.handle).__name__)
        return f"{name} for {self.kind.__name__}"


class EventBus:
    """An `EventSink` that calls handlers by the event's type, on the emitter's stack, in the order they came.

    A handler that raises hurts neither the emitter nor other handlers: the failure is counted, a handler's
    first one is told to ``last_resort``, and after `MAX_FAILURES` in a row the handler is cut off, which is
    told too. A handler may emit: that event reaches everyone before the one in hand goes on. Use it from the
    event loop's thread alone.
    """

    def __init__(self, last_resort: LastResort = to_stderr) -> None:
        self._last_resort = last_resort
        self._routes: dict[type[Any], tuple[tuple[Handler, _Listener], ...]] = {}
        self._failures = 0

    @property
    def failures(self) -> int:
        """How many times handlers have raised, all together."""
        return self._failures

    def subscribe(self, kind: type[E], handler: Callable[[E], object]) -> Callable[[], None]:
        """Call ``handler`` for every event of this very type, no subclass; call what is returned to end that."""
        listener = _Listener(kind, handler)
        self._routes[kind] = (*self._routes.get(kind, ()), (handler, listener))
        return lambda: self._remove(listener)

    def attach(self, subscriber: Subscriber) -> Callable[[], None]:
        """Subscribe all handlers of an object; call what is returned to end that."""
        endings = [self.subscribe(kind, handler) for kind, handler in subscriber.handlers().items()]

        def detach() -> None:
            for end in endings:
                end()

        return detach

    def emit(self, event: Event, /) -> None:
        """See `node.ports.events.EventSink.emit`."""
        for handle, listener in self._routes.get(type(event), ()):
            try:
                handle(event)
            except Exception as error:  # noqa: BLE001 - any defect of a listener ends here, so that nodes live on
                self._failed(listener, error)
            else:
                if listener.failures:
                    listener.failures = 0

    def _failed(self, listener: _Listener, error: Exception) -> None:
        self._failures += 1
        listener.failures += 1
        # The message of a foreign error may quote anything, so only its type and the lines of code are told.
        if not listener.told:
            listener.told = True
            where = "".join(traceback.format_tb(error.__traceback__))
            self._last_resort(f"event handler {listener} raised {type(error).__name__}\n{where}".rstrip())
        if listener.failures >= MAX_FAILURES:
            self._remove(listener)
            self._last_resort(
                f"event handler {listener} raised {MAX_FAILURES} times in a row, "
                f"last {type(error).__name__}: it is cut off"
            )

    def _remove(self, listener: _Listener) -> None:
        left = tuple(route for route in self._routes.get(listener.kind, ()) if route[1] is not listener)
        if left:
            self._routes[listener.kind] = left
        else:
            self._routes.pop(listener.kind, None)
