"""``submit``: one prompt to a gateway, as a developer would."""

from __future__ import annotations

from typing import Annotated

import typer

from node.cli.failing import failures_told
from node.cli.options import ConfigOption, ProfileOption, SetOption, StateDirOption, duration, flags


def submit(
    prompt: Annotated[str, typer.Argument(help="What to ask; '-' reads it from standard input.")],
    model: Annotated[str, typer.Option(help="The model to ask.")] = "llama3.1:latest",
    gateway: Annotated[
        str | None, typer.Option(metavar="URL", help="The gateway. Default: the one that 'gateway' runs here.")
    ] = None,
    api_key: Annotated[
        str, typer.Option(help="The developer's key.", envvar="LLM_NODE_API_KEY", show_envvar=True)
    ] = "sandbox",
    max_output: Annotated[int, typer.Option(help="Longest answer, in tokens; 0: no limit asked for.")] = 0,
    temperature: Annotated[float | None, typer.Option(help="Default: the engine's own.")] = None,
    timeout: Annotated[
        float, typer.Option(metavar="TIME", parser=duration, help="How long to wait for the answer.")
    ] = 240.0,
    as_json: Annotated[bool, typer.Option("--json", help="Print the whole result as JSON.")] = False,
    state_dir: StateDirOption = None,
    config: ConfigOption = None,
    profile: ProfileOption = None,
    assignments: SetOption = None,
) -> None:
    """Send one prompt to a gateway, wait for a node's answer and print it."""
    from node.cli.submission import Question, run_submission

    given: dict[str, object] = {"gateway.url": gateway, "state_dir": state_dir}
    question = Question(prompt, model, max_output, temperature, timeout, api_key)
    with failures_told():
        raise typer.Exit(run_submission(question, flags(given, assignments), config, profile, as_json=as_json))
