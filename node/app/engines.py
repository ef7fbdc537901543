"""The engines of a node in production, put together as settings ask: what each job goes through on its way to one."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable, Iterator, Sequence
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeVar

from node.app.engine_slots import EngineSlots, set_slots, told_slots
from node.domain.errors import InputFault, InvalidInput
from node.domain.model_names import matches
from node.domain.policies import BackOff
from node.executors.breaker import Breaker
from node.executors.by_model import LimitedByModel, ModelLimit, parse_model_limit
from node.executors.engine_executor import EngineExecutor
from node.executors.fallback import Fallback, FallbackRule, parse_fallback
from node.executors.limited import Limited
from node.executors.model_circuit import BreakerPolicy
from node.executors.ollama_policy import OllamaPolicy
from node.executors.openai_policy import OpenAiPolicy
from node.executors.pattern_safety import safe_pattern
from node.executors.progress import Progressing, ProgressPolicy
from node.executors.retrying import Retrying
from node.executors.routing import Prospect, Route, Routed, parse_route
from node.executors.rules import Ruled, Rules, RulesPolicy
from node.machine.catalogue import CataloguePolicy
from node.machine.having import Having
from node.machine.keeper import KeeperPolicy, ModelKeeper
from node.machine.offer import EngineOffer
from node.machine.on_demand import OnDemand
from node.machine.puller import PullPolicy
from node.machine.sample import MachineSample
from node.ports.clock import Clock, Random
from node.ports.events import EventSink
from node.ports.executor import Executor
from node.ports.library import ModelLibrary
from node.settings.catalogue import catalogue as settings_catalogue
from node.settings.layers import OriginKind
from node.settings.load import Loaded
from node.settings.model import Settings
from node.settings.text_file import display_path, read_lenient_text
from node.settings.vocabulary import engine_entry

FIRST_LOOK_S: Final = 3.0
"""How long the start waits for what engines tell; what takes longer is heard of later, or not at all."""

_RETRY: Final = BackOff(base_s=0.5, cap_s=5.0)
_GB: Final = 1_000_000_000
_READ_BY_ENGINES_S: Final = 30.0

_SHARE_OF_JOB: Final = 0.8
"""How much of a job's time may pass without a first piece."""
_LONG_SILENCE_S: Final = 30.0
"""A job that ends after that much silence has shown the engine to fail, whatever it was that ended it."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class EnginePlan:
    """What the settings ask for of engines, read and checked. ``entries`` are name, kind and base address of each;
    ``slots`` are jobs at the same time, 0 for as many as the engines say.
    """

    entries: tuple[tuple[str, str, str], ...]
    routes: tuple[Route, ...]
    limits: tuple[ModelLimit, ...]
    fallbacks: tuple[FallbackRule, ...]
    rules: RulesPolicy
    slots: int


@dataclass(frozen=True, slots=True)
class Engines:
    """Engines that are put together: ``executor`` runs jobs on them all, ``raw`` are they themselves, by name; ``slots``
    is how many jobs each lets run at the same time.

    Closing ``executor`` closes them; ``libraries`` are the caller's to close, after the keepers have ended.
    """

    executor: Executor
    raw: dict[str, Executor]
    libraries: tuple[ModelLibrary, ...]
    keepers: tuple[ModelKeeper, ...]
    slots: EngineSlots


def plan_engines(loaded: Loaded, cwd: Path) -> EnginePlan:
    """Read what the settings say of engines, and the files that they name. Reading blocks.

    Raises:
        InvalidInput: with everything that cannot be used.
    """
    settings = loaded.settings
    faults: list[InputFault] = []
    entries = _entries(loaded)
    names = [name for name, _, _ in entries]
    faults += [
        InputFault("engines.list", f"two engines are called {name}", "give each a name of its own")
        for name in sorted({name for name in names if names.count(name) > 1})
    ]
    routes = _parsed(settings.engines.routes, parse_route, "engines.routes", faults)
    for route in routes:
        for name in sorted(set(route.engines) - set(names)):
            remedy = f"the engines are {', '.join(names)}"
            faults.append(InputFault("engines.routes", f"there is no engine {name!r}", remedy))
    fallbacks = _parsed(settings.engines.fallbacks, parse_fallback, "engines.fallbacks", faults)
    faults += [
        InputFault("engines.fallbacks", f"{model} is not among models.allowed", "allow it, or leave it out")
        for model in sorted({model for rule in fallbacks for model in rule.alternatives})
        if not matches(model, settings.models.allowed)
    ]
    plan = EnginePlan(
        entries=entries,
        routes=routes,
        limits=_parsed(settings.engines.per_model, parse_model_limit, "engines.per_model", faults),
        fallbacks=fallbacks,
        rules=_rules(settings, cwd, faults),
        slots=settings.worker.slots,
    )
    if faults:
        raise InvalidInput(faults)
    return plan


async def first_look(engines: Engines, offer: EngineOffer) -> tuple[str, ...]:
    """Ask what all engines have, for some seconds; returns a sentence without its full stop for each that did not tell."""
    with suppress(TimeoutError):
        async with asyncio.timeout(FIRST_LOOK_S):
            await offer.refresh()
    return tuple(
        catalogue.failed_because or f"{catalogue.engine} did not say within {FIRST_LOOK_S:g} s which models it has"
        for catalogue in (keeper.catalogue for keeper in engines.keepers)
        if not catalogue.is_fresh
    )


@dataclass(frozen=True, slots=True)
class EngineBuilder:
    """Builds engines on this ground. ``latest`` gives the machine's last sample, None while there is none.

    ``falls_back`` says whether other models may run than were asked for, by the declared rules.
    """

    plan: EnginePlan
    settings: Settings
    tls: ssl.SSLContext
    clock: Clock
    random: Random
    events: EventSink
    latest: Callable[[], MachineSample | None]
    falls_back: bool

    async def slots(self) -> EngineSlots:
        """How many jobs run at the same time: as the settings say, or else the engines, which are asked for it."""
        if self.plan.slots:
            return self._slots_unasked()
        async with AsyncExitStack() as stack:
            libraries = [self._library(*entry, self._slots_unasked()) for entry in self.plan.entries]
            for library in libraries:
                stack.push_async_callback(library.aclose)
            return await told_slots(libraries, FIRST_LOOK_S)

    def build(self, slots: EngineSlots | None = None) -> Engines:
        """Put them together; none is contacted yet. Without ``slots`` they are as where engines do not say."""
        slots = slots or self._slots_unasked()
        raw: dict[str, Executor] = {}
        guarded: dict[str, Executor] = {}
        prospects: dict[str, Callable[[str], Prospect]] = {}
        libraries, keepers = [], []
        for entry in self.plan.entries:
            engine, library = self._executor(*entry, slots), self._library(*entry, slots)
            keeper = self._keeper(library)
            # Who runs jobs must know as soon as who opens the gate for them.
            keeper.catalogue.on_answer(engine.found)
            libraries.append(library)
            keepers.append(keeper)
            raw[engine.name] = engine
            guarded[engine.name], prospects[engine.name] = self._guarded(engine, keeper, slots)
        executor: Executor = Routed(guarded, self.plan.routes, prospects)
        executor = Retrying(executor, self.settings.engines.retries, _RETRY, self.random)
        if self.falls_back and self.plan.fallbacks:
            executor = Fallback(executor, self.plan.fallbacks, self.events)
        ruled = Ruled(executor, Rules(self.plan.rules), self.events)
        return Engines(ruled, raw, tuple(libraries), tuple(keepers), slots)

    def _slots_unasked(self) -> EngineSlots:
        return set_slots([name for name, _, _ in self.plan.entries], self.plan.slots)

    def _guarded(
        self, engine: Executor, keeper: ModelKeeper, slots: EngineSlots
    ) -> tuple[Executor, Callable[[str], Prospect]]:
        """An engine with all that stands before it, the outermost last; and what a job for a model would find there.

        Silence is measured at the engine itself, lest waiting for a slot counts as such; the circuit is within the
        limits, so that jobs that wait are passed on when it opens; the wait for a download holds no slot. What the engine
        does not have is passed on before all that.
        """
        settings, catalogue = self.settings, keeper.catalogue
        progress = self._progress()
        executor: Executor = Progressing(engine, progress, self.clock)
        if settings.breaker.enabled:
            silent_s = min(progress.first_piece_s or _LONG_SILENCE_S, _LONG_SILENCE_S)
            policy = BreakerPolicy(settings.breaker.failures, settings.breaker.open_s, silent_s)
            executor = Breaker(executor, policy, self.clock, self.events)
        limited = Limited(executor, slots.of_engines[engine.name])
        by_model = LimitedByModel(limited, self.plan.limits)
        executor = OnDemand(by_model, keeper)
        overridden = engine.name in self._overridden()

        def prospect(model: str) -> Prospect:
            of_model = by_model.free(model)
            free = limited.free if of_model is None else min(limited.free, of_model)
            return Prospect(overridden or catalogue.has(model), free)

        return executor if overridden else Having(executor, catalogue), prospect

    def _progress(self) -> ProgressPolicy:
        """As the settings say, but that an engine's silence ends before the job's time, or nobody would be told of it."""
        wanted = self.settings.engines
        first_s = min(wanted.first_piece_s, _SHARE_OF_JOB * self.settings.job_deadline_s)
        return ProgressPolicy(first_s or None, wanted.silent_s or None, wanted.timeout_s)

    def _overridden(self) -> frozenset[str]:
        """The engines that run one model whatever is asked for."""
        overrides = bool(self.settings.ollama.model_override)
        return frozenset(name for name, kind, _ in self.plan.entries if overrides and kind == "ollama")

    def _executor(self, name: str, kind: str, url: str, slots: EngineSlots) -> EngineExecutor:
        # The client of Ollama takes a quarter of a second to import, which nobody pays who has none.
        if kind == "ollama":
            from node.executors.ollama import OllamaExecutor

            return OllamaExecutor(self._ollama(name, url, slots), self.clock, self.events, self.tls)
        from node.executors.openai_compatible import OpenAiExecutor

        return OpenAiExecutor(self._openai(name, url, slots), self.clock, self.events, self.tls)

    def _library(self, name: str, kind: str, url: str, slots: EngineSlots) -> ModelLibrary:
        if kind == "ollama":
            from node.executors.ollama_library import OllamaLibrary

            return OllamaLibrary(self._ollama(name, url, slots), self.tls, _READ_BY_ENGINES_S)
        from node.executors.openai_library import OpenAiLibrary

        return OpenAiLibrary(self._openai(name, url, slots), self.tls, _READ_BY_ENGINES_S)

    def _openai(self, name: str, url: str, slots: EngineSlots) -> OpenAiPolicy:
        wanted = self.settings.openai
        return OpenAiPolicy(
            name=name,
            base_url=url,
            api_key=wanted.api_key,
            max_output=self.settings.node.default_max_output,
            concurrency=slots.of_engines[name],
            connect_s=wanted.connect_s,
            recheck_s=wanted.recheck_s,
            batch=self.settings.worker.batch_size,
        )

    def _ollama(self, name: str, url: str, slots: EngineSlots) -> OllamaPolicy:
        wanted = self.settings.ollama
        return OllamaPolicy(
            base_url=url,
            model_override=wanted.model_override,
            max_output=self.settings.node.default_max_output,
            concurrency=slots.of_engines[name],
            connect_s=wanted.connect_s,
            recheck_s=wanted.recheck_s,
            keep_alive=wanted.keep_alive or None,
            think=wanted.think_or_default,
            batch=self.settings.worker.batch_size,
            name=name,
            kept=self._preload(),
        )

    def _preload(self) -> tuple[str, ...]:
        models = self.settings.models
        return models.preload if models.preload_enabled else ()

    def _keeper(self, library: ModelLibrary) -> ModelKeeper:
        models = self.settings.models
        policy = KeeperPolicy(
            preload=self._preload(),
            memory_threshold=models.memory_threshold,
            refresh_s=models.refresh_s,
            catalogue=CataloguePolicy(allowed=models.allowed, pulls=models.pull, grace_s=models.grace_s),
            pull=PullPolicy(min_free_bytes=int(models.pull_free_gb * _GB)),
        )
        return ModelKeeper(library, policy, self.latest, self.clock, self.events, self.random)


def _entries(loaded: Loaded) -> tuple[tuple[str, str, str], ...]:
    settings = loaded.settings
    if settings.engines.list:
        return tuple(map(engine_entry, settings.engines.list))
    ollama = ("ollama", "ollama", settings.ollama.url)
    if not settings.openai.url:
        return (ollama,)
    openai = ("openai", "openai", settings.openai.url)
    return (ollama, openai) if _is_wanted(loaded, "ollama.url", settings.ollama.url) else (openai,)


def _is_wanted(loaded: Loaded, name: str, value: object) -> bool:
    """Whether somebody said so. The settings file that comes along says every default, which means nothing."""
    origin = loaded.origins.get(name)
    if origin is None:
        return False
    return origin.kind is not OriginKind.FILE or value != settings_catalogue()[name].default


def _parsed(texts: Sequence[str], parse: Callable[[str], T], name: str, faults: list[InputFault]) -> tuple[T, ...]:
    return tuple(_each(texts, parse, name, faults))


def _each(texts: Sequence[str], parse: Callable[[str], T], name: str, faults: list[InputFault]) -> Iterator[T]:
    for text in texts:
        try:
            yield parse(text)
        except ValueError as error:
            faults.append(InputFault(name, str(error), "correct it, or leave it out"))


def _rules(settings: Settings, cwd: Path, faults: list[InputFault]) -> RulesPolicy:
    wanted = settings.rules
    return RulesPolicy(
        max_messages=wanted.max_messages,
        max_message_chars=wanted.max_message_chars,
        max_chars=wanted.max_chars,
        max_inputs=wanted.max_inputs,
        max_scanned_chars=wanted.max_scanned_chars,
        roles=wanted.roles,
        deny=_patterns(wanted.deny_file, cwd, faults),
        allow=_patterns(wanted.allow_file, cwd, faults),
    )


def _patterns(file: Path | None, cwd: Path, faults: list[InputFault]) -> tuple[str, ...]:
    """The regular expressions of a file, one a line; blank lines and those that begin with ``#`` are passed over."""
    if file is None:
        return ()
    place = display_path(file, cwd)
    text, unreadable = read_lenient_text(cwd / file, place)
    faults += unreadable
    found = []
    for line, pattern in enumerate(text.splitlines(), 1):
        if not pattern.strip() or pattern.startswith("#"):
            continue
        try:
            safe_pattern(pattern)
        except ValueError as error:
            faults.append(InputFault(place, str(error), "correct the expression, or leave it out", line))
        else:
            found.append(pattern)
    return tuple(found)
