"""A fleet that evil replies cannot keep down: every node comes back, polls, and finishes a job."""

from __future__ import annotations

import asyncio
import ssl
from pathlib import Path

import pytest

from tests.contract.transport.certificates import Identity
from tests.contract.transport.conftest import TRANSPORTS
from tests.evil.cases import CASES
from tests.evil.connections import CONNECTIONS, EvilConnection, contexts
from tests.evil.fleet import EvilGateway, fates, fleet, stragglers
from tests.evil.parts import MIB
from tests.evil.server import EvilServer, bait, serving
from tests.evil.steps import STEPS
from tests.evil.table import rounds_of

pytestmark = pytest.mark.timeout(120)

NODE_STEPS = STEPS[:-1]
SHARE = 40
WITHIN_S = 60.0
EVIL_CONNECTIONS = 3


async def test_a_fleet_outlives_an_evil_gateway(tls: ssl.SSLContext) -> None:
    async with bait() as elsewhere:
        rounds = [round_ for step in NODE_STEPS for round_ in rounds_of(step, elsewhere.url, SHARE)]
        gateway = EvilGateway(fates(rounds))
        async with (
            serving(EvilServer(gateway.answer)) as server,
            fleet(list(gateway.fates), server.url, TRANSPORTS["httpx"](tls, MIB)) as running,
        ):
            assert not await stragglers(running, gateway.fates, WITHIN_S)
            await running.drain(15.0)
            assert not running.crashes
            assert not running.outbox.count()


async def outlive(
    connection: EvilConnection, authority: Identity, tls: tuple[ssl.SSLContext, ssl.SSLContext], folder: Path
) -> None:
    """A node whose first connections are evil, and the others good."""
    ours, theirs = tls
    (fate,) = (each := fates([(STEPS[0], CASES[0])])).values()
    fate.left = 0
    evil = contexts(connection, authority, folder)
    server = EvilServer(
        EvilGateway(each).answer,
        lambda number: connection.greeting if number <= EVIL_CONNECTIONS else (),
        lambda number: evil(number) if number <= EVIL_CONNECTIONS else theirs,
        scheme="https",
    )
    async with serving(server), fleet(list(each), server.url, TRANSPORTS["httpx"](ours, MIB)) as running:
        assert not await stragglers(running, each, WITHIN_S), connection
        assert server.connections > EVIL_CONNECTIONS
        await running.drain(15.0)
        assert not running.crashes


async def test_nodes_outlive_evil_connections(
    authority: Identity, evil_tls: tuple[ssl.SSLContext, ssl.SSLContext], tmp_path: Path
) -> None:
    async with asyncio.TaskGroup() as group:
        for connection in CONNECTIONS:
            if connection.scheme == "https":
                group.create_task(outlive(connection, authority, evil_tls, tmp_path))
