"""Looks at the engines: whether they answer, have the models that are wanted, and generate."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from node.app.doctor.findings import Finding, failed, passed, warned
from node.domain.errors import EngineOverloaded, ExecutorError
from node.domain.jobs import ChatPayload, Message
from node.domain.model_names import matches
from node.domain.results import Generation
from node.ports.clock import Clock
from node.ports.executor import Executor
from node.ports.library import ModelLibrary

_SHOWN_MODELS: Final = 5
_LIST_S: Final = 8.0
_TOKEN_S: Final = 20.0
"""For a model to be loaded and to make its first token."""


@dataclass(frozen=True, slots=True)
class EngineExamination:
    """Asks each engine for its models, and for one token of the first that is on offer.

    ``offered`` picks the models that the node would offer; ``wanted`` are names or patterns that should be there.
    """

    libraries: Sequence[ModelLibrary]
    executors: Mapping[str, Executor]
    offered: Callable[[str], bool]
    wanted: Sequence[str]
    clock: Clock

    async def findings(self) -> AsyncIterator[Finding]:
        """What is found, engine by engine; all are asked at once, and have half a minute. Never raises."""
        loop = asyncio.get_running_loop()
        asking = [loop.create_task(self._ask(library), name=f"ask {library.engine}") for library in self.libraries]
        found: list[str] = []
        any_answers = False
        try:
            for asked in asking:
                finding, offered = await asked
                yield finding
                any_answers = any_answers or offered is not None
                found += offered or ()
        finally:
            for asked in asking:
                asked.cancel()
            await asyncio.gather(*asking, return_exceptions=True)
        for finding in self._models(found) if any_answers else ():
            yield finding

    async def _ask(self, library: ModelLibrary) -> tuple[Finding, Sequence[str] | None]:
        """What is found of an engine, and which of its models are on offer; None when it does not say."""
        try:
            async with asyncio.timeout(_LIST_S):
                models = [model.name for model in await library.stored()]
        except (ExecutorError, TimeoutError) as error:
            text = str(error) or f"{library.engine} said nothing within {_LIST_S:g} s"
            named = text if text.startswith(library.engine) else f"{library.engine}: {text}"
            return failed("engine", named, "start it, or correct its address"), None
        offered = [model for model in models if self.offered(model)]
        return await self._generate(library.engine, models, offered), offered

    async def _generate(self, engine: str, models: Sequence[str], offered: Sequence[str]) -> Finding:
        if not offered:
            has = f"none of its {len(models)} models is on offer" if models else "it has no models"
            return failed("engine", f"{engine}: {has}", "fetch a model (ollama pull …), or widen ALLOWED_MODELS")
        model = offered[0]
        started = self.clock.monotonic()
        try:
            async with asyncio.timeout(_TOKEN_S):
                made = await self.executors[engine].execute(ChatPayload(model, (Message("user", "Say yes."),), 1))
        except EngineOverloaded as error:
            return warned("engine", f"{engine} is busy: {error}", "try again later")
        except TimeoutError:
            text = f"{engine} made no token with {model} within {_TOKEN_S:g} s"
            remedy = "if it loads the model, ask again in a minute; if not, look into the engine's own log"
            return failed("engine", text, remedy)
        except ExecutorError as error:
            text = f"{engine} does not generate with {model}: {error}"
            return failed("engine", text, "look into the engine's own log")
        if isinstance(made, Generation) and not made.text and not made.finish_reason:
            text = f"{engine} answered with {model}, and generated nothing"
            return failed("engine", text, "look into the engine's own log, and at the version of its API")
        ran = made.model if isinstance(made, Generation) else model
        took_s = self.clock.monotonic() - started
        return passed("engine", f"{engine} generated a token with {ran} in {took_s:.1f} s")

    def _models(self, found: Sequence[str]) -> list[Finding]:
        missing = [want for want in self.wanted if not any(matches(model, (want,)) for model in found)]
        findings = [
            failed("models", f"no engine has {want}", f"ollama pull {want}, or set models.pull, or leave it out")
            for want in missing
        ]
        if found and not findings:
            shown = ", ".join(found[:_SHOWN_MODELS])
            more = f" and {len(found) - _SHOWN_MODELS} more" if len(found) > _SHOWN_MODELS else ""
            findings.append(passed("models", f"on offer: {shown}{more}"))
        return findings
