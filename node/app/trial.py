"""A gateway to try a node against: the sandbox, fed with jobs for the models that the node's engines have."""

from __future__ import annotations

import contextlib
import random
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from typing import Final

from node.app.engines import EngineBuilder, Engines, first_look
from node.app.production_plan import ProductionPlan
from node.domain.events import Event
from node.gateway.tls import client_context
from node.machine.offer import EngineOffer
from node.runtime.system import SystemClock
from node.runtime.tasks import TaskOwner
from node.sandbox.policy import Prompt, SandboxPolicy, WorkloadPolicy
from node.sandbox.process import SandboxProcess

_RATE_PER_S: Final = 1.0
_MOST_PENDING: Final = 2
_MOST_TOKENS: Final = 64
_SHOWN_MODELS: Final = 5
_PROMPTS: Final = ("Name a river.", "Say hello in French.", "What is two plus three?", "Name a colour and a fruit.")


class _Nobody:
    """Hears events that are told again later."""

    def emit(self, event: Event, /) -> None:
        del event


@contextlib.asynccontextmanager
async def trial_gateway(plan: ProductionPlan, say: Callable[[str], object]) -> AsyncIterator[str]:
    """A sandbox within the block, and its URL. A person is told by ``say`` what jobs there will be, or why none.

    Raises:
        SandboxFailed: it did not start.
    """
    tasks = TaskOwner(lambda _: None)
    models = await _models(plan, say)
    workload = WorkloadPolicy(
        prompts=tuple(Prompt(model, text) for model in models for text in _PROMPTS),
        rate_per_s=_RATE_PER_S if models else 0.0,
        share_other=0.0,
        max_pending=_MOST_PENDING,
        max_output=_MOST_TOKENS,
    )
    process = await SandboxProcess.start(SandboxPolicy(workload=workload), tasks, on_line=lambda _: None)
    try:
        yield process.handshake.url
    finally:
        await process.stop()
        await tasks.cancel()


async def _models(plan: ProductionPlan, say: Callable[[str], object]) -> tuple[str, ...]:
    tls = client_context(plan.settings.gateway.ca_file)
    builder = EngineBuilder(
        *(plan.engines, plan.settings, tls, SystemClock(), random.Random(), _Nobody(), lambda: None), falls_back=False
    )
    engines = builder.build()
    offer = EngineOffer([keeper.catalogue for keeper in engines.keepers])
    try:
        silent = await first_look(engines, offer)
        models = offer.models(plan.candidates[0])
    finally:
        for library in engines.libraries:
            await library.aclose()
        await engines.executor.aclose()
    for sentence in _sentences(silent, engines, models):
        say(sentence)
    return models


def _sentences(silent: Sequence[str], engines: Engines, models: Sequence[str]) -> Iterator[str]:
    """What there will be to do, and for the engines without a job the remedy."""
    for sentence in silent:
        yield f"Dry run: {sentence}. It gets no jobs: start it, then begin the dry run anew."
    for catalogue in (keeper.catalogue for keeper in engines.keepers):
        if catalogue.is_fresh and not catalogue.offered():
            if catalogue.stored:
                lacks = "has models, but ALLOWED_MODELS lets none of them through: widen it"
            else:
                lacks = "has no model: have it fetch one"
            yield f"Dry run: {catalogue.engine} {lacks}, then begin the dry run anew."
    if models:
        more = f" and {len(models) - _SHOWN_MODELS} more" if len(models) > _SHOWN_MODELS else ""
        yield f"Dry run: the sandbox has jobs for {', '.join(models[:_SHOWN_MODELS])}{more}."
    else:
        yield "Dry run: the sandbox has no jobs, so that all there is to see is the node's waiting."
