"""The outbox as an operator sees it."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import typer
from rich.console import Console
from rich.table import Table

from node.app.fleet import OUTBOX_FILE
from node.domain.errors import InputFault, InvalidInput
from node.domain.ids import JobKey
from node.observability.bus import EventBus
from node.outbox.sqlite import SqliteOutbox
from node.runtime.system import SystemClock
from node.settings.load import load
from node.settings.policies import to_policies

T = TypeVar("T")


def list_outbox(flags: Mapping[str, object], config_file: Path | None, profile: str | None, *, as_json: bool) -> None:
    """Print all that is kept, unsent results first, each kind from the oldest on.

    Raises:
        StorageInUse: a run uses the outbox.
        StorageUnavailable: it cannot be read.
        InvalidInput: there is no outbox, or the settings cannot be used.
    """

    async def collect(outbox: SqliteOutbox) -> list[dict[str, Any]]:
        waiting = [_entry(item.key, "unsent", "", item.finished_at) for item in outbox.pending()]
        return waiting + [_entry(letter.key, "dead", letter.reason, letter.at) for letter in outbox.dead()]

    entries = _with_outbox(flags, config_file, profile, collect)
    if as_json:
        typer.echo(json.dumps(entries, indent=2))
    elif not entries:
        typer.echo("Nothing is unsent and nothing was refused.")
    else:
        Console().print(_table(entries))


def retry_dead(
    flags: Mapping[str, object],
    config_file: Path | None,
    profile: str | None,
    jobs: Sequence[str],
    *,
    everything: bool,
) -> None:
    """Revive dead letters, those of the ``jobs`` named or all.

    Raises:
        StorageInUse: a run uses the outbox.
        StorageUnavailable: the disk does not take it; those revived before stay so.
        InvalidInput: none is named, or one that is not there; there is no outbox, or the settings cannot be used.
    """

    async def revive(outbox: SqliteOutbox) -> int:
        keys = _chosen((letter.key for letter in outbox.dead()), jobs, everything=everything)
        return sum([await outbox.revive(key) for key in keys])

    count = _with_outbox(flags, config_file, profile, revive)
    typer.echo(f"{count} results will be sent by the next run.")


def drop_results(
    flags: Mapping[str, object],
    config_file: Path | None,
    profile: str | None,
    jobs: Sequence[str],
    *,
    everything_dead: bool,
) -> None:
    """Remove results: those of the ``jobs`` named, unsent or dead, or all dead letters.

    Raises:
        StorageInUse: a run uses the outbox.
        StorageUnavailable: the disk does not take it; those removed before stay so.
        InvalidInput: none is named, or one that is not there; there is no outbox, or the settings cannot be used.
    """

    async def remove(outbox: SqliteOutbox) -> int:
        dead = [letter.key for letter in outbox.dead()]
        pool = dead if everything_dead else [*(item.key for item in outbox.pending()), *dead]
        return sum([await outbox.drop(key) for key in _chosen(pool, jobs, everything=everything_dead)])

    count = _with_outbox(flags, config_file, profile, remove)
    typer.echo(f"{count} results are removed.")


def _with_outbox(
    flags: Mapping[str, object],
    config_file: Path | None,
    profile: str | None,
    work: Callable[[SqliteOutbox], Awaitable[T]],
) -> T:
    cwd = Path.cwd()
    settings = load(config_file=config_file, profile=profile, flags=flags, environ=os.environ, cwd=cwd).settings
    path = (cwd / settings.state_dir).resolve() / OUTBOX_FILE
    if not path.exists():
        raise InvalidInput([InputFault(str(path), "there is no outbox", "name the folder with --state-dir")])

    async def run() -> T:
        outbox = await SqliteOutbox.open(path, to_policies(settings).outbox, SystemClock(), EventBus())
        try:
            return await work(outbox)
        finally:
            await outbox.aclose()

    return asyncio.run(run())


def _chosen(keys: Iterable[JobKey], jobs: Sequence[str], *, everything: bool) -> list[JobKey]:
    if bool(jobs) is everything:
        raise InvalidInput([InputFault("JOB", "name jobs, or give --dead for all dead letters", "one of the two")])
    wanted = set(jobs)
    chosen = [key for key in keys if everything or key.job in wanted]
    if missing := wanted - {key.job for key in chosen}:
        names = ", ".join(sorted(missing))
        raise InvalidInput([InputFault("JOB", f"not in the outbox: {names}", "see 'outbox list'")])
    return chosen


def _entry(key: JobKey, state: str, reason: str, at: float) -> dict[str, Any]:
    when = datetime.fromtimestamp(at, UTC).isoformat(timespec="seconds")
    return {"job": key.job, "node": key.node, "gateway": key.source, "state": state, "reason": reason, "at": when}


def _table(entries: Iterable[Mapping[str, Any]]) -> Table:
    table = Table(box=None, pad_edge=False)
    for head in ("state", "job", "node", "gateway", "since (UTC)", "reason"):
        # An id that is cut short cannot be given to 'retry' or 'drop'.
        table.add_column(head, overflow="fold")
    for entry in entries:
        table.add_row(*(str(entry[name]) for name in ("state", "job", "node", "gateway", "at", "reason")))
    return table
