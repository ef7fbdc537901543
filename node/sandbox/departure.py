"""Requests whose client does not wait for the answer."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import TypeVar

from starlette.types import Receive

from node.runtime.interrupt import Interrupt, Interrupted

T = TypeVar("T")


class ClientGone(Exception):
    """The client closed its connection before it was answered."""


async def while_connected(receive: Receive, work: Awaitable[T]) -> T:
    """Wait for ``work`` as long as the client does; the request's body must have been read.

    A cancellation of the caller reaches ``work`` too.

    Raises:
        ClientGone: the client left; ``work`` is cancelled.
    """
    interrupt = Interrupt()
    watcher = asyncio.get_running_loop().create_task(_watch(receive, interrupt), name="client-departure")
    try:
        with interrupt:
            return await work
    except Interrupted as error:
        raise ClientGone from error
    finally:
        watcher.cancel()
        await asyncio.wait([watcher])


async def _watch(receive: Receive, interrupt: Interrupt) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    interrupt.trigger()
