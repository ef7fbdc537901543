"""The commands, one module each. They import what they run only when they run, so that ``--help`` is quick."""

from __future__ import annotations

import typer

from node.cli.commands.config import app as config
from node.cli.commands.doctor import doctor
from node.cli.commands.gateway import gateway
from node.cli.commands.init import init
from node.cli.commands.loadtest import app as loadtest
from node.cli.commands.node import node
from node.cli.commands.outbox import app as outbox
from node.cli.commands.roster import roster
from node.cli.commands.simulate import simulate
from node.cli.commands.steer import ordering, status
from node.cli.commands.submit import submit


def add_to(app: typer.Typer) -> None:
    """Register all commands, in the order in which ``--help`` shows them."""
    app.command("simulate")(simulate)
    app.command("node")(node)
    app.add_typer(loadtest, name="loadtest")
    app.command("doctor")(doctor)
    app.command("status")(status)
    app.command("pause", help="Have a node claim no more jobs; those under way go on.")(ordering("pause"))
    app.command("resume", help="Have a paused node claim jobs again.")(ordering("resume"))
    app.command("drain", help="Have a node finish its jobs, leave and end, as the first Ctrl+C does.")(
        ordering("drain")
    )
    app.command("gateway")(gateway)
    app.command("submit")(submit)
    app.command("init")(init)
    app.command("roster")(roster)
    app.add_typer(config, name="config")
    app.add_typer(outbox, name="outbox")
