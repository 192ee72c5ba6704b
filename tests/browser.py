"""The browser of the tests of pages: a Chromium, and what saves its view as a screenshot when asked to.

The fixtures are known to all tests through tests/conftest.py, hence the late imports.
"""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext, Page

CHROMIUM = Path("/usr/bin/chromium")
SCREENSHOTS = Path(__file__).parents[1] / "docs/screenshots"
PATIENCE_MS = 60_000

Keep = Callable[["Page", str], None]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    if not CHROMIUM.exists():
        pytest.skip("chromium is not installed and could not be: apt-get install chromium")
    from playwright.sync_api import expect, sync_playwright

    expect.set_options(timeout=PATIENCE_MS)
    with sync_playwright() as playwright:
        sandbox = ["--no-sandbox"] if os.geteuid() == 0 else []  # Chromium refuses to sandbox for root
        browser = playwright.chromium.launch(
            executable_path=CHROMIUM, args=["--disable-gpu", "--disable-dev-shm-usage", *sandbox]
        )
        yield browser
        browser.close()


def open_context(
    browser: Browser, width: int, height: int, colours: Literal["light", "dark"] = "light"
) -> BrowserContext:
    """A window of a size in CSS pixels, of somebody who prefers light or dark pages."""
    context = browser.new_context(viewport={"width": width, "height": height}, color_scheme=colours)
    context.set_default_timeout(PATIENCE_MS)
    return context


@pytest.fixture
def keep(request: pytest.FixtureRequest) -> Keep:
    """Saves what the page shows as docs/screenshots/<name>.png, when asked to."""

    def save(page: Page, name: str) -> None:
        if not request.config.getoption("--save-screenshots"):
            return
        from PIL import Image

        SCREENSHOTS.mkdir(parents=True, exist_ok=True)
        picture = Image.open(io.BytesIO(page.screenshot(animations="disabled")))
        picture.convert("RGB").quantize(64).save(SCREENSHOTS / f"{name}.png", optimize=True)

    return save
