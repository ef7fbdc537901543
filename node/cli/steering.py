"""Steering a node that runs on this machine."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import typer

from node.app.control import Order, read_handles
from node.app.find_node import find_node
from node.app.telemetry import redactor_for
from node.cli.node_display import condition
from node.cli.output import mask_output
from node.gateway.httpx_transport import HttpxTransportFactory
from node.gateway.tls import client_context
from node.settings.load import load


@dataclass(frozen=True, slots=True)
class Reach:
    """Which node is meant: the settings tell the state folder, ``node`` one of several; empty where there is but one."""

    flags: Mapping[str, object]
    config: Path | None
    profile: str | None
    node: str


def show_status(reach: Reach, *, as_json: bool) -> None:
    """Print what the node tells of itself.

    Raises:
        NodeError: there is no such node, or it does not answer.
    """
    told = _ask(reach, None)
    if as_json:
        typer.echo(json.dumps(told, indent=2))
        return
    for line in _lines(told):
        typer.echo(line)


def give_order(order: Order, reach: Reach) -> None:
    """Give an order, and print what the node does then. Raises as `show_status`."""
    told = _ask(reach, order)
    typer.echo(f"{told.get('node')}: {condition(str(told.get('presence')), told.get('holds') or ())}")


def _ask(reach: Reach, order: Order | None) -> Mapping[str, Any]:
    cwd = Path.cwd()
    settings = load(
        config_file=reach.config, profile=reach.profile, flags=reach.flags, environ=os.environ, cwd=cwd
    ).settings
    state_dir = (cwd / settings.state_dir).resolve()
    handles = read_handles(state_dir)
    # Whoever listens at a node's address in its place may repeat what it was told.
    mask_output(redactor_for(handle.token for handle in handles).redact)

    async def ask() -> Mapping[str, Any]:
        transport = HttpxTransportFactory(client_context(None)).open(None)
        try:
            found = await find_node(state_dir, handles, transport, reach.node)
            return found.status if order is None else await found.client(transport).order(order)
        finally:
            await transport.aclose()

    return asyncio.run(ask())


def _lines(told: Mapping[str, Any]) -> list[str]:
    slots, jobs, outbox = told["slots"], told["jobs"], told["outbox"]
    lines = [
        f"{told['node']} as worker {told['worker']}, version {told['version']}, up {told['uptime_s']:.0f} s",
        f"{condition(told['presence'], told['holds'])}; {slots['used']} of {slots['total']} slots in use",
        f"jobs: {jobs.get('received', 0)} received, {jobs.get('succeeded', 0)} done, {jobs.get('failed', 0)} failed",
        f"results: {jobs.get('accepted', 0)} accepted, {outbox['depth']} waiting",
        f"models: {', '.join(told['models']) or 'none'}",
    ]
    for engine in told["engines"]:
        state = "can be reached" if engine["available"] else f"is missing: {engine['reason']}"
        broken = "".join(f"; {model} is {circuit}" for model, circuit in engine["breakers"].items())
        lines.append(f"engine {engine['name']} {state}{broken}")
    checks = (f"{'ok ' if check['ok'] else 'NOT'} {check['name']}: {check['detail']}" for check in told["checks"])
    return [*lines, *checks]
