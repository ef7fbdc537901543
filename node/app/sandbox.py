"""The bundled gateway as a part of a simulation: started first, fed, asked for its ledger, ended last."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from pydantic_core import from_json, to_json

from node.app.plan import FleetPlan
from node.domain.errors import TransportError
from node.executors.prompt_book import PromptBook
from node.ports.transport import Request, Transport
from node.runtime.tasks import TaskOwner
from node.sandbox.handshake import Handshake
from node.sandbox.policy import Prompt, SandboxPolicy, WorkloadPolicy
from node.sandbox.process import SandboxProcess
from node.settings.model import Settings

CONTROL_TIMEOUT_S: Final = 5.0
"""Time for a sandbox to answer where nothing presses."""


def sandbox_policy(
    settings: Settings, book: PromptBook, cwd: Path, *, port: int | None = None, seed: int | None = None
) -> SandboxPolicy:
    """How settings want the sandbox, fed with the stored prompts; ``port`` goes before theirs.

    ``cwd`` is what the data folder is relative to; ``seed`` None draws another one each time.
    """
    wanted = settings.sandbox
    return SandboxPolicy(
        port=wanted.port if port is None else port,
        data_dir=None if wanted.data_dir is None else (cwd / wanted.data_dir).resolve(),
        lease_s=wanted.lease_s,
        token_lifetime_s=wanted.token_lifetime_s,
        points_per_job=wanted.points_per_job,
        points_per_minute=wanted.points_per_minute,
        seed=seed,
        workload=workload_policy(settings, book),
    )


def workload_policy(settings: Settings, book: PromptBook) -> WorkloadPolicy:
    """The jobs that settings want the sandbox to be fed."""
    wanted = settings.workload
    prompts = tuple(Prompt(model, stored.text) for stored in book.prompts for model in stored.answers)
    return WorkloadPolicy(
        prompts=prompts,
        other_models=() if prompts else _FALLBACK_MODELS,
        rate_per_s=wanted.jobs_per_s,
        share_other=wanted.other_share if prompts else 1.0,
        max_pending=wanted.max_pending,
    )


_FALLBACK_MODELS: Final = ("llama3.1:latest",)
"""What is asked for when no prompt file names a model."""


@dataclass(frozen=True, slots=True)
class SandboxControl:
    """Speaks to a sandbox's ``/sandbox/*``."""

    transport: Transport
    handshake: Handshake

    async def ledger(self, timeout_s: float = CONTROL_TIMEOUT_S) -> Mapping[str, Any] | None:
        """The sums of its ledger, named as in `node.sandbox.ledger.Totals`; None when what answers tells none.

        Never raises; takes ``timeout_s`` at most.
        """
        sums = await self._ask("GET", "/sandbox/ledger", timeout_s=timeout_s)
        return sums if sums is not None and isinstance(sums.get("lost"), int) else None

    async def stop_feeding(self) -> None:
        """Have it submit no more jobs. Never raises: one that does not answer within 5 s feeds on."""
        await self._ask("POST", "/sandbox/feeder", {"running": False})

    async def _ask(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | None = None,
        *,
        timeout_s: float = CONTROL_TIMEOUT_S,
    ) -> Mapping[str, Any] | None:
        headers = (
            ("x-control-token", self.handshake.control_token.reveal()),
            ("content-type", "application/json"),
        )
        request = Request(method, self.handshake.url + path, headers, None if body is None else to_json(body))
        try:
            reply = await self.transport.exchange(request, timeout_s)
        except TransportError:
            return None
        try:
            content = from_json(reply.body) if reply.status == 200 else None
        except ValueError:
            # Another program may have come to listen at the address of a gateway that was killed.
            return None
        return content if isinstance(content, dict) else None


@contextlib.asynccontextmanager
async def running_sandbox(
    plan: FleetPlan, cwd: Path, tasks: TaskOwner, on_line: Callable[[str], object]
) -> AsyncIterator[SandboxProcess]:
    """A sandbox in a process of its own within the block; see `SandboxProcess.start` and `SandboxProcess.stop`.

    Raises:
        SandboxFailed: it did not start.
    """
    policy = sandbox_policy(plan.settings, plan.prompts, cwd, seed=plan.seed)
    process = await SandboxProcess.start(policy, tasks, on_line=on_line)
    try:
        yield process
    finally:
        await process.stop()
