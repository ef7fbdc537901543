"""Debian's Chromium, steered by Playwright; without them the tests are skipped, by name."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import urlsplit

import pytest
import pytest_asyncio

if TYPE_CHECKING:
    from contextlib import AbstractAsyncContextManager

    from playwright.async_api import Browser, Page

ARGUMENTS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


class Visits(Protocol):
    """Opens a page in a context of its own. What it says on its console, and asks of others, fails the test at its end."""

    def __call__(
        self, url: str, *, may_complain: bool = False, **context: Any
    ) -> AbstractAsyncContextManager[Page]: ...


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """One event loop and one process for all tests of this folder, and so one browser, which is slow on a busy machine."""
    for item in items:
        if not item.path.is_relative_to(Path(__file__).parent):
            continue
        item.add_marker(pytest.mark.xdist_group("browser"))
        item.add_marker(pytest.mark.timeout(120))
        if pytest_asyncio.is_async_test(item):
            item.add_marker(pytest.mark.asyncio(loop_scope="session"), append=False)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def browser() -> AsyncIterator[Browser]:
    try:
        from playwright.async_api import async_playwright
    except ImportError:
        pytest.skip("playwright is not installed")
    program = shutil.which("chromium")
    if program is None:
        pytest.skip("chromium is not installed")
    async with async_playwright() as playwright:
        chromium = await playwright.chromium.launch(executable_path=program, args=list(ARGUMENTS))
        yield chromium
        await chromium.close()


@pytest.fixture
def visit(browser: Browser) -> Visits:
    @asynccontextmanager
    async def visited(url: str, *, may_complain: bool = False, **context: Any) -> AsyncIterator[Page]:
        settings = {"viewport": {"width": 1280, "height": 900}, "reduced_motion": "reduce", **context}
        around = await browser.new_context(**settings)
        page = await around.new_page()
        page.set_default_timeout(8000)
        said: list[str] = []
        asked: list[str] = []
        page.on("console", lambda message: said.append(f"{message.type}: {message.text}"))
        page.on("pageerror", lambda error: said.append(f"error: {error}"))
        page.on("request", lambda request: asked.append(request.url))
        await page.goto(url)
        yield page
        await around.close()
        if not may_complain:
            assert said == []
        own = urlsplit(url)[:2]
        foreign = [one for one in asked if urlsplit(one)[:2] != own and not one.startswith("data:")]
        assert foreign == []

    return visited
