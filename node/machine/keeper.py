"""Keeps the right models of an engine at hand: fetches and loads what is wanted, and makes room when memory is short."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final

from node.domain.errors import Declined, EngineFailed, ExecutorError
from node.domain.events import EngineCalled, ModelMoved, Notice
from node.domain.model_names import full_name
from node.machine.catalogue import CataloguePolicy, ModelCatalogue
from node.machine.model_use import ModelUse
from node.machine.puller import ModelPuller, PullPolicy
from node.machine.relief import Pressure, size_in, to_unload
from node.machine.sample import MachineSample
from node.ports.clock import Clock, Random
from node.ports.events import EventSink
from node.ports.library import LoadedModel, ModelLibrary
from node.runtime.signals import Bell, Signal
from node.runtime.tasks import TaskOwner, crash

TOPIC: Final = "models"
"""The topic of this module's notices."""

_SETTLE_S: Final = 3.0
"""An engine gives memory back a little after it has said so."""


@dataclass(frozen=True, slots=True)
class KeeperPolicy:
    """What is kept at hand, and when room is made.

    ``preload`` are loaded at the start and stay; with ``catalogue.pulls`` those that are missing are fetched. Above
    ``memory_threshold``, a share of memory, models that were not used for ``idle_s`` are unloaded until the share is
    ``hysteresis`` below it; preloaded ones only where all else by itself takes more than that share, and while it does
    they are not loaded either. One that had to go comes back after ``reload_s`` at the earliest, and only where there is
    room for it; one that could not be loaded is tried again after as long. The engine is asked every ``refresh_s``, a
    tenth more or less, one that did not answer after ``retry_s``, and memory is judged every ``check_s``. A load or
    unload may take ``move_s``.
    """

    preload: tuple[str, ...] = ()
    memory_threshold: float = 0.8
    hysteresis: float = 0.1
    idle_s: float = 60.0
    reload_s: float = 300.0
    refresh_s: float = 30.0
    retry_s: float = 5.0
    check_s: float = 5.0
    move_s: float = 600.0
    catalogue: CataloguePolicy = field(default_factory=CataloguePolicy)
    pull: PullPolicy = field(default_factory=PullPolicy)


class ModelKeeper:
    """Looks after the models of one engine. ``latest`` gives the machine's last sample, None while there is none.

    A subscriber of events, by which it learns which models are used; `using` tells it exactly. An engine that does not
    let its models be managed has its listing kept, and no more.
    """

    def __init__(
        self,
        library: ModelLibrary,
        policy: KeeperPolicy,
        latest: Callable[[], MachineSample | None],
        clock: Clock,
        events: EventSink,
        random: Random,
    ) -> None:
        self._library = library
        self._policy = policy
        self._latest = latest
        self._clock = clock
        self._events = events
        self._random = random
        self._tasks = TaskOwner(events.emit)
        self._catalogue = ModelCatalogue(library, policy.catalogue, clock, events)
        self._puller = ModelPuller(
            library, policy.pull, latest, self._tasks, clock, events, on_failed=self._pull_failed
        )
        self._use = ModelUse(clock)
        self._preload = {full_name(model): model for model in policy.preload}
        self._kept: set[str] = set()
        self._not_before: dict[str, float] = {}
        self._moving = False
        self._relieved_at = self._refused_at = float("-inf")
        self._told: set[str] = set()
        self._bell = Bell()
        self._catalogue.on_engine(self._bell.ring)

    @property
    def engine(self) -> str:
        """The engine's name."""
        return self._library.engine

    @property
    def catalogue(self) -> ModelCatalogue:
        """What the engine has and what of it is offered."""
        return self._catalogue

    def offered(self) -> tuple[str, ...]:
        """See `ModelCatalogue.offered`."""
        return self._catalogue.offered()

    def handlers(self) -> Mapping[type[Any], Callable[[Any], object]]:
        """What to call for which kind of event, as an event bus asks for it."""
        return {**self._catalogue.handlers(), EngineCalled: self._on_call, **self._use.handlers()}

    def used(self, model: str) -> None:
        """The model was used right now."""
        self._use.used(model)

    @contextmanager
    def using(self, model: str) -> Iterator[None]:
        """Within this block the model is not unloaded."""
        with self._use.using(model):
            yield

    async def ensure(self, model: str) -> None:
        """Return when the engine has this model, which is fetched if need be.

        The download goes on where the caller is cancelled: whoever asks next may find it done.

        Raises:
            Declined: the engine does not have it, and it is not one to be fetched.
            EngineFailed: it could not be fetched, lately or now, or the disk has no room.
        """
        if self._catalogue.has(model):
            return
        if not (self._catalogue.may_pull(model) or self._fetches_preloaded(model)):
            raise Declined(f"{self.engine} has no model {model}, and it is not one to be fetched")
        # Somebody else may have fetched it since the last listing.
        if not await self._catalogue.refresh():
            raise EngineFailed(f"{self.engine} does not answer, so {model} cannot be fetched")
        if not self._catalogue.has(model):
            await self._puller.pull(model)
            await self._catalogue.refresh()

    async def lacks(self, model: str) -> bool:
        """Whether the engine, which is asked anew, has lost this model, and it is one to be fetched."""
        # Whoever asks is not to wait for an engine that does not answer.
        if not (self._catalogue.is_fresh and self._catalogue.may_pull(model)):
            return False
        return await self._catalogue.refresh() and not self._catalogue.has(model)

    async def run(self, stop: Signal) -> None:
        """Keep watch until ``stop``. Then downloads and loads under way are ended, so stop it after the jobs."""
        if not self._library.manages and (self._preload or self._policy.catalogue.pulls):
            text = (
                f"{self.engine} loads and fetches no models when asked: models.preload and models.pull do not reach it"
            )
            self._events.emit(Notice(TOPIC, text, is_trouble=True))
        self._tasks.start(self._watch(), name=f"{self.engine}: models")
        try:
            await stop.wait()
        finally:
            await self._tasks.cancel()

    async def _watch(self) -> None:
        while True:
            try:
                await self._look_again_and_again()
            except Exception as error:  # noqa: BLE001 - a defect in one look: told, and the next one may go well
                self._events.emit(crash(f"{self.engine}: models", error))
            await self._bell.wait(self._policy.retry_s)

    async def _look_again_and_again(self) -> None:
        refresh_at = self._clock.monotonic()
        while True:
            if self._clock.monotonic() >= refresh_at:
                answered = await self._refresh()
                refresh_at = self._clock.monotonic() + self._refresh_in(answered=answered)
            self._catalogue.review()
            if self._library.manages and self._catalogue.is_fresh:
                await self._look_at_memory()
            if await self._bell.wait(min(self._policy.check_s, max(0.0, refresh_at - self._clock.monotonic()))):
                refresh_at = self._clock.monotonic()

    async def _refresh(self) -> bool:
        was_missing = self._catalogue.is_missing
        answered = await self._catalogue.refresh()
        self._use.forget_all_but(self._catalogue.stored)
        if answered and was_missing:
            # It was started anew, as a rule: what failed while it went may go well, and its memory is free.
            self._not_before.clear()
        return answered

    def _refresh_in(self, *, answered: bool) -> float:
        delay = self._policy.refresh_s * self._random.uniform(0.9, 1.1)
        return delay if answered else min(delay, self._policy.retry_s)

    def _on_call(self, event: EngineCalled) -> None:
        if event.engine != self.engine:
            return
        self._use.used(event.model)
        now = self._clock.monotonic()
        if event.is_refusal and now >= self._refused_at + self._policy.retry_s:
            # Somebody may have removed the model.
            self._refused_at = now
            self._bell.ring()

    def _pull_failed(self, model: str) -> None:
        self._catalogue.withdraw(model, self._policy.pull.retry_s)

    def _fetches_preloaded(self, model: str) -> bool:
        return self._library.manages and self._policy.catalogue.pulls and full_name(model) in self._preload

    async def _look_at_memory(self) -> None:
        """Make room where memory is short, or preload what is due: never both at a time, and apart from this watch."""
        sample = self._latest()
        pressure = None if sample is None else Pressure.of(sample)
        short = pressure is not None and pressure.used_ratio > self._policy.memory_threshold
        if self._moving or (not short and not self._preload):
            return
        try:
            async with asyncio.timeout(self._policy.catalogue.ask_s):
                loaded = await self._library.loaded()
        except (ExecutorError, TimeoutError):
            # The next listing tells whether the engine is there.
            return
        crowded = pressure is not None and self._is_crowded(pressure, loaded)
        there = {full_name(model.name) for model in loaded}
        due = self._due_to_preload(there, pressure)
        if pressure is not None and short and (chosen := self._to_unload(loaded, pressure, crowded=crowded)):
            self._move_apart("unload", self._unload_all(chosen, is_vram=pressure.is_vram))
            return
        fitting = tuple(key for key in due if key in there or not (crowded or self._lacks_room(key, pressure)))
        self._tell_waiting(key for key in due if key not in fitting)
        if fitting:
            self._move_apart("preload", self._preload_all(fitting))

    def _move_apart(self, action: str, moving: Coroutine[Any, Any, None]) -> None:
        self._moving = True
        self._tasks.start(moving, name=f"{self.engine}: {action}", on_done=self._moved)

    def _moved(self) -> None:
        self._moving = False

    def _is_crowded(self, pressure: Pressure, loaded: tuple[LoadedModel, ...]) -> bool:
        """Whether memory would be short without the preloaded models, too."""
        kept = (model for model in loaded if full_name(model.name) in self._preload)
        size = sum(size_in(model, is_vram=pressure.is_vram) or 0 for model in kept)
        return pressure.without(size).used_ratio > self._policy.memory_threshold

    def _due_to_preload(self, there: AbstractSet[str], pressure: Pressure | None) -> tuple[str, ...]:
        # What is no longer in memory is kept no more: the engine was started anew, or somebody unloaded it.
        self._kept &= there
        now = self._clock.monotonic()
        due = [key for key in self._preload if key not in self._kept and self._not_before.get(key, now) <= now]
        if pressure is None:
            # Nothing is fetched before the disk was looked at: such a try would be for nothing.
            due = [key for key in due if self._catalogue.has(key)]
        return tuple(due)

    def _lacks_room(self, key: str, pressure: Pressure | None) -> bool:
        """Whether there is no room for a model that had to go, judged by its size when it went."""
        size = self._use.size(key)
        return size is not None and pressure is not None and pressure.bytes_above(1.0) + size > 0

    async def _preload_all(self, keys: tuple[str, ...]) -> None:
        for key in keys:
            model = self._preload[key]
            self._not_before[key] = self._clock.monotonic() + self._policy.reload_s
            try:
                await self.ensure(model)
            except ExecutorError as error:
                self._tell_missing(model, error)
                continue
            if await self._move("load", model):
                self._kept.add(key)
                self._use.used(model)
                self._not_before.pop(key, None)
            else:
                # The engine may have gone meanwhile.
                self._bell.ring()

    def _tell_missing(self, model: str, error: ExecutorError) -> None:
        remedy = f"have {self.engine} fetch it, or allow that with models.pull"
        self._tell_once(f"{model} is to be preloaded: {error}" + (f"; {remedy}" if isinstance(error, Declined) else ""))

    def _tell_waiting(self, keys: Iterable[str]) -> None:
        for key in keys:
            self._tell_once(
                f"{self._preload[key]} is to be preloaded, and waits for memory; see models.memory_threshold"
            )

    def _tell_once(self, text: str) -> None:
        if text not in self._told:
            self._told.add(text)
            self._events.emit(Notice(TOPIC, text, is_trouble=True))

    def _to_unload(
        self, loaded: tuple[LoadedModel, ...], pressure: Pressure, *, crowded: bool
    ) -> tuple[LoadedModel, ...]:
        """What it takes, and no more until a later sample shows what that brought."""
        if pressure.taken_at < self._relieved_at + _SETTLE_S:
            return ()
        return to_unload(
            self._to_choose_from(loaded, crowded=crowded),
            pressure.bytes_above(self._policy.memory_threshold - self._policy.hysteresis),
            is_vram=pressure.is_vram,
            is_idle=lambda key: self._use.is_idle(key, self._policy.idle_s),
            preloaded=self._preload.keys(),
            last_used=self._use.last_used,
        )

    def _to_choose_from(self, loaded: tuple[LoadedModel, ...], *, crowded: bool) -> tuple[LoadedModel, ...]:
        """Those that are not preloaded; all, where that does not help and none of them will soon be idle for long enough."""
        others = tuple(model for model in loaded if full_name(model.name) not in self._preload)
        keys = [full_name(model.name) for model in others]
        waits = any(not self._use.runs(key) and not self._use.is_idle(key, self._policy.idle_s) for key in keys)
        return loaded if crowded and not waits else others

    async def _unload_all(self, chosen: tuple[LoadedModel, ...], *, is_vram: bool) -> None:
        for model in chosen:
            key = full_name(model.name)
            # An unload takes its time, and a job may have come for the next one meanwhile.
            if self._use.is_idle(key, self._policy.idle_s) and await self._move("unload", model.name):
                self._kept.discard(key)
                self._not_before[key] = self._clock.monotonic() + self._policy.reload_s
                self._use.note_size(key, size_in(model, is_vram=is_vram))
            self._relieved_at = self._clock.monotonic()

    async def _move(self, action: str, model: str) -> bool:
        """Load or unload a model, and tell what came of it."""
        started = self._clock.monotonic()
        move = self._library.load if action == "load" else self._library.unload
        error = ""
        try:
            async with asyncio.timeout(self._policy.move_s):
                await move(model)
        except ExecutorError as failed:
            error = str(failed)
        except TimeoutError:
            error = f"{self.engine} did not do it in {self._policy.move_s:g} s"
        self._events.emit(ModelMoved(self.engine, model, action, self._clock.monotonic() - started, error))
        return not error
