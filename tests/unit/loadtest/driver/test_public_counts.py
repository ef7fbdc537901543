"""Counts in whatever shape a gateway of the family gives them."""

from __future__ import annotations

import pytest

from node.domain.errors import ConnectFailed
from node.domain.ids import NodeId
from node.domain.secret import Secret
from node.loadtest.driver.policy import DriverPolicy
from node.loadtest.driver.public_counts import node_job_counts, total_job_count
from node.loadtest.driver.target import Target
from node.ports.transport import Reply, Request


class Gateway:
    def __init__(self, body: bytes | None, status: int = 200) -> None:
        self.body = body
        self.status = status
        self.urls: list[str] = []

    async def exchange(self, request: Request, timeout_s: float) -> Reply:
        self.urls.append(request.url)
        if self.body is None:
            raise ConnectFailed("nobody")
        return Reply(self.status, {}, self.body)

    async def aclose(self) -> None:
        pass


@pytest.mark.parametrize(
    ("body", "status", "count"),
    [
        (b"17", 200, 17),
        (b'{"total_job_count": 17}', 200, 17),
        (b'{"node_name": "n", "count": 17}', 200, 17),
        (b'{"a": 1, "b": 2}', 200, None),
        (b'{"a": true}', 200, None),
        (b'"17"', 200, None),
        (b"<html>", 200, None),
        (b"17", 403, None),
        (None, 200, None),
    ],
)
async def test_a_count_is_a_number_that_stands_alone(body: bytes | None, status: int, count: int | None) -> None:
    target = Target(Gateway(body, status), "http://gateway.test/", Secret("key"))
    assert await total_job_count(target, DriverPolicy()) == count


async def test_each_node_is_asked_for_by_its_name() -> None:
    gateway = Gateway(b'{"node_job_count": 3}')
    found = await node_job_counts(
        [NodeId("a b"), NodeId("c")], Target(gateway, "http://gateway.test", Secret("key")), DriverPolicy()
    )
    assert found == {"a b": 3, "c": 3}
    assert gateway.urls == [f"http://gateway.test/node_job_count?node_name={name}" for name in ("a+b", "c")]
