"""Engines put together as settings ask, for servers of the test's own."""

from __future__ import annotations

import contextlib
import random
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

from node.app.engines import EngineBuilder, Engines, plan_engines
from node.runtime.system import SystemClock
from node.settings.load import Loaded, load
from tests.support.events import RecordingSink
from tests.unit.executors import ollama_server as ollama
from tests.unit.machine.doubles import a_sample


def settings(folder: Path, environ: dict[str, str] | None = None, **flags: object) -> Loaded:
    named = {name.replace("__", "."): value for name, value in flags.items()}
    return load(config_file=None, profile=None, flags=named, environ=environ or {}, cwd=folder)


@contextlib.asynccontextmanager
async def built(
    folder: Path,
    events: RecordingSink,
    *,
    falls_back: bool = False,
    environ: dict[str, str] | None = None,
    **flags: object,
) -> AsyncIterator[Engines]:
    loaded = settings(folder, environ, **flags)
    builder = EngineBuilder(
        *(plan_engines(loaded, folder), loaded.settings, ssl.create_default_context(), SystemClock()),
        *(random.Random(1), events, a_sample),
        falls_back=falls_back,
    )
    engines = builder.build()
    for keeper in engines.keepers:
        await keeper.catalogue.refresh()
    try:
        yield engines
    finally:
        await engines.executor.aclose()
        for library in engines.libraries:
            await library.aclose()


def tagged(*names: str) -> ollama.Script:
    return ollama.listing(*({"model": name, "size": 1} for name in names))
