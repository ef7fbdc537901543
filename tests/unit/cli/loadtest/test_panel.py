"""The live screen: what it shows, and that it fits."""

from __future__ import annotations

import io

import pytest
from rich.console import Console, Group

from node.cli.loadtest.pace import Pace
from node.cli.loadtest.panel import panel
from node.cli.loadtest.sparkline import sparkline
from node.loadtest.driver.run import Phase
from tests.unit.cli.loadtest.watched import AT, Shown


def shown(run: Shown, pace: Pace, width: int = 80, height: int = 24) -> list[str]:
    console = Console(file=io.StringIO(), width=width, height=height, color_system=None)
    with console.capture() as captured:
        console.print(Group(*panel(run, pace, width, height)))
    return captured.get().splitlines()


def followed(run: Shown) -> Pace:
    pace, now = Pace(300), [100.0]

    def tick() -> None:
        now[0] += 1
        pace.take(run, now[0], AT + now[0] - 100)

    run.on_tick(tick)
    return pace


def loaded() -> tuple[Shown, Pace]:
    run = Shown()
    pace = followed(run)
    return run.loaded(), pace


def line_of(lines: list[str], begin: str) -> str:
    [found] = [line for line in lines if line.startswith(begin)]
    return found


def test_it_shows_all_that_matters() -> None:
    run, pace = loaded()
    run.mark(18.5, "kill 10%")
    run.become()
    run.figures.errors.count("poll", "HTTP 503 from the gateway")
    lines = shown(run, pace)
    text = "\n".join(lines)
    assert "trial  http://127.0.0.1:4000  Ctrl+C ends the load" in text
    assert line_of(lines, "load").endswith("20s of 1m, 40s left")
    assert line_of(lines, "nodes") == "nodes  1,180 of 1,200  700 idle  480 processing  20 crashed"
    assert line_of(lines, "jobs") == "jobs   160 of 200 done  3 queued  480 working  2 being submitted"
    assert line_of(lines, "self") == "self   event loop 2.1 ms late  CPU 42%"
    assert line_of(lines, "errors") == "errors 1  1 × poll: HTTP 503"
    assert line_of(lines, "offered/s").split()[:2] == ["offered/s", "0.0"]
    assert line_of(lines, "accepted/s").split() == ["accepted/s", "0.0", "▇" * 20 + "▁"]
    assert line_of(lines, "poll p50") == "poll p50   21.1 ms  ▂▂▂▃▃▃▄▄▄▅▅▅▆▆▆▇▇▇███".replace("p50  ", "p50    ")
    assert line_of(lines, "job p99").startswith("job p99      21.1 ms ")
    assert lines[-1].endswith("s  kill 10%")


@pytest.mark.parametrize(("width", "height"), [(60, 24), (80, 24), (120, 40), (40, 10), (20, 4), (200, 60), (10, 2)])
def test_it_fits_its_terminal(width: int, height: int) -> None:
    run, pace = loaded()
    for number in range(50):
        run.mark(number, f"a fault with quite a long description, number {number}")
    run.figures.errors.count("poll", "x" * 300)
    run.become(outbox=7)
    lines = shown(run, pace, width, height)
    assert len(lines) <= max(0, height - 2)
    assert all(len(line) <= width for line in lines)
    if height >= 24:
        assert "number 49"[:5] in "\n".join(lines) or width < 60
        assert any(line.startswith("job p99") for line in lines)


def test_before_anything_has_happened_it_says_so() -> None:
    lines = shown(Shown(), Pace())
    assert lines[1] == "waiting for its start"
    assert line_of(lines, "offered/s").split() == ["offered/s", "–"]


@pytest.mark.parametrize(
    ("phase", "words", "hint"),
    [
        (Phase.SETTLING, "settling: open jobs are awaited", "Ctrl+C ends it sooner"),
        (Phase.LEAVING, "the nodes leave", "Ctrl+C ends it sooner"),
        (Phase.OVER, "over: what the gateway has is asked for and judged", "Ctrl+C ends it sooner"),
    ],
)
def test_it_names_the_phase(phase: Phase, words: str, hint: str) -> None:
    run, pace = loaded()
    run.become(phase=phase)
    lines = shown(run, pace)
    assert lines[1] == words
    assert lines[0].endswith(hint)


def test_a_pause_is_told() -> None:
    run, pace = loaded()
    run.become(is_paused=True)
    assert shown(run, pace)[1].startswith("paused ")


def test_names_are_no_markup() -> None:
    run = Shown("[bold red]x[/]")
    run.mark(0.0, "[link=http://evil]kill[/link]")
    pace = followed(run)
    run.become(phase=Phase.LOAD, elapsed_s=1.0, states={"[blink]": 1})
    text = "\n".join(shown(run, pace))
    assert "[bold red]x[/]" in text
    assert "[link=http://evil]kill[/link]" in text
    assert "1 [blink]" in text


def test_what_is_too_much_for_the_generator_is_red() -> None:
    run, pace = loaded()
    run.become(lag_s=0.2, cpu=0.99)
    console = Console(file=io.StringIO(), width=80, force_terminal=True, color_system="standard")
    with console.capture() as captured:
        console.print(Group(*panel(run, pace, 80, 24)))
    assert "\x1b[31m200.0 ms late\x1b[0m" in captured.get()
    assert "\x1b[31m99%\x1b[0m" in captured.get()


@pytest.mark.parametrize(
    ("values", "width", "top", "drawn"),
    [
        ([0, 1, 2, 4, 7], 10, None, "▁▂▃▅█"),
        ([0, 1, 2, 4, 7], 2, None, "▅█"),
        ([1.0, None, 1.0], 5, None, "█ █"),
        ([1.0, 1.0], 5, 2.0, "▅▅"),
        ([0.0, 0.0], 5, None, "▁▁"),
        ([None], 5, None, " "),
        ([], 5, None, ""),
        ([1.0], 0, None, ""),
        ([5.0], 3, 1.0, "█"),
    ],
)
def test_sparklines(values: list[float | None], width: int, top: float | None, drawn: str) -> None:
    assert sparkline(values, width, top) == drawn
