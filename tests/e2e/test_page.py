"""A run by a person in a browser: log in, fill in the form, trigger, watch it succeed, read the evaluation."""

from collections.abc import Iterator
from typing import Any

import pytest
from ops_platform.embedded.layout import PASSWORD, USER
from playwright.sync_api import Browser, Page, expect

from tests.browser import Keep, open_context
from tests.e2e.embedded_platform import TINY, Platform, wait_until

pytestmark = [pytest.mark.airflow, pytest.mark.slow]

DAG = "gematria_train"


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    context = open_context(browser, 1200, 800)
    yield context.new_page()
    context.close()


def log_in(page: Page) -> None:
    page.fill("input[name=username]", USER)
    page.fill("input[name=password]", PASSWORD)
    page.click("button[type=submit]")


def newest_run(platform: Platform) -> dict[str, Any] | None:
    answer = platform.api.get(f"/api/v2/dags/{DAG}/dagRuns?order_by=-run_after&limit=1").json()["dag_runs"]
    return answer[0] if answer else None


def test_a_run_by_the_page(platform: Platform, dataset: str, page: Page, keep: Keep) -> None:
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


def test_the_form_refuses_what_the_schema_forbids(platform: Platform, page: Page, keep: Keep) -> None:
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
