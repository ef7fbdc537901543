"""How much memory evil replies cost: ``python -m tests.evil.memory URL LIMIT`` meets them in a process of its own.

The server answers below ``URL/<number>/<step>`` with the case of that number at that step. A line of JSON tells of
each: the case and the step, how that ended, and by how many bytes the process has ever been larger than before.
"""

from __future__ import annotations

import asyncio
import json
import sys
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from node.gateway.tls import client_context
from tests.contract.transport.conftest import TRANSPORTS
from tests.evil.cases import CASES, Case, said
from tests.evil.parts import KIB, MIB, many_values, reply
from tests.evil.server import Asked, EvilServer, Script, serving
from tests.evil.steps import STEPS, Client, good_answer, is_evil_for, taken

MODULE = "tests.evil.memory"

ALL_STEPS = tuple(step.name for step in STEPS)

SLACK_BYTES = 10 * MIB
"""What a reply may cost beyond the limit of its bytes."""

EVIL_SIZES = (
    "an endless head", "an endless header", "50,000 headers", "a length of 1 TB", "an endless chunk extension",
    "endless trailers", "an endless body", "endless chunks", "100 MB of JSON", "100 MB of JSON in chunks", "a gzip bomb",
    "a gzip bomb in chunks", "a deflate bomb", "a zstd bomb", "a brotli bomb", "a nested bomb", "half of a nested bomb",
    "gzip for ever", "an open list of lists", "100,000 lists in lists", "5 MiB of structure", "1 MB of structure",
)  # fmt: skip


WARM_UP = Case("HTML", said(reply(b"<html>")), (200,))
"""Met first, so that what is loaded and made on first use is not counted."""


def full(limit: int) -> tuple[Case, ...]:
    """Replies of all the bytes that are allowed, and as costly as can be."""

    def whole(
        unit: bytes, status: str = "200 OK", begin: bytes = b'{"detail":', end: bytes = b"}"
    ) -> Callable[..., Script]:
        return lambda _good: (reply(begin + many_values(limit - 100, unit) + end, status=status),)

    job = b'{"job_data":{"job_id":"j","model":"m","messages":'
    return (
        Case("lists to the brim", whole(b"[[]]"), (200,)),
        Case("objects to the brim", whole(b'{"":0}'), (200,)),
        Case("texts to the brim", whole(b'""'), (200,)),
        Case("an error to the brim", whole(b"[[]]", "500 Oops"), (500,)),
        Case("a refusal to the brim", whole(b'{"":0}', "402 Pay"), (402,)),
        Case("a job of lists to the brim", whole(b"[[]]", begin=job, end=b"}}"), (200,)),
        Case("a job of objects to the brim", whole(b'{"":0}', begin=job, end=b"}}"), (200,)),
        Case("a text in an error", lambda _: (reply(b'{"detail":"' + b"x" * (limit - 99) + b'"}', status="500 X"),), (500,)),
        Case("a text in a refusal", lambda _: (reply(b'{"detail":"' + b"x" * (limit - 99) + b'"}', status="402 X"),), (402,)),
    )  # fmt: skip


def cases(limit: int) -> tuple[Case, ...]:
    """All that may cost memory; the bombs as they are, the rest at this limit."""
    return (WARM_UP, *(case for case in CASES if case.name in EVIL_SIZES), *full(limit))


@asynccontextmanager
async def serving_cases(limit: int) -> AsyncIterator[EvilServer]:
    """A server of them all."""
    table = cases(limit)
    by_name = {step.name: step for step in STEPS}

    def answer(asked: Asked) -> Script:
        number, name, path = asked.path[1:].split("/", 2)
        by_proxy = asked.target.startswith("http")
        asked = replace(asked, target=f"http://host/{path}" if by_proxy else f"/{path}")
        step = by_name[name]
        return table[int(number)].reply(step.body) if is_evil_for(step, asked) else good_answer(asked)

    async with serving(EvilServer(answer)) as server:
        yield server


@dataclass(frozen=True)
class Cost:
    """What one case at one step has cost."""

    case: str
    step: str
    end: str
    grown_bytes: int


async def measure(url: str, limit: int, names: Sequence[str], tell: Callable[[Cost], object]) -> None:
    """Meet every case at the steps of these names."""
    transports = TRANSPORTS["httpx"](client_context(), limit)
    before = 0
    for number, case in enumerate(cases(limit)):
        for step in (step for step in STEPS if step.name in names):
            client = Client.at(f"{url}/{number}/{step.name}", transports, 30.0)
            if step.in_session:
                await client.join()
            end = await taken(step, client)
            await client.aclose()
            if case is WARM_UP:
                before = _peak_bytes()
                continue
            tell(Cost(case.name, step.name, end, _peak_bytes() - before))


def _peak_bytes() -> int:
    """The most that this process has had in memory; `resource` would count in what its parent had."""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) * KIB


async def costs(limit: int, steps: Sequence[str] = ALL_STEPS) -> list[Cost]:
    """What every case costs a process of its own at these steps."""
    async with serving_cases(limit) as server:
        child = await asyncio.create_subprocess_exec(
            sys.executable, "-m", MODULE, server.url, str(limit), *steps, stdout=PIPE
        )
        told, _ = await child.communicate()
    if child.returncode:
        raise RuntimeError(f"the process that met the cases ended with {child.returncode}")
    return [Cost(**json.loads(line)) for line in told.splitlines()]


if __name__ == "__main__":
    asyncio.run(
        measure(sys.argv[1], int(sys.argv[2]), sys.argv[3:], lambda cost: print(json.dumps(asdict(cost)), flush=True))
    )
