"""The live page in a real browser: what it draws, tells and orders."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest

from node.loadtest.driver.run import Phase
from node.loadtest.driver.verdict import Verdict
from node.loadtest.figures.figures import Count, Measure
from node.loadtest.thresholds.parser import parse_threshold
from tests.browser.served import served
from tests.unit.loadtest.live.known_run import BEGUN_AT, KnownRun, plan_of, under_load

if TYPE_CHECKING:
    from playwright.async_api import Page

    from tests.browser.conftest import Visits

CHARTS = ("rates", "latency", "states", "queue", "generator")

PIXELS_OF = """function pixelsOf(canvas) {
  const copy = new OffscreenCanvas(canvas.width, canvas.height).getContext('2d', { willReadFrequently: true });
  copy.drawImage(canvas, 0, 0);
  return (left, top, width, height) => copy.getImageData(left, top, width, height).data;
}"""

COLORS = (
    """name => {"""
    + PIXELS_OF
    + """
  const canvas = page.charts.all[name].plot.ctx.canvas;
  const data = pixelsOf(canvas)(0, 0, canvas.width, canvas.height);
  const colors = new Set();
  for (let at = 0; at < data.length; at += 4) {
    if (data[at + 3] > 200) colors.add(data[at] << 16 | data[at + 1] << 8 | data[at + 2]);
  }
  return colors.size;
}"""
)
"""How many colours a chart has."""

MARKED = (
    """([name, at]) => {"""
    + PIXELS_OF
    + """
  const plot = page.charts.all[name].plot;
  const mark = [1, 3, 5].map((place) => parseInt(colorOf('mark').slice(place, place + 2), 16));
  const x = Math.round(plot.valToPos(at, 'x', true));
  const data = pixelsOf(plot.ctx.canvas)(x, plot.bbox.top, 1, plot.bbox.height);
  let found = 0;
  for (let at = 0; at < data.length; at += 4) {
    const away = mark.reduce((sum, part, place) => sum + Math.abs(data[at + place] - part), 0);
    if (away < 90 && data[at + 3] > 100) found += 1;
  }
  return found / (data.length / 4);
}"""
)
"""The share of a chart's height that has the colour of marks at a time."""


async def data_of(page: Page, chart: str) -> list[list[Any]]:
    found: list[list[Any]] = await page.evaluate(
        "name => page.charts.all[name].plot.data.map((row) => [...row])", chart
    )
    return found


async def text(page: Page, place: str) -> str:
    return await page.locator(f"#{place}").inner_text()


async def shown(page: Page, place: str, wanted: str | re.Pattern[str]) -> None:
    from playwright.async_api import expect

    await expect(page.locator(place)).to_have_text(wanted, timeout=15_000)


@asynccontextmanager
async def loaded(visit: Visits, **context: Any) -> AsyncIterator[tuple[KnownRun, Page]]:
    """The page of a run that is half a minute under load, when it shows that."""
    run = KnownRun()
    async with served(run) as url:
        under_load(run)
        async with visit(url, **context) as page:
            await shown(page, "#nodes", "20 / 20")
            yield run, page


async def test_every_chart_is_drawn_from_the_figures(visit: Visits) -> None:
    async with loaded(visit) as (run, page):
        for name in CHARTS:
            assert await page.evaluate(COLORS, name) > 5, name
        times, submitted, claimed, accepted, offered = await data_of(page, "rates")
        assert times == [BEGUN_AT + second + 0.5 for second in range(30)]
        assert (offered, submitted, claimed, accepted) == ([20] * 30, [20] * 30, [21] * 30, [19] * 30)
        _, p50, p95, p99 = await data_of(page, "latency")
        series = run.figures.series
        for row, percent in ((p50, 50), (p95, 95), (p99, 99)):
            assert row == pytest.approx(series.percentiles(Measure.JOB, percent))
        await page.select_option("#step", "poll")
        assert (await data_of(page, "latency"))[3] == pytest.approx(series.percentiles(Measure.POLL, 99))
        stack = await data_of(page, "states")
        assert [row[-1] for row in stack[1:]] == [7, 17, 18, 20, 20, 20]
        assert [row[12] for row in stack[1:]] == [7, 13, 14, 14, 20, 20]
        assert (await data_of(page, "queue"))[1][-1] == run.standing.queued
        assert (await data_of(page, "generator"))[2][-1] == pytest.approx(run.standing.cpu, abs=1e-4)


async def test_tiles_and_course_tell_the_figures(visit: Visits) -> None:
    async with loaded(visit) as (run, page):
        await shown(page, "#offered", "20 /s")
        assert await text(page, "accepted") == "19 /s"
        assert await text(page, "offered-more") == "600 in all"
        assert await text(page, "errors") == "12"
        assert await text(page, "phase") == "under load"
        assert await text(page, "times") == "0:30 of 1:00, 0:30 left"
        assert await page.get_attribute("#progress", "aria-valuenow") == "50"
        p99_s = max(run.figures.series.percentiles(Measure.POLL, 99)[-10:], key=lambda found: found or 0.0)
        assert p99_s is not None
        shown_ms = float((await text(page, "poll")).removesuffix(" ms"))
        assert shown_ms == pytest.approx(p99_s * 1000, rel=0.35)
        run.second(31, {}, nodes=17, states={"idle": 17})
        await shown(page, "#nodes", "17 / 20")
        await shown(page, "#classes tr >> nth=0", re.compile("^poll.*reset.*6$"))
        # A second more, and nothing of what came before was lost or doubled.
        assert (await data_of(page, "rates"))[0] == [BEGUN_AT + second + 0.5 for second in range(31)]


async def test_faults_are_marked_on_every_chart_and_listed(visit: Visits) -> None:
    async with loaded(visit) as (_, page):
        await shown(page, "#faults tr >> nth=0", re.compile(r"1.*0:10.*kill 30%, back after 6s"))
        await shown(page, "#faults tr >> nth=2", re.compile(r"0:40.*ahead.*gateway unreachable for 5s"))
        for name in CHARTS:
            for at_s in (10, 16):
                assert await page.evaluate(MARKED, [name, BEGUN_AT + at_s]) > 0.3, (name, at_s)
            assert await page.evaluate(MARKED, [name, BEGUN_AT + 20]) < 0.3, name


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_it_has_two_schemes_and_legible_text_in_both(visit: Visits, scheme: str) -> None:
    contrast = """() => {
      const style = getComputedStyle(document.documentElement);
      const light = (name) => {
        const hex = style.getPropertyValue(name).trim();
        const parts = [1, 3, 5].map((at) => parseInt(hex.slice(at, at + 2), 16) / 255)
          .map((part) => (part <= 0.03928 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4));
        return 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2];
      };
      const of = (one, two) => (Math.max(light(one), light(two)) + 0.05) / (Math.min(light(one), light(two)) + 0.05);
      const words = ['--text', '--dim', '--good', '--bad', '--warn', '--mark'].map((name) => of(name, '--panel'));
      return [light('--ground'), Math.min(...words), of('--on-accent', '--accent')];
    }"""
    run = KnownRun()
    async with served(run) as url, visit(url, color_scheme=scheme) as page:
        ground, words, button = await page.evaluate(contrast)
        assert (ground > 0.5) is (scheme == "light")
        assert words >= 4.5
        assert button >= 4.5


async def test_charts_follow_the_scheme(visit: Visits) -> None:
    async with loaded(visit, color_scheme="light") as (_, page):
        stroke = "() => page.charts.all.rates.plot.series[2].stroke()"
        before = await page.evaluate(stroke)
        await page.emulate_media(color_scheme="dark")
        await page.wait_for_function(f"before => ({stroke})() !== before", arg=before)


@pytest.mark.parametrize("width", [380, 768, 1700])
async def test_nothing_is_wider_than_the_window(visit: Visits, width: int) -> None:
    run = KnownRun(plan_of("w" * 190), "http://" + "g" * 300 + ".example")
    async with served(run) as url:
        under_load(run)
        run.figures.errors.count("poll", "e" * 500)
        run.mark(29, "m" * 3000)
        run.tell()
        async with visit(url, viewport={"width": width, "height": 800}) as page:
            await shown(page, "#nodes", "20 / 20")
            assert await page.evaluate("document.documentElement.scrollWidth") == width
            inner = (
                "[...document.querySelectorAll('.uplot')].every((one) => one.offsetWidth <= one.parentNode.clientWidth)"
            )
            assert await page.evaluate(inner)


async def test_orders_are_given_as_the_phase_allows(visit: Visits) -> None:
    run = KnownRun()
    async with served(run) as url, visit(url) as page:

        async def enabled(*names: str) -> None:
            from playwright.async_api import expect

            for name in ("start", "pause", "resume", "stop"):
                button = page.locator(f"[data-order={name}]")
                await (expect(button).to_be_enabled() if name in names else expect(button).to_be_disabled())

        await enabled("start", "stop")
        await page.click("[data-order=start]")
        await enabled("pause", "stop")
        await page.click("[data-order=pause]")
        await enabled("resume", "stop")
        await shown(page, "#phase", "paused")
        await page.click("[data-order=resume]")
        await enabled("pause", "stop")
        await page.click("[data-order=stop]")
        await page.keyboard.press("Escape")
        await page.click("[data-order=stop]")
        await page.click("#sure [value=no]")
        assert run.orders == ["start", "pause", "resume"]
        await page.click("[data-order=stop]")
        await page.click("#sure [value=yes]")
        await enabled("stop")
        assert run.orders == ["start", "pause", "resume", "stop"]


async def test_it_is_steered_by_keyboard(visit: Visits) -> None:
    async with loaded(visit) as (run, page):
        await page.focus("[data-order=stop]")
        await page.keyboard.press("Enter")
        # The safe choice has the focus.
        assert await page.evaluate("document.activeElement.value") == "no"
        await page.keyboard.press("Tab")
        await page.keyboard.press("Enter")
        await shown(page, "#phase", "settling")
        assert run.orders == ["stop"]
        head = page.locator("#chart-rates .u-series th >> nth=2")
        await head.focus()
        await page.keyboard.press("Space")
        assert await head.get_attribute("aria-pressed") == "false"
        assert not await page.evaluate("page.charts.all.rates.plot.series[2].show")


async def test_an_old_page_is_told_that_it_may_not_steer(visit: Visits) -> None:
    run = KnownRun()
    async with served(run) as url, visit(url, may_complain=True) as page:
        await page.evaluate("page.token = 'of another run'")
        await page.click("[data-order=start]")
        await shown(page, "#notice", re.compile("load it again"))
        assert run.orders == []


async def test_the_verdict_ends_it(visit: Visits) -> None:
    run = KnownRun()
    found = [
        parse_threshold("p99.poll < 50ms").evaluate({"p99.poll": 0.08}),
        parse_threshold("jobs.lost == 0").evaluate({}),
    ]
    async with served(run) as url:
        under_load(run)
        async with visit(url) as page:
            await shown(page, "#nodes", "20 / 20")
            run.become(phase=Phase.OVER)
            await shown(page, "#phase", "over, being judged")
            run.verdict, run.outcomes = Verdict.FAILED, found
            run.tell()
            await shown(page, "#verdict-word", "Failed")
            await shown(page, "#link", "complete")
            assert await page.get_attribute("#thresholds li >> nth=0", "data-state") == "failed"
            assert "80ms > 50ms" in await text(page, "thresholds")
            assert await page.get_attribute("#thresholds li >> nth=1", "data-state") == "unknown"
            assert await text(page, "offered-more") == "600 in all, mean"
        # Whoever comes later sees it, too.
        async with visit(url) as page:
            await shown(page, "#verdict-word", "Failed")
            assert (await data_of(page, "rates"))[1] == [20] * 30


async def test_a_lost_connection_is_told_and_does_no_harm(visit: Visits) -> None:
    run = KnownRun()
    async with AsyncExitStack() as servers:
        url = await servers.enter_async_context(served(run))
        port = int(url.rstrip("/").rpartition(":")[2])
        under_load(run)
        async with visit(url, may_complain=True) as page:
            await shown(page, "#nodes", "20 / 20")
            await servers.aclose()
            await shown(page, "#link", "no connection, trying again")
            assert await page.locator("[data-order=stop]").is_disabled()
            await servers.enter_async_context(served(run, port=port))
            await shown(page, "#link", "live")
            run.second(31, {}, nodes=11)
            await shown(page, "#nodes", "11 / 20")
            assert (await data_of(page, "rates"))[0] == [BEGUN_AT + second + 0.5 for second in range(31)]
            await page.click("[data-order=pause]")
            await shown(page, "#phase", "paused")
            # Another run on the same port has a page of its own.
            await page.evaluate("window.isOld = true")
            await servers.aclose()
            await servers.enter_async_context(served(KnownRun(plan_of("another")), port=port, run_id="two"))
            await shown(page, "#name", "another")
            await page.wait_for_function("() => window.isOld === undefined")


HOSTILE = '<script>document.title="owned"</script><img src=x onerror="document.title=\'owned\'">'


async def test_hostile_names_are_text(visit: Visits) -> None:
    run = KnownRun(plan_of(f"{HOSTILE} $token ${{token}} \u202egnihtemos"), f"http://x/{HOSTILE}")
    async with served(run) as url:
        under_load(run)
        run.figures.errors.count("poll", f"</td></table>{HOSTILE}")
        run.figures.errors.count("שגיאה", "ההתחברות נכשלה")
        run.mark(28, f"</script>{HOSTILE}")
        run.second(31, {}, states={HOSTILE: 3, "__proto__": 1})
        async with visit(url) as page:
            await shown(page, "#nodes", "20 / 20")
            assert await text(page, "name") == run.plan.name
            assert HOSTILE in await text(page, "faults")
            assert "ההתחברות נכשלה" in await text(page, "classes")
            assert HOSTILE in await page.inner_text("#chart-states .u-legend")
            assert await page.locator("img").count() == 0
            assert await page.title() != "owned"
            assert await page.evaluate("document.querySelectorAll('script').length") == 8


async def test_a_stretch_can_be_looked_at_closely(visit: Visits) -> None:
    async with loaded(visit) as (run, page):
        box = await page.locator("#chart-rates .u-over").bounding_box()
        assert box is not None
        await page.mouse.move(box["x"] + box["width"] * 0.25, box["y"] + 50)
        await page.mouse.down()
        await page.mouse.move(box["x"] + box["width"] * 0.5, box["y"] + 60, steps=4)
        await page.mouse.up()
        seen = "() => Object.values(page.charts.all).map(({ plot }) => plot.scales.x.max - plot.scales.x.min)"
        assert all(5 < seconds < 10 for seconds in await page.evaluate(seen))
        run.second(31, {})
        await page.wait_for_timeout(200)
        assert all(5 < seconds < 10 for seconds in await page.evaluate(seen))
        await page.click("#whole")
        assert await page.evaluate(seen) == [31] * 5


async def test_a_scale_can_be_logarithmic(visit: Visits) -> None:
    async with loaded(visit) as (_, page):
        await page.check("#log")
        assert await page.evaluate("page.charts.all.latency.plot.scales.y.distr") == 3
        assert await page.evaluate(COLORS, "latency") > 5
        named = "() => page.charts.all.latency.plot.axes[1]._values.filter((text) => text)"
        assert await page.evaluate(named) == ["200 ms", "500 ms", "1 s", "2 s", "5 s", "10 s"]


async def test_counts_stay_right_when_cells_are_joined(visit: Visits) -> None:
    run = KnownRun()
    async with served(run) as url, visit(url) as page:
        for at_s in range(1, 1100):
            run.second(at_s, {})
            if at_s % 100 == 0:
                await asyncio.sleep(0.05)
        run.become(phase=Phase.OVER)
        await shown(page, "#phase", "over, being judged")
        times, *_, offered = await data_of(page, "rates")
        step = run.figures.series.resolution_s
        assert step == 2
        assert times == [at + step / 2 for at in run.figures.series.span]
        assert sum(offered) * step == run.figures.counts[Count.OFFERED]


async def test_a_script_that_slipped_in_does_not_run(visit: Visits) -> None:
    run = KnownRun()
    async with served(run) as url, visit(url, may_complain=True) as page:
        await shown(page, "#phase", "waiting for the start")
        await page.evaluate(
            """() => {
              const script = document.createElement('script');
              script.textContent = 'window.isOwned = true';
              document.body.append(script);
              document.body.insertAdjacentHTML('beforeend', '<i onclick="window.isOwned = true" id="trap">trap</i>');
              document.getElementById('trap').click();
            }"""
        )
        assert await page.evaluate("window.isOwned === undefined")


async def test_it_keeps_still_where_motion_is_unwelcome(visit: Visits) -> None:
    run = KnownRun()
    duration = "getComputedStyle(document.getElementById('bar')).transitionDuration"
    async with served(run) as url:
        async with visit(url, reduced_motion="reduce") as page:
            assert await page.evaluate(duration) == "0s"
        async with visit(url, reduced_motion="no-preference") as page:
            assert await page.evaluate(duration) == "0.9s"


async def test_whatever_can_be_used_has_a_name(visit: Visits) -> None:
    async with loaded(visit) as (_, page):
        for role in ("button", "combobox", "checkbox", "progressbar", "img", "region"):
            found = page.get_by_role(role)
            assert await found.count() > 0, role
            assert await found.count() == await page.get_by_role(role, name=re.compile(r"\w")).count(), role
        label = await page.get_attribute("#chart-rates canvas", "aria-label")
        assert label == "Jobs per second, last: submitted 20, claimed 21, accepted 19, offered 20"
