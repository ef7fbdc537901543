"""The executors that settings ask for, in their order."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Mapping

from node.executors.first_taker import FirstTaker
from node.executors.limited import Limited
from node.executors.prompt_book import PromptBook
from node.executors.stored import StoredExecutor, StoredPolicy
from node.executors.synthetic import SyntheticExecutor, SyntheticPolicy
from node.ports.clock import Clock, Random
from node.ports.events import EventSink
from node.ports.executor import Executor
from node.settings.model import Settings


def build_executors(
    settings: Settings, book: PromptBook, tls: ssl.SSLContext, clock: Clock, random: Random, events: EventSink
) -> Executor:
    """One executor that gives each job to the first of the configured ones that takes it; closing it closes all.

    No engine is contacted yet.
    """
    makers: Mapping[str, Callable[[], Executor]] = {
        "stored": lambda: _stored(settings, book, random),
        "ollama": lambda: _ollama(settings, tls, clock, events),
        "synthetic": lambda: _synthetic(settings, random),
    }
    return FirstTaker([makers[name]() for name in settings.executors.order])


def _stored(settings: Settings, book: PromptBook, random: Random) -> Executor:
    stored = settings.stored
    return StoredExecutor(book, StoredPolicy(delay=stored.delay, variation=stored.variation), random)


def _ollama(settings: Settings, tls: ssl.SSLContext, clock: Clock, events: EventSink) -> Executor:
    from node.executors.ollama import OllamaExecutor, OllamaPolicy  # its client takes a quarter of a second to import

    engine = settings.ollama
    limit = settings.executors.concurrency
    policy = OllamaPolicy(
        base_url=engine.url,
        model_override=engine.model_override,
        max_output=settings.node.default_max_output,
        concurrency=limit,
        connect_s=engine.connect_s,
        recheck_s=engine.recheck_s,
        keep_alive=engine.keep_alive or None,
        think=engine.think_or_default,
    )
    return Limited(OllamaExecutor(policy, clock, events, tls), limit)


def _synthetic(settings: Settings, random: Random) -> Executor:
    pace = settings.synthetic
    return SyntheticExecutor(SyntheticPolicy(pace.tokens_min, pace.tokens_max, pace.tokens_per_s), random)
