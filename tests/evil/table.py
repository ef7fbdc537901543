"""Every case at every step: what came of it, beside what should have."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from node.ports.transport import TransportFactory
from tests.evil.cases import CASES, Case, Means, redirects
from tests.evil.server import Asked, EvilServer, Script, serving
from tests.evil.steps import GOOD, NONE, RETRY, STEPS, Client, EvilStep, good_answer, is_evil_for, taken

STALL_S, PLENTY_S, SLACK_S = 0.25, 20.0, 5.0
AT_A_TIME = 8


@dataclass(frozen=True)
class Violation:
    """A step that did not end as it should."""

    step: EvilStep
    case: Case
    problem: str

    def __str__(self) -> str:
        return f"{self.step} met {self.case.name!r}: {self.problem}"


def rounds_of(step: EvilStep, elsewhere: str, share: int = 1) -> list[tuple[EvilStep, Case]]:
    """This step with every case, or with one of ``share``, each step with others."""
    cases = (*CASES, *redirects(elsewhere))
    first = STEPS.index(step) if step in STEPS else 0
    return [(step, case) for case in cases[first % share :: share]]


def allowed(step: EvilStep, case: Case) -> set[str]:
    """How a step may end that meets this case."""
    ends: set[str] = set()
    if any(isinstance(end, type) for end in case.wire):
        ends.add(RETRY)
    if any(isinstance(end, int) for end in case.wire):
        ends.add(_meaning(step, case.means))
    return {step.failure if step.failure and end not in {GOOD, NONE} else end for end in ends}


def _meaning(step: EvilStep, means: Means) -> str:
    match means:
        case Means.UNFIT:
            return RETRY if step.needs else GOOD
        case Means.NOTHING if step.name == "poll":
            return NONE
        case Means.NOTHING:
            return RETRY if step.needs else GOOD
        case _:
            return means.name.lower()


async def play(rounds: Iterable[tuple[EvilStep, Case]], transports: TransportFactory) -> list[Violation]:
    """Have all these steps meet their cases, some of them at a time."""
    rounds = iter(tuple(rounds))
    found: list[Violation] = []
    async with asyncio.TaskGroup() as group:
        for _ in range(AT_A_TIME):
            group.create_task(_play_in_turn(rounds, transports, found))
    return found


async def _play_in_turn(
    rounds: Iterator[tuple[EvilStep, Case]], transports: TransportFactory, found: list[Violation]
) -> None:
    for step, case in rounds:
        try:
            problem = await _problem(step, case, transports)
        except Exception as error:
            problem = f"{type(error).__name__}: {error}"
        if problem:
            found.append(Violation(step, case, problem))


async def _problem(step: EvilStep, case: Case, transports: TransportFactory) -> str:
    is_evil = True

    def answer(asked: Asked) -> Script:
        return case.reply(step.body) if is_evil and is_evil_for(step, asked) else good_answer(asked)

    timeout_s = STALL_S if case.stalls else PLENTY_S
    async with serving(EvilServer(answer)) as server:
        client = Client.at(server.url, transports, timeout_s)
        try:
            is_evil = False
            if step.in_session:
                await client.join()
            is_evil = True
            started = time.monotonic()
            end = await taken(step, client)
            took_s = time.monotonic() - started
            # The echo service is asked directly too.
            if took_s > timeout_s * 2 + SLACK_S:
                return f"it took {took_s:.1f} s of {timeout_s:g}"
            if end not in allowed(step, case):
                return f"it ended as {end}, not as {' or '.join(sorted(allowed(step, case)))}"
            is_evil = False
            return "" if step.name == "leave" else await _after(step, client)
        finally:
            await client.aclose()


async def _after(step: EvilStep, client: Client) -> str:
    """The step must go well when the gateway is good again, after a failed exchange or two at most."""
    for _ in range(3):
        if await taken(step, client) == GOOD:
            return ""
    return "the step does not go well afterwards"
