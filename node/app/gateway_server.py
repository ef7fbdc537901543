"""The sandbox gateway by itself, in the foreground."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path

from node.app.control_file import control_file
from node.domain.events import Crash
from node.domain.secret import Secret
from node.manager.shutdown import ShutdownSignals
from node.runtime.signals import Signal
from node.sandbox.assembly import Sandbox, served_sandbox, system_surroundings
from node.sandbox.handshake import Handshake
from node.sandbox.policy import SandboxPolicy


async def serve_gateway(
    policy: SandboxPolicy,
    state_dir: Path,
    say: Callable[[str], None],
    remember: Callable[[Secret], None],
    report_s: float,
    exit_code: int,
) -> None:
    """Serve until SIGINT or SIGTERM; every ``report_s`` seconds tell how things stand.

    ``remember`` is told of the gateway's own secrets before anything is said.
    A third signal ends the process at once, with ``exit_code``. While it serves it is found by `read_control_file`.

    Raises:
        InvalidInput: the address cannot be had.
        StorageInUse: another gateway holds the data folder.
        StorageUnavailable: the data folder cannot be read or written, or the state folder not written.
    """
    around = system_surroundings(policy, _report_crash)
    for secret in (around.secret, around.control_token, *policy.secrets()):
        remember(secret)
    stop = Signal()
    async with served_sandbox(policy, around) as (sandbox, handle):
        handshake = Handshake(url=handle.url, control_token=around.control_token, pid=os.getpid())
        with control_file(state_dir, handshake), ShutdownSignals(stop.set, stop.set, exit_code):
            kept = f"kept in {policy.data_dir}" if policy.data_dir else "gone when it ends; --data DIR keeps them"
            say(f"The sandbox gateway listens at {handle.url}. Nodes, jobs and points are {kept}.")
            fed = policy.workload is not None and policy.workload.running and policy.workload.rate_per_s > 0
            say(f"It is fed {policy.workload.rate_per_s:g} jobs a second." if fed and policy.workload else _NOT_FED)
            while not await stop.wait(report_s):
                say(await _status(sandbox))
            say("Stopping.")
    say("Stopped.")


_NOT_FED = "It is not fed: give it work with 'submit'."


async def _status(sandbox: Sandbox) -> str:
    totals = await sandbox.gateway.totals()
    return (
        f"submitted {totals.submitted} | pending {totals.pending} | leased {totals.leased} | accepted {totals.accepted}"
        f" ({totals.succeeded} ok, {totals.failed} failed) | redelivered {totals.redelivered} | lost {totals.lost}"
    )


def _report_crash(crash: Crash) -> None:
    sys.stderr.write(f"{crash.task}: {crash.error}\n{crash.trace}")
