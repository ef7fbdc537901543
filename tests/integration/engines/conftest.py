"""llama.cpp's server, started once for all tests that leave it alive."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from node.domain.secret import Secret
from node.executors.openai_compatible import OpenAiExecutor
from node.executors.openai_policy import OpenAiPolicy
from node.runtime.system import SystemClock
from tests.support.events import RecordingSink
from tests.support.llama_server import LlamaServer, write_tiny_model

KEY = "sk-hunter2-of-the-engine"
Opener = Callable[..., OpenAiExecutor]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """One process for all tests that share a server: two seconds of a core go by before one answers."""
    for item in items:
        if {"llama", "odd_llama"} & set(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.xdist_group("engines"))


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file with a model."""
    path = tmp_path_factory.mktemp("models") / "tiny.gguf"
    write_tiny_model(path)
    return path


@pytest.fixture(scope="session")
def llama(tiny_model: Path) -> Iterator[LlamaServer]:
    """A server for tests that do not kill it."""
    server = LlamaServer(tiny_model)
    try:
        server.start()
        yield server
    finally:
        server.kill()


@pytest.fixture
def mortal(tiny_model: Path) -> Iterator[LlamaServer]:
    """A server for one test, which may kill it; not yet started."""
    server = LlamaServer(tiny_model)
    yield server
    server.kill()


@pytest.fixture(scope="session")
def odd_llama(tiny_model: Path) -> Iterator[LlamaServer]:
    """A server that wants a key, and whose requests cut each other."""
    server = LlamaServer(tiny_model, api_key=KEY, interrupts=True)
    try:
        server.start()
        yield server
    finally:
        server.kill()


@pytest.fixture
def sink() -> RecordingSink:
    return RecordingSink()


@pytest.fixture
async def engine(sink: RecordingSink) -> AsyncIterator[Opener]:
    """Makes executors for a server."""
    made: list[OpenAiExecutor] = []

    def make(server: LlamaServer, **policy: Any) -> OpenAiExecutor:
        settings = OpenAiPolicy(
            **{"name": "llama.cpp", "base_url": server.base_url, "api_key": Secret(server.api_key), **policy}
        )
        made.append(OpenAiExecutor(settings, SystemClock(), sink, ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)))
        return made[-1]

    yield make
    for executor in made:
        await executor.aclose()
