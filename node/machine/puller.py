"""Fetching models: each once at a time, and only where the disk has room."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from node.domain.errors import EngineFailed, ExecutorError
from node.domain.events import ModelMoved, ModelPulling
from node.domain.model_names import full_name
from node.machine.sample import MachineSample
from node.ports.clock import Clock
from node.ports.events import EventSink
from node.ports.library import ModelLibrary, PullProgress
from node.runtime.interrupt import Interrupt, Interrupted
from node.runtime.signals import Signal
from node.runtime.tasks import TaskOwner

_GB = 1e9


@dataclass(frozen=True, slots=True)
class PullPolicy:
    """When a model is fetched.

    No download begins below ``min_free_bytes`` on the disk of the state folder, which is taken for the engine's too,
    and none goes on once it is known to need more than there is. One that failed is not begun again for ``retry_s``.
    Progress is told every ``tell_s``.
    """

    min_free_bytes: int = 20_000_000_000
    retry_s: float = 300.0
    tell_s: float = 15.0


@dataclass(eq=False, slots=True)
class _Flight:
    """A download that several may wait for."""

    done: Signal = field(default_factory=Signal)
    interrupt: Interrupt = field(default_factory=Interrupt)
    error: str = "the download was ended"
    told_at: float = float("-inf")
    largest: int = 0


class ModelPuller:
    """Fetches models for one engine; downloads are tasks of ``tasks``, and outlive those who wait for them.

    ``latest`` is the machine's last sample, None while there is none. ``on_failed`` is told which model could not be
    fetched.
    """

    def __init__(
        self,
        library: ModelLibrary,
        policy: PullPolicy,
        latest: Callable[[], MachineSample | None],
        tasks: TaskOwner,
        clock: Clock,
        events: EventSink,
        on_failed: Callable[[str], object] = lambda _: None,
    ) -> None:
        self._library = library
        self._policy = policy
        self._latest = latest
        self._tasks = tasks
        self._clock = clock
        self._events = events
        self._on_failed = on_failed
        self._flights: dict[str, _Flight] = {}
        self._failed: dict[str, tuple[float, str]] = {}

    async def pull(self, model: str) -> None:
        """Wait until the model is there; many may wait for one download, which a waiter's cancellation does not end.

        Raises:
            EngineFailed: it could not be fetched, or could not lately; or the disk has no room.
        """
        key = full_name(model)
        flight = self._flights.get(key)
        if flight is None:
            self._raise_if_failed_lately(model)
            self._check_disk(model)
            flight = self._flights[key] = _Flight()
            self._tasks.start(self._fly(model, flight), name=f"pull {model}", on_done=lambda: self._land(key))
        await flight.done.wait()
        if flight.error:
            raise EngineFailed(f"{model} could not be fetched: {flight.error}", told=_told(model))

    def _raise_if_failed_lately(self, model: str) -> None:
        again_at, reason = self._failed.get(full_name(model), (0.0, ""))
        if reason and self._clock.monotonic() < again_at:
            raise EngineFailed(f"{model} could not be fetched: {reason}", told=_told(model))

    def _check_disk(self, model: str) -> None:
        sample = self._latest()
        if sample is None or sample.disk_free_bytes is None:
            raise EngineFailed(f"{model} is not fetched: the free space on the disk is not known", told=_told(model))
        free, least = sample.disk_free_bytes, self._policy.min_free_bytes
        if free < least:
            raise EngineFailed(
                f"{model} is not fetched: the disk has {free / _GB:.1f} GB left, and {least / _GB:.1f} GB are asked for;"
                " remove models that are not needed",
                told=_told(model),
            )

    async def _fly(self, model: str, flight: _Flight) -> None:
        started = self._clock.monotonic()
        try:
            with flight.interrupt:
                await self._library.pull(model, lambda progress: self._progressed(model, flight, progress))
            flight.error = ""
        except Interrupted:
            # Only this object's own interrupt ends here, after it has set the reason.
            self._remember_failure(model, flight.error)
        except ExecutorError as error:
            flight.error = str(error)
            self._remember_failure(model, flight.error)
        finally:
            took_s = self._clock.monotonic() - started
            self._events.emit(ModelMoved(self._library.engine, model, "pull", took_s, flight.error))

    def _remember_failure(self, model: str, reason: str) -> None:
        self._failed[full_name(model)] = (self._clock.monotonic() + self._policy.retry_s, reason)
        self._on_failed(model)

    def _land(self, key: str) -> None:
        self._flights.pop(key).done.set()

    def _progressed(self, model: str, flight: _Flight, progress: PullProgress) -> None:
        now = self._clock.monotonic()
        if now >= flight.told_at + self._policy.tell_s:
            flight.told_at = now
            self._events.emit(ModelPulling(self._library.engine, model, progress.completed, progress.total))
        if progress.total is not None and progress.total > flight.largest:
            flight.largest = progress.total
            self._stop_if_too_large(flight, progress.total - progress.completed)

    def _stop_if_too_large(self, flight: _Flight, missing_bytes: int) -> None:
        sample = self._latest()
        free = None if sample is None else sample.disk_free_bytes
        if free is not None and missing_bytes > free:
            flight.error = f"it needs {missing_bytes / _GB:.1f} GB more, and the disk has {free / _GB:.1f} GB left"
            flight.interrupt.trigger_in(0)


def _told(model: str) -> str:
    return f"{model} could not be fetched"
