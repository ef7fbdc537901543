"""The report in a real browser, from a file, as whoever was sent it opens it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from node.loadtest.driver.outcome import LoadOutcome
from node.loadtest.report.markup import plain
from node.loadtest.report.page import page
from tests.browser.conftest import Visits
from tests.unit.loadtest.report.outcomes import HOSTILE, broken, compared, empty, hostile, passed, untold

if TYPE_CHECKING:
    from playwright.async_api import Page


MAKERS = (passed, broken, untold, empty, hostile, compared)


@pytest.fixture(scope="module", autouse=True)
def outcomes() -> None:
    """Made once and before any test: they come from runs in virtual time, which no other event loop may surround."""
    for make in MAKERS:
        make()


def written(outcome: LoadOutcome, folder: Path) -> str:
    path = folder / "report.html"
    path.write_text(page(outcome), encoding="utf-8")
    return path.as_uri()


async def overflow(page: Page) -> int:
    return int(await page.evaluate("document.documentElement.scrollWidth - innerWidth"))


async def background(page: Page) -> str:
    return str(await page.evaluate("getComputedStyle(document.body).backgroundColor"))


# The fixture fails the test for whatever the console says, violations of the policy among it, and for any request.
@pytest.mark.parametrize("width", [380, 760, 1280])
@pytest.mark.parametrize("make", MAKERS, ids=lambda make: make.__name__)
async def test_it_fits_and_complains_of_nothing(
    visit: Visits, make: Callable[[], LoadOutcome], width: int, tmp_path: Path
) -> None:
    async with visit(written(make(), tmp_path), viewport={"width": width, "height": 800}) as shown:
        assert await overflow(shown) <= 0
        # A stylesheet that the policy did not let in would leave the body's margin.
        assert await shown.evaluate("getComputedStyle(document.body).marginTop") == "0px"
        assert await shown.get_by_role("status").is_visible()


async def test_hostile_names_run_nothing(visit: Visits, tmp_path: Path) -> None:
    async with visit(written(hostile(), tmp_path)) as shown:
        dialogs: list[str] = []
        shown.on("dialog", lambda dialog: dialogs.append(dialog.message))
        assert await shown.evaluate("document.scripts.length + document.images.length") == 0
        heading = await shown.get_by_role("heading", level=1).text_content()
        assert heading == plain(HOSTILE)
        assert dialogs == []


async def test_markup_that_slipped_in_could_do_nothing(visit: Visits, tmp_path: Path) -> None:
    url = written(passed(), tmp_path)
    path = tmp_path / "report.html"
    evil = "<script>document.title = 'owned'</script><p style='position: fixed'>x</p>"
    path.write_text(path.read_text().replace("<main>", f"<main>{evil}"))
    async with visit(url, may_complain=True) as shown:
        assert await shown.title() == "Passed: test"
        assert await shown.evaluate("getComputedStyle(document.querySelector('main > p')).position") == "static"


async def test_it_is_dark_where_the_reader_is(visit: Visits, tmp_path: Path) -> None:
    url = written(broken(), tmp_path)
    seen = []
    for scheme in ("light", "dark"):
        async with visit(url, color_scheme=scheme) as shown:
            seen.append(await background(shown))
    assert seen == ["rgb(246, 247, 249)", "rgb(15, 20, 26)"]


async def test_charts_are_as_wide_as_their_place_and_their_words_keep_their_size(visit: Visits, tmp_path: Path) -> None:
    url = written(broken(), tmp_path)
    for width in (380, 1280):
        async with visit(url, viewport={"width": width, "height": 800}) as shown:
            plot = shown.locator("svg.plot").first
            box = await plot.bounding_box()
            around = await shown.locator("figure").first.bounding_box()
            assert box is not None
            assert around is not None
            assert box["width"] == pytest.approx(around["width"] - 50, abs=2)
            assert await plot.evaluate("plot => plot.querySelectorAll('.drawing polyline').length") >= 3
            size = await shown.locator("text.tick").first.evaluate("text => getComputedStyle(text).fontSize")
            assert size == "11px"
            places = await plot.evaluate(
                "plot => [...plot.querySelectorAll('.drawing > *')].map(line => line.getBoundingClientRect().right)"
            )
            assert max(places) <= box["x"] + box["width"] + 2


async def test_a_chart_tells_its_figures(visit: Visits, tmp_path: Path) -> None:
    async with visit(written(broken(), tmp_path)) as shown:
        titles = await shown.locator("svg.plot").first.locator("rect.hit > title").all_text_contents()
        assert "offered: 10\n" in titles[4]
        moments = await shown.locator("svg.plot").first.locator("g.moment > title").all_text_contents()
        assert "kill 30%, back after 2s" in moments[0]


async def test_it_can_be_printed(visit: Visits, tmp_path: Path) -> None:
    async with visit(written(broken(), tmp_path), color_scheme="dark") as shown:
        await shown.emulate_media(media="print")
        assert await background(shown) == "rgb(255, 255, 255)"
        assert (await shown.pdf(format="A4")).startswith(b"%PDF")
