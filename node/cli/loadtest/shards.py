"""Load tests over several processes or machines, as a person asks for them."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Final

from node.app.event_loop import new_event_loop
from node.app.loadtest.plan import LoadTestOrder, plan_load_test
from node.app.loadtest.shards import Shards
from node.app.loadtest.shards_folder import FolderJudge, FolderShard, plan_of
from node.app.telemetry import redactor_for
from node.cli.exit_codes import ExitCode
from node.cli.loadtest.document import DocumentFile
from node.cli.loadtest.reports import ReportOptions
from node.cli.loadtest.run import EXIT_CODES
from node.cli.loadtest.summary import summary
from node.cli.output import OutputConsole, open_output
from node.domain.errors import InputFault, InvalidInput
from node.domain.secret import Secret
from node.loadtest.plan.scenario import Shard
from node.loadtest.report.environment import environment
from node.loadtest.shards.folder import ShardFolder
from node.loadtest.shards.folder_link import FolderPolicy
from node.loadtest.shards.folder_wait import FolderWait
from node.loadtest.shards.processes import ProcessPool
from node.loadtest.shards.ray_pool import LOCAL, RayPool
from node.runtime.system import SystemClock
from node.settings.load import load

_CHILD: Final = "node.app.loadtest.shards_child"
_PROGRAM: Final = "node.app.loadtest.shards_run:run_task"
_LOOP: Final = "node.app.event_loop:new_event_loop"

_SILENT_S: Final = 60.0
"""What a shard may take to write its record, when nothing is heard of it."""


def shards_of(processes: int, ray: str | None, shards: int | None, *, has_gateway: bool) -> Shards | None:
    """What the options of ``loadtest run`` ask for; None for a run in this process alone.

    Raises:
        InvalidInput: they do not go together.
    """
    if ray is None:
        if shards is not None:
            raise _unfit("--shards", "it says over how many actors of a Ray cluster", "add --ray, or use --processes")
        return None if processes == 1 else Shards(processes, lambda say: ProcessPool(_CHILD, say))
    if processes != 1:
        raise _unfit("--processes", "with --ray the shards are the cluster's", "use --shards")
    if ray != LOCAL and not has_gateway:
        problem = "other machines do not reach a sandbox gateway that listens on this one alone"
        raise _unfit("--ray", problem, "name the gateway with --gateway, or use --ray local")
    return Shards(shards or 2, lambda _: RayPool(ray, _PROGRAM, _LOOP), is_local=ray == LOCAL)


@dataclass(frozen=True, slots=True)
class ShardOptions:
    """What was asked for on the command line of ``loadtest shard``."""

    order: LoadTestOrder
    flags: Mapping[str, object]
    config_file: Path | None
    profile: str | None
    index: int
    count: int
    folder: Path
    policy: FolderPolicy


def run_folder_shard(options: ShardOptions) -> ExitCode:
    """Carry out one shard, leave its record in the folder, and return the exit code that says so.

    Raises:
        NodeError: it could not be begun, or left no record; its subclasses say why.
    """
    cwd = Path.cwd()
    loaded = load(
        config_file=options.config_file, profile=options.profile, flags=options.flags, environ=os.environ, cwd=cwd
    )
    plan = plan_load_test(options.order, loaded, cwd)
    if plan.uses_sandbox:
        raise _unfit("--gateway", "shards on machines of their own need a gateway that all of them reach", "name it")
    _check_key(options.order.api_key)
    loss = open_output(redactor_for(plan.secrets()).redact, "the shard")
    console = OutputConsole(highlight=False)
    say = partial(console.print, markup=False, soft_wrap=True)
    folder = ShardFolder(cwd / options.folder)
    folder.claim(options.index, options.count)
    say(f"Shard {options.index} of {options.count}: waiting for the others.")
    shard = FolderShard(plan, Shard(options.index, options.count), folder, options.policy, say, ExitCode.INTERRUPTED)
    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        was_stopped = runner.run(shard.run())
    say(f"The record of shard {options.index} is in {options.folder}.")
    return loss.exit_code(ExitCode.STOPPED if was_stopped else ExitCode.OK)


@dataclass(frozen=True, slots=True)
class MergeOptions:
    """What was asked for on the command line of ``loadtest merge``."""

    folder: Path
    api_key: Secret
    flags: Mapping[str, object]
    config_file: Path | None
    profile: str | None
    document: Path | None
    report: Path | None
    wait_s: float | None = None


def merge_shards(options: MergeOptions) -> ExitCode:
    """Judge the shards of a folder as one run, print what it came to, and return the exit code that says so.

    Raises:
        NodeError: they could not be judged; its subclasses say why.
    """
    cwd = Path.cwd()
    document = None if options.document is None else DocumentFile.prepared(options.document)
    _check_key(options.api_key)
    redactor = redactor_for([options.api_key])
    loss = open_output(redactor.redact, "the merge")
    folder = ShardFolder(cwd / options.folder)
    if options.wait_s is not None:
        _await_shards(folder, FolderPolicy(wait_s=options.wait_s, silent_s=_SILENT_S))
    gathered, facts = folder.gathered()
    loaded = load(
        config_file=options.config_file,
        profile=options.profile,
        flags={**options.flags, "gateway.url": facts.gateway},
        environ=os.environ,
        cwd=cwd,
    )
    plan = plan_of(facts, loaded.settings, options.api_key)
    for secret in plan.secrets():
        redactor.register(secret)
    console = OutputConsole(highlight=False)
    say = partial(console.print, markup=False, soft_wrap=True)
    gateway = plan.settings.gateway
    reports = ReportOptions(options.report).opened(ca_file=gateway.ca_file, trust_env=gateway.trust_env_proxies)
    say(f"{len(gathered.records)} of {gathered.count} shards left a record.")
    for one in gathered.lost:
        silent_s = time.time() - one.at
        if silent_s < _SILENT_S and not folder.is_over(one.index):
            say(f"Shard {one.index} was heard of {silent_s:.0f} s ago and may go on: '--wait 10m' waits for it.")
    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        outcome = runner.run(FolderJudge(gathered, facts, plan, redactor, say).judge())
    outcome = replace(outcome, environment=environment())
    for part in summary(outcome):
        console.print(part)
    if document is not None:
        document.write(outcome, redactor.redact)
    reports.deliver(outcome, redact=redactor.redact, say=say)
    return loss.exit_code(EXIT_CODES[outcome.verdict])


def _await_shards(folder: ShardFolder, policy: FolderPolicy) -> None:
    with asyncio.Runner(loop_factory=new_event_loop) as runner, ThreadPoolExecutor(1, "shard-folder") as io:
        runner.run(FolderWait(folder, policy, SystemClock(), io, partial(print, flush=True)).all_over())


def _check_key(api_key: Secret) -> None:
    if not api_key:
        problem = "all shards submit, and their judge asks, with one developer's key"
        raise _unfit("--api-key", problem, "give it, best by the variable LLM_NODE_API_KEY")


def _unfit(option: str, problem: str, remedy: str) -> InvalidInput:
    return InvalidInput([InputFault(option, problem, remedy)])
