"""How a server is reached; that it serves is seen with the sandbox and the health port."""

from __future__ import annotations

import pytest
from starlette.applications import Starlette

from node.runtime.http_server import HttpServer, ServerPolicy
from node.runtime.tasks import TaskOwner


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("127.0.0.1", "http://127.0.0.1:3008"),
        ("0.0.0.0", "http://127.0.0.1:3008"),
        ("::", "http://[::1]:3008"),
        ("10.0.0.5", "http://10.0.0.5:3008"),
        ("fd00::5", "http://[fd00::5]:3008"),
        ("box", "http://box:3008"),
    ],
)
def test_its_url_is_one_to_connect_to(host: str, url: str) -> None:
    server = HttpServer(Starlette(), TaskOwner(print), ServerPolicy("health", host, 3008))
    assert server.url == url


async def test_a_stop_before_the_start_does_nothing() -> None:
    await HttpServer(Starlette(), TaskOwner(print), ServerPolicy("health")).stop()
