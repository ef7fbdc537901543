"""A prompt on its way to a gateway and its answer on the way back."""

from __future__ import annotations

import asyncio
import os
import random
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import typer

from node.app.control_file import read_control_file
from node.app.developer import Developer
from node.app.event_loop import new_event_loop
from node.cli.exit_codes import ExitCode
from node.cli.output import mask_errors
from node.domain.errors import InputFault, InvalidInput
from node.domain.secret import Secret
from node.gateway.httpx_transport import HttpxTransportFactory
from node.gateway.tls import client_context
from node.observability.redaction import Redactor
from node.protocol.messages import JobOutcome
from node.settings.load import load
from node.settings.model import Settings


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked, and how long its answer is awaited.

    A ``prompt`` of ``-`` is read from standard input. ``max_output`` is in tokens, 0 asks for no limit;
    ``temperature`` None is the engine's own.
    """

    prompt: str = field(repr=False)
    model: str
    max_output: int
    temperature: float | None
    timeout_s: float
    api_key: str = field(repr=False)


def run_submission(
    question: Question, flags: Mapping[str, object], config_file: Path | None, profile: str | None, *, as_json: bool
) -> ExitCode:
    """Submit, wait and print; `ExitCode.OK` when the job succeeded, otherwise `ExitCode.JOB_FAILED`.

    Raises:
        InvalidInput: settings or question cannot be used, or no gateway is named and none runs here.
        TransportError: the gateway does not answer, or (`TimedOut`) there is no result in time.
        StepRefused: the gateway does not take the job.
    """
    cwd = Path.cwd()
    settings = load(config_file=config_file, profile=profile, flags=flags, environ=os.environ, cwd=cwd).settings
    url = settings.gateway.url or _running_here(cwd / settings.state_dir)
    question = _whole(question)
    redactor = Redactor()
    redactor.register(Secret(question.api_key))
    mask_errors(redactor.redact)
    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        outcome = runner.run(_ask(question, url, settings))
    if as_json:
        typer.echo(outcome.model_dump_json(indent=2))
    elif outcome.status == "success":
        typer.echo(outcome.result.message.content)
    else:
        typer.echo(f"The job failed: {outcome.result.error or 'no reason was given'}", err=True)
    return ExitCode.OK if outcome.status == "success" else ExitCode.JOB_FAILED


def _running_here(state_dir: Path) -> str:
    handshake = read_control_file(state_dir)
    if handshake is None:
        remedy = "start one with 'python main.py gateway', or name one with --gateway URL"
        raise InvalidInput([InputFault("--gateway", "no gateway is named and none runs here", remedy)])
    return handshake.url


def _whole(question: Question) -> Question:
    """The question with its prompt read, which may block: nothing else runs yet."""
    if not question.model:
        raise InvalidInput([InputFault("--model", "the model's name is empty", "name one")])
    try:
        prompt = sys.stdin.read() if question.prompt == "-" else question.prompt
        prompt.encode()
    except UnicodeError as error:
        raise InvalidInput([InputFault("PROMPT", "the text is not UTF-8", "give it in UTF-8")]) from error
    return replace(question, prompt=prompt)


async def _ask(question: Question, url: str, settings: Settings) -> JobOutcome:
    transport = HttpxTransportFactory(client_context(settings.gateway.ca_file)).open(None)
    try:
        developer = Developer(transport, url, Secret(question.api_key), random.Random())
        job_id = await developer.submit(question.prompt, question.model, question.max_output, question.temperature)
        typer.echo(f"Job {job_id} is submitted to {url}; waiting for a node …", err=True)
        return await developer.result(job_id, question.timeout_s)
    finally:
        await transport.aclose()
