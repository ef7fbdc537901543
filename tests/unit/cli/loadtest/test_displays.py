"""Lines, the live screen and the page, as a load test uses them."""

from __future__ import annotations

import asyncio
import io
import os
import re
import signal
import socket
from collections.abc import Callable
from contextlib import AsyncExitStack
from itertools import count

import httpx
import pytest
from rich.console import Console

from node.cli.loadtest.lines import Lines
from node.cli.loadtest.page import WithPage, page_options
from node.cli.loadtest.view import View
from node.domain.errors import InvalidInput
from node.loadtest.driver.run import Phase
from tests.support.waiting import wait_until
from tests.unit.cli.loadtest.watched import Shown


def seconds() -> Callable[[], float]:
    """A clock on which a second passes at each look."""
    ticks = count(100)
    return lambda: float(next(ticks))


def console(*, is_terminal: bool = False) -> Console:
    return Console(file=io.StringIO(), width=80, height=24, force_terminal=is_terminal, color_system=None)


def text_of(made: Console) -> str:
    assert isinstance(made.file, io.StringIO)
    return made.file.getvalue()


async def test_a_line_comes_every_fifth_second_for_each_fault_and_at_the_end_of_the_load() -> None:
    made, run = console(), Shown("[b]x[/b]")
    lines = Lines(made, seconds())
    lines.say("Said: [b]this[/b]")
    await lines.begin(run)
    run.loaded(12)
    run.mark(12, "kill [10%]")
    run.become(is_paused=True)
    run.become(phase=Phase.SETTLING, is_paused=False)
    run.become()
    lines.leave()
    lines.say("At the end.")
    assert text_of(made).splitlines() == [
        "Said: [b]this[/b]",
        "5s of 1m, load: 1180 of 1200 nodes run (20 crashed), 50 jobs submitted (10/s), 40 done (8/s), 3 queued, 480 working",
        "10s of 1m, load: 1180 of 1200 nodes run (20 crashed), 100 jobs submitted (10/s), 80 done (8/s), 3 queued, 480 working",
        "12s: kill [10%]",
        "12s: the load is over; jobs that are open are awaited",
        "12s, settling: 1180 of 1200 nodes run (20 crashed), 120 jobs submitted (0/s), 96 done (0/s), 3 queued, 480 working",
        "At the end.",
    ]


async def test_nothing_is_drawn_for_whom_no_terminal_reads() -> None:
    made, run = console(), Shown()
    lines = Lines(made, seconds())
    await lines.begin(run)
    run.loaded(20)
    run.become(phase=Phase.OVER)
    assert "\x1b" not in text_of(made)


async def test_the_screen_is_drawn_below_what_is_said_and_goes() -> None:
    made, run = console(is_terminal=True), Shown()
    view = View(made, seconds())
    view.say("before")
    await view.begin(run)
    assert "waiting for its start" in text_of(made)
    run.loaded(3)
    view.say("between")
    assert "1,180 of 1,200" in text_of(made)
    view.leave()
    assert not run.watchers
    left = text_of(made)
    view.leave()
    run.become()
    assert text_of(made) == left
    view.say("after")
    assert text_of(made).endswith("after\n")
    # Hidden cursors are shown again, be it that the program is killed.
    assert left.count("\x1b[?25l") == 1
    assert left.index("\x1b[?25h") < left.index("1,180")


async def test_a_screen_of_another_size_is_drawn_anew() -> None:
    made, run = console(is_terminal=True), Shown()
    view = View(made, seconds())
    await view.begin(run)
    run.loaded(2)
    before = len(text_of(made))
    made.width = 50
    run.become()
    drawn = text_of(made)[before:]
    assert "\x1b[2J" in drawn
    last = drawn.rpartition("\x1b[2J")[2]
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", last)
    assert max(map(len, plain.splitlines())) <= 50
    view.leave()


async def test_the_page_is_there_for_the_run_and_what_comes_after() -> None:
    made, run = console(), Shown()
    async with AsyncExitStack() as stack:
        page = WithPage(Lines(made, seconds()), page_options(0, autostart=False), stack)
        await page.begin(run)
        said = text_of(made).splitlines()[0]
        assert said.startswith("Live page: http://127.0.0.1:")
        assert said.endswith("; the run begins when Start is pressed there, Ctrl+C ends it.")
        url = said.split()[2].rstrip(";")
        async with httpx.AsyncClient() as client:
            assert (await client.get(url)).status_code == 200
            page.leave()
            lingering = asyncio.create_task(page.linger(99))
            await wait_until(lambda: "stays at" in text_of(made))
            assert (await client.get(url + "state")).json()["phase"] == "waiting"
            os.kill(os.getpid(), signal.SIGINT)
            await lingering
    assert f"The live page stays at {url} until Ctrl+C." in text_of(made)
    with pytest.raises(httpx.ConnectError):
        async with httpx.AsyncClient() as client:
            await client.get(url)


async def test_ctrl_c_is_heeded_as_soon_as_it_is_told_of() -> None:
    class AtOnce(Lines):
        def say(self, text: str) -> None:
            if "until Ctrl+C" in text:
                os.kill(os.getpid(), signal.SIGINT)

    unheeded: list[int] = []
    former = signal.signal(signal.SIGINT, lambda number, _frame: unheeded.append(number))
    try:
        async with AsyncExitStack() as stack, asyncio.timeout(10):
            page = WithPage(AtOnce(console(), seconds()), page_options(0, autostart=True), stack)
            lingering = asyncio.create_task(page.linger(99))
            await wait_until(lambda: lingering.done() or unheeded)
            lingering.cancel()
    finally:
        signal.signal(signal.SIGINT, former)
    assert unheeded == []


async def test_with_autostart_nobody_is_told_to_press_anything() -> None:
    made = console()
    async with AsyncExitStack() as stack:
        page = WithPage(Lines(made, seconds()), page_options(0, autostart=True), stack)
        assert page.autostart
        await page.begin(Shown())
    assert text_of(made).rstrip().endswith("/.")


async def test_a_port_that_is_taken_is_told_before_anything_begins() -> None:
    run = Shown()
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        async with AsyncExitStack() as stack:
            page = WithPage(Lines(console(), seconds()), page_options(port, autostart=True), stack)
            with pytest.raises(InvalidInput, match=f"127.0.0.1:{port}.*taken"):
                await page.begin(run)
    assert run.orders == []


def test_the_page_is_where_people_look_for_it() -> None:
    assert page_options(None, autostart=False).port == 8089
