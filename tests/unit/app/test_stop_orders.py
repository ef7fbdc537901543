"""Orders to stop are kept until somebody can obey, and are answered at once."""

from __future__ import annotations

from node.app.stop_orders import StopOrders
from node.settings.sections.fleet import StopSettings
from tests.integration.production.world import Said


async def test_an_order_that_comes_during_the_start_is_answered_and_kept() -> None:
    said, obeyed = Said(), list[str]()
    orders = StopOrders(said, StopSettings())
    orders.drain()
    orders.drain()
    assert said.lines == ["Stopping, as soon as what is being started can be stopped."]
    orders.obeyed_by(lambda: obeyed.append("drain"), lambda: obeyed.append("abort"))
    assert obeyed == ["drain"]
    orders.abort()
    assert obeyed == ["drain", "abort"]
    assert orders.aborted
    assert len(said.lines) == 2


async def test_an_abort_that_comes_during_the_start_is_kept_too() -> None:
    said, obeyed = Said(), list[str]()
    orders = StopOrders(said, StopSettings())
    orders.drain()
    orders.abort()
    orders.obeyed_by(lambda: obeyed.append("drain"), lambda: obeyed.append("abort"))
    assert obeyed == ["drain", "abort"]
