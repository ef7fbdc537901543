from __future__ import annotations

import ssl

import pytest

from node.domain.secret import Secret
from node.executors.openai_library import OpenAiLibrary
from node.executors.openai_policy import OpenAiPolicy
from tests.unit.executors.ollama_server import JSON, Script, ndjson, saying, stalling
from tests.unit.executors.openai_server import OpenAiServer, openai_server, refusing

PROPS, INFO, OLD_INFO = "/props", "/server_info", "/get_server_info"
SGLANG = {"max_running_requests": None, "internal_states": [{"effective_max_running_requests_per_dp": 48}] * 2}


def telling(value: object) -> Script:
    return saying(200, JSON, ndjson(value))


async def asked(server: OpenAiServer, path: str = "/v1", list_s: float = 10.0) -> int | None:
    policy = OpenAiPolicy("upstairs", server.url + path, Secret("sk-hidden"))
    library = OpenAiLibrary(policy, ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), list_s)
    try:
        return await library.parallel()
    finally:
        await library.aclose()


@pytest.mark.parametrize(
    ("beside", "told"),
    [
        ({PROPS: telling({"total_slots": 4, "model_path": "m.gguf"})}, 4),
        ({INFO: telling(SGLANG)}, 96),
        ({OLD_INFO: telling(SGLANG)}, 96),
        ({INFO: telling({"max_running_requests": 12})}, 12),
        ({PROPS: telling({"role": "router"}), INFO: telling(SGLANG)}, 96),
        ({PROPS: telling({"error": "Unexpected endpoint or method. (GET /props)"})}, None),
        ({}, None),
        ({PROPS: refusing(503, {"error": {"message": "Loading model"}})}, None),
        ({PROPS: refusing(401, "no"), INFO: saying(200, "text/html", b"<html>")}, None),
        ({PROPS: telling({"total_slots": 0})}, None),
        ({PROPS: telling({"total_slots": -3})}, None),
        ({PROPS: telling({"total_slots": "many"})}, None),
        ({PROPS: telling([4]), INFO: telling({"internal_states": 7})}, None),
        ({PROPS: saying(200, JSON, b" " * 5 * 2**20 + b'{"total_slots":4}')}, None),
    ],
)
async def test_a_server_is_believed_where_it_tells(beside: dict[str, Script], told: int | None) -> None:
    async with openai_server() as server:
        server.beside.update(beside)
        assert await asked(server) == told


@pytest.mark.parametrize(
    ("base", "place"),
    [("/v1", "/props"), ("/v1/", "/props"), ("/llama/v1", "/llama/props"), ("/api", "/api/props"), ("", "/props")],
)
async def test_it_is_asked_beside_its_api(base: str, place: str) -> None:
    async with openai_server() as server:
        server.beside[place] = telling({"total_slots": 3})
        assert await asked(server, base) == 3
        assert server.paths == [place]


async def test_a_silent_server_is_not_waited_for() -> None:
    async with openai_server() as server:
        server.beside[PROPS] = stalling()
        assert await asked(server, list_s=0.1) is None


async def test_a_server_that_is_not_there_does_not_tell() -> None:
    server = OpenAiServer()
    server.reserve()
    assert await asked(server) is None
    await server.stop()
