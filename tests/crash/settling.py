"""The end of a leg: everything that can still be sent is sent, and the ledger is held against the books."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Sequence
from typing import Final

from tests.crash.audit import Breach, Kind, check_ledger
from tests.crash.gateway import GatewayUnderTest
from tests.crash.ledger import Ledger
from tests.crash.worker import Gear, WorkerUnderTest

_SETTLED_S: Final = 60.0
_EXIT_S: Final = 25.0
_LOOK_S: Final = 0.1

_GEAR: Final = Gear(settings={"stop.drain_s": 15})


async def settle(
    gateway: GatewayUnderTest, workers: Sequence[WorkerUnderTest], gear: Gear = _GEAR
) -> tuple[Ledger, list[Breach]]:
    """Let all workers run in good weather until every job is answered, stop everything, and audit.

    Returns the ledger, and what is wrong.
    """
    if not gateway.is_up:
        await gateway.start()
    await gateway.set_faults(())
    await gateway.stop_feeding()
    programs = [await worker.start(gateway.url, gear) for worker in workers]
    await _all_answered(gateway)
    breaches: list[Breach] = []
    for program in programs:
        program.signal(signal.SIGTERM)
    for worker, program in zip(workers, programs, strict=True):
        code = await program.ended(_EXIT_S)
        if code != 0:
            breaches.append(Breach(Kind.MISREPORTED, f"{worker.label}: the last, undisturbed one ended with {code}"))
            program.kill()
            await program.ended(_EXIT_S)
        remains = worker.collect()
        breaches += worker.book.take(worker.label, remains.history, remains.outbox)
        breaches += worker.book.unanswered(worker.label, remains.history)
    ledger, wrong = await gateway.stop()
    nodes = {node: worker.book for worker in workers for node in worker.nodes}
    return ledger, [*breaches, *wrong, *check_ledger(ledger, [worker.book for worker in workers], nodes)]


async def _all_answered(gateway: GatewayUnderTest) -> None:
    """Wait until the ledger has no open job; what is not answered after the longest wait, the audit will tell."""
    end = asyncio.get_running_loop().time() + _SETTLED_S
    while asyncio.get_running_loop().time() < end:
        totals = await gateway.totals()
        if totals["submitted"] == totals["accepted"]:
            return
        await asyncio.sleep(_LOOK_S)
