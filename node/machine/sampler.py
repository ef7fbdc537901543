"""The loop that keeps an eye on the machine."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from functools import partial

import psutil

from node.domain.errors import described
from node.machine.gpu import NoteBook
from node.machine.sample import MachineReader, MachineSample
from node.ports.clock import Clock
from node.ports.events import EventSink
from node.runtime.signals import Signal
from node.runtime.tasks import crash

_TASK = "machine sampler"


@dataclass(frozen=True, slots=True)
class SamplerPolicy:
    """How often the machine is looked at. Graphics cards apart: the tools of some take a second of a core."""

    sample_s: float = 5.0
    gpu_sample_s: float = 10.0


class MachineSampler:
    """Looks at the machine again and again, on ``executor``, which must run one call at a time.

    A look that hangs, at a dead network disk for one, holds up nothing but the next look. ``listeners`` are called
    with each sample on the event loop, and must not raise. ``events`` hears once of each thing that cannot be read.
    """

    def __init__(
        self,
        policy: SamplerPolicy,
        reader: MachineReader,
        executor: Executor,
        clock: Clock,
        events: EventSink,
        listeners: Sequence[Callable[[MachineSample], object]] = (),
    ) -> None:
        self._policy = policy
        self._reader = reader
        self._executor = executor
        self._clock = clock
        self._events = events
        self._listeners = tuple(listeners)
        self._notes = NoteBook(events)
        self._gpus_due = 0.0
        self._latest: MachineSample | None = None

    @property
    def latest(self) -> MachineSample | None:
        """The last sample; None before the first."""
        return self._latest

    async def run(self, stop: Signal) -> None:
        """Take samples until ``stop``, the first at once."""
        pending: asyncio.Future[MachineSample] | None = None
        try:
            while not stop.is_set:
                if pending is None or pending.done():
                    pending = self._start()
                    pending.add_done_callback(self._take)
                await stop.wait(self._policy.sample_s)
        finally:
            if pending is not None:
                pending.cancel()

    def _start(self) -> asyncio.Future[MachineSample]:
        now = self._clock.monotonic()
        with_gpus = self._gpus_due <= now
        if with_gpus:
            self._gpus_due = now + self._policy.gpu_sample_s
        read = partial(self._reader.read, now, with_gpus=with_gpus)
        return asyncio.get_running_loop().run_in_executor(self._executor, read)

    def _take(self, future: asyncio.Future[MachineSample]) -> None:
        if future.cancelled():
            return
        error = future.exception()
        if error is None:
            self._latest = sample = future.result()
            for note in sample.notes:
                self._notes.tell(note)
            for listener in self._listeners:
                listener(sample)
        elif isinstance(error, OSError | psutil.Error):
            self._notes.tell(f"the machine's state cannot be read: {described(error)}")
        else:
            self._events.emit(crash(_TASK, error))
