"""A run by a person in a browser: log in, fill in the form, trigger, watch it succeed, read the evaluation."""

import io
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ops_platform.embedded.layout import PASSWORD, USER
from playwright.sync_api import Browser, Page, expect, sync_playwright

from tests.e2e.embedded_platform import ROOT, TINY, Platform, wait_until

pytestmark = [pytest.mark.airflow, pytest.mark.slow]

CHROMIUM = Path("/usr/bin/chromium")
SCREENSHOTS = ROOT / "docs/screenshots"
DAG = "gematria_train"
PATIENCE_MS = 60_000


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    if not CHROMIUM.exists():
        pytest.skip("chromium is not installed and could not be: apt-get install chromium")
    with sync_playwright() as playwright:
        sandbox = ["--no-sandbox"] if os.geteuid() == 0 else []  # Chromium refuses to sandbox for root
        browser = playwright.chromium.launch(
            executable_path=CHROMIUM, args=["--disable-gpu", "--disable-dev-shm-usage", *sandbox]
        )
        yield browser
        browser.close()


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    context = browser.new_context(viewport={"width": 1200, "height": 800}, color_scheme="light")
    context.set_default_timeout(PATIENCE_MS)
    yield context.new_page()
    context.close()


@pytest.fixture
def keep(request: pytest.FixtureRequest) -> Any:
    """Saves what the page shows as docs/screenshots/<name>.png, when asked to."""

    def save(page: Page, name: str) -> None:
        if not request.config.getoption("--save-screenshots"):
            return
        from PIL import Image

        SCREENSHOTS.mkdir(parents=True, exist_ok=True)
        picture = Image.open(io.BytesIO(page.screenshot(animations="disabled")))
        picture.convert("RGB").quantize(64).save(SCREENSHOTS / f"{name}.png", optimize=True)

    return save


def log_in(page: Page) -> None:
    page.fill("input[name=username]", USER)
    page.fill("input[name=password]", PASSWORD)
    page.click("button[type=submit]")


def newest_run(platform: Platform) -> dict[str, Any] | None:
    answer = platform.api.get(f"/api/v2/dags/{DAG}/dagRuns?order_by=-run_after&limit=1").json()["dag_runs"]
    return answer[0] if answer else None


def test_a_run_by_the_page(platform: Platform, dataset: str, page: Page, keep: Any) -> None:
    before = newest_run(platform)
    page.goto(f"{platform.api.url}/dags/{DAG}")
    log_in(page)
    page.get_by_role("button", name="Trigger").first.click()
    form = page.get_by_role("dialog")
    fill_form(form, dataset)
    keep(page, "trigger_form")
    form.get_by_test_id("trigger-dag-submit").click()
    wait_until(lambda: newest_run(platform) != before, 60, "the page has started a run")
    run = newest_run(platform)
    assert run is not None
    assert run["conf"]["training_steps"] == 30
    assert run["conf"]["require_better_than_baselines"] is False
    run_id = run["dag_run_id"]
    assert platform.wait(DAG, run_id) == "success"

    page.goto(f"{platform.api.url}/dags/{DAG}/runs/{run_id.replace('+', '%2B').replace(':', '%3A')}")
    expect(page.get_by_test_id("state-badge").first).to_contain_text("Success", ignore_case=True)
    expect(page.get_by_text("upload_model").first).to_be_visible()
    page.wait_for_load_state("networkidle")
    keep(page, "run_succeeded")

    page.get_by_role("link", name="Evaluation").click()
    report = page.frame_locator("iframe")
    expect(report.get_by_text("ivb").first).to_be_visible()
    keep(page, "evaluation")


def fill_form(form: Any, dataset: str) -> None:
    form.locator("[name=element_dataset]").fill(dataset)
    form.locator("[name=element_config_file]").fill("config/gematria/smoke.toml")
    form.locator("[name=element_training_steps]").fill("30")
    form.locator("[name=element_overrides]").fill("\n".join(TINY))
    form.locator("[name=element_max_mape_percent]").fill("1000")
    switch = form.locator("[name=element_require_better_than_baselines]")
    switch.evaluate("element => element.click()")  # a hidden checkbox under a drawn switch
    form.locator("[name=element_training_steps]").scroll_into_view_if_needed()


def test_the_form_refuses_what_the_schema_forbids(platform: Platform, page: Page, keep: Any) -> None:
    before = newest_run(platform)
    page.goto(f"{platform.api.url}/dags/{DAG}")
    log_in(page)
    page.get_by_role("button", name="Trigger").first.click()
    form = page.get_by_role("dialog")
    form.locator("[name=element_config_file]").fill("")
    expect(form.get_by_test_id("trigger-dag-submit")).to_be_disabled()
    assert newest_run(platform) == before


def test_a_report_needs_a_login_and_leads_there_and_back(platform: Platform, page: Page) -> None:
    path = "/ops/runs/gematria_train/no-such-run/reports/evaluation.html"
    page.goto(f"{platform.api.url}{path}")
    assert "/auth/login" in page.url
    log_in(page)
    page.wait_for_url(f"**{path}")
    expect(page.get_by_text("This run has no report")).to_be_visible()
