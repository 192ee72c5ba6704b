"""The pages about runs in Airflow's own web server, seen by a person with a browser: login, keyboard, two widths."""

from __future__ import annotations

import json
import os
import re
import urllib.error
import urllib.request
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from ops_platform.run_folders import run_dir
from playwright.sync_api import Browser, Page, expect

from gematria_ops.inference.evaluation_report import write_report_json
from gematria_ops.tasks import report
from ops_common.artifacts import write_json
from ops_common.metrics import append_metrics
from tests.airflow_web import PASSWORD, USER, AirflowWeb, airflow_web, dag_run
from tests.browser import Keep, open_context
from tests.gematria.inference.examples import make_report
from tests.run_samples import FIRST_NIGHT, GEMATRIA, STANDALONE, decision_of, make_nights, make_run, run_id_of

pytestmark = [pytest.mark.airflow, pytest.mark.slow]

HOSTILE = "<script>document.title='broken'</script>"
WIDTHS = (1280, 390)
PAGES = ("/ops/runs", "/ops/trend", "/ops/lineage", "/ops/runs?family=gematria", "/ops/trend?family=pythonexpr")


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Forty nights of one family, ten of the other, a run of an odd name, and a damaged one."""
    root = tmp_path_factory.mktemp("runs")
    make_nights(root, GEMATRIA, range(40))
    make_nights(root, STANDALONE, range(10))
    whole = run_dir(root, GEMATRIA, run_id_of(33))
    for step in range(200, 1201, 200):
        append_metrics(whole / "metrics.jsonl", 1200 + step, {"validation_mape_percent_hsw": 30 - step / 60})
    write_report_json(whole / "reports/evaluation.json", make_report())
    report(run_dir=str(whole))
    odd = make_run(root / GEMATRIA / "odd", GEMATRIA, 41, "refused")
    write_json(odd / "record.json", {**json.loads((odd / "record.json").read_bytes()), "run_id": HOSTILE})
    odd.rename(odd.with_name(HOSTILE.replace("/", "\N{FRACTION SLASH}")))
    (root / GEMATRIA / "odd..").mkdir()
    damaged = make_run(root / GEMATRIA / "damaged", GEMATRIA, 42, "released")
    (damaged / "record.json").write_text('{"tasks": [')
    (damaged / "release.json").write_text(json.dumps({"decision": "<i>maybe</i>"}))
    (damaged / "metrics.jsonl").write_text("nonsense\n")
    return root


@pytest.fixture(scope="module")
def web(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[AirflowWeb]:
    runs = [
        dag_run(
            dag_id,
            run_id_of(night),
            "success" if decision_of(night) == "released" else "failed",
            (FIRST_NIGHT + timedelta(days=night)).isoformat(),
            (FIRST_NIGHT + timedelta(days=night, minutes=41)).isoformat(),
        )
        for dag_id, nights in ((GEMATRIA, 40), (STANDALONE, 10))
        for night in range(nights)
    ]
    going = dag_run(GEMATRIA, "manual__going", "running", (FIRST_NIGHT + timedelta(days=50)).isoformat(), None)
    with airflow_web(tmp_path_factory.mktemp("airflow"), root, [*runs, going]) as running:
        yield running


@pytest.fixture(params=WIDTHS)
def page(request: pytest.FixtureRequest, browser: Browser, web: AirflowWeb) -> Iterator[Page]:
    """A person who is logged in, in a window of some width; nothing may go wrong or leave the host while they look."""
    context = open_context(browser, request.param, 860, "light" if request.param == WIDTHS[0] else "dark")
    page = context.new_page()
    problems: list[str] = []
    page.on("console", lambda message: problems.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("request", lambda asked: None if asked.url.startswith(web.url) else problems.append(f"left: {asked.url}"))
    log_in(page, web)
    yield page
    context.close()
    # that a page is not there, or an address makes no sense, is one too, and some tests ask for such
    assert [problem for problem in problems if not re.search(r"status of (401|404|422)", problem)] == []


def log_in(page: Page, web: AirflowWeb) -> None:
    page.goto(f"{web.url}/ops/runs")
    page.fill("input[name=username]", USER)
    page.fill("input[name=password]", PASSWORD)
    page.click("button[type=submit]")
    page.wait_for_url("**/ops/runs")


def name_of(page: Page, name: str) -> str:
    assert page.viewport_size is not None
    return name if page.viewport_size["width"] == WIDTHS[0] else f"{name}_phone"


def test_nothing_is_shown_to_who_is_not_logged_in(web: AirflowWeb, browser: Browser) -> None:
    for path in (
        *PAGES,
        "/ops/compare",
        f"/ops/runs/{GEMATRIA}/x",
        f"/ops/runs/{GEMATRIA}/x/files/record.json",
        "/ops/",
    ):
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(f"{web.url}{path}", timeout=60)
        assert refused.value.code == 401
    context = open_context(browser, 1280, 860)
    page = context.new_page()
    page.goto(f"{web.url}/ops/lineage")
    assert "/auth/login" in page.url
    context.close()


def test_every_page_fits_and_names_itself(page: Page, web: AirflowWeb) -> None:
    for path in PAGES:
        answer = page.goto(f"{web.url}{path}")
        assert answer is not None and answer.status == 200
        assert "script-src 'self'" in answer.headers["content-security-policy"]
        assert page.locator("h1").count() == 1
        assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth"), path
        assert page.evaluate("document.querySelectorAll('[style], style').length") == 0
    dark = page.evaluate("matchMedia('(prefers-color-scheme: dark)').matches")
    colour = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert colour == ("rgb(20, 23, 27)" if dark else "rgb(251, 250, 247)")


def test_the_list_of_runs(page: Page, web: AirflowWeb, keep: Keep) -> None:
    expect(page.get_by_role("status")).to_contain_text("54 runs")
    page.get_by_label("Family").select_option("gematria")
    page.get_by_label("Decision").select_option("refused")
    page.get_by_role("button", name="Show", exact=True).click()
    expect(page.get_by_role("status")).to_contain_text("9 of 54 runs")
    expect(page.get_by_text("mape_percent_ivb is worse by 1.4").first).to_be_visible()
    page.goto(f"{web.url}/ops/runs?family=gematria&sort=mape_percent_hsw")
    values = page.locator("td[data-title='MAPE % hsw']").all_inner_texts()
    numbers = [float(value) for value in values if value != "–"]
    assert len(numbers) > 30 and numbers == sorted(numbers) and values[-1] == "–"
    page.goto(f"{web.url}/ops/runs?family=gematria&text=2026-03")
    keep(page, name_of(page, "runs"))
    page.goto(f"{web.url}/ops/runs?page=2")
    expect(page.get_by_text("Page 2 of 2")).to_be_visible()


def test_by_keyboard_alone(page: Page, web: AirflowWeb) -> None:
    page.goto(f"{web.url}/ops/runs?family=gematria&text=2026-03")
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("main")).to_be_focused()
    for _ in range(30):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.className") == "row":
            break
    links = page.locator("a.row")
    expect(links.nth(0)).to_be_focused()
    assert links.nth(0).evaluate("link => getComputedStyle(link).outlineStyle") == "solid"
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowDown")
    expect(links.nth(2)).to_be_focused()
    page.keyboard.press("ArrowUp")
    expect(links.nth(1)).to_be_focused()
    page.keyboard.press("End")
    expect(links.last).to_be_focused()
    page.keyboard.press("Home")
    name = links.nth(0).inner_text()
    page.keyboard.press("Enter")
    expect(page.locator("h1")).to_have_text(name)


def test_one_run_and_what_leads_on_from_it(page: Page, web: AirflowWeb, keep: Keep) -> None:
    page.goto(f"{web.url}/ops/runs/{GEMATRIA}/{run_id_of(34).replace('+', '%2B')}")  # by Airflow's id, as a tab has it
    expect(page.locator("h1")).to_have_text(run_id_of(34))
    expect(page.get_by_text("mape_percent_ivb is worse by 1.4")).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    keep(page, name_of(page, "run"))
    airflow = page.get_by_role("link", name=run_id_of(34)).get_attribute("href")
    assert airflow == f"/dags/{GEMATRIA}/runs/scheduled__2026-04-04T02%3A00%3A00%2B00%3A00"
    page.get_by_role("link", name="record.json").click()
    assert json.loads(page.locator("body").inner_text())["run_id"] == run_id_of(34)
    page.go_back()
    page.get_by_role("link", name="Evaluation report").click()
    expect(page.get_by_text("night 34")).to_be_visible()


def test_the_report_of_a_run(page: Page, web: AirflowWeb, keep: Keep) -> None:
    page.goto(f"{web.url}/ops/runs/{GEMATRIA}/{run_id_of(33).replace('+', '%2B')}")
    page.get_by_role("link", name="Report of the run").click()
    expect(page.locator(".verdict")).to_contain_text("Its model was released.")
    assert page.get_by_role("img").count() == 5  # the gate, loss, validation error, errors of two tasks
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    keep(page, name_of(page, "run_report"))
    page.get_by_role("link", name="Evaluation report").click()
    expect(page.get_by_text("night 33")).to_be_visible()


def test_the_trend(page: Page, web: AirflowWeb, keep: Keep) -> None:
    page.goto(f"{web.url}/ops/trend?family=gematria")
    drawing = page.get_by_role("group", name=re.compile("^mape_percent_hsw of 38 runs"))
    assert drawing.locator("circle").count() + drawing.locator(".refused").count() == 38
    keep(page, name_of(page, "trend"))
    page.get_by_text("As a table").first.click()
    page.get_by_role("link", name=run_id_of(39)).first.click()
    expect(page.locator("h1")).to_have_text(run_id_of(39))


def test_two_runs_are_compared(page: Page, web: AirflowWeb, keep: Keep) -> None:
    page.goto(f"{web.url}/ops/runs?family=gematria&sort=started&state=success")
    boxes = page.get_by_role("checkbox")
    boxes.nth(0).check()
    page.get_by_role("button", name="Compare two").click()
    expect(page.get_by_text("choose exactly two")).to_be_visible()
    page.go_back()
    boxes.nth(0).check()
    boxes.nth(1).check()
    page.get_by_role("button", name="Compare two").click()
    row = page.get_by_role("row", name=re.compile("^optimizer.learning_rate"))
    expect(row).to_contain_text("0.002")
    expect(page.get_by_role("row", name=re.compile("^mape_percent_hsw"))).to_contain_text("worse")
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    keep(page, name_of(page, "compare"))


def test_lineage(page: Page, web: AirflowWeb, keep: Keep) -> None:
    page.goto(f"{web.url}/ops/lineage?family=gematria")
    expect(page.get_by_role("heading", name=re.compile("^blocks-0"))).to_be_visible()
    expect(page.get_by_text("· released now")).to_have_count(1)
    keep(page, name_of(page, "lineage"))


def test_a_name_that_looks_like_markup_stays_text(page: Page, web: AirflowWeb) -> None:
    shown = HOSTILE.replace("/", "\N{FRACTION SLASH}")
    for path in ("/ops/runs", "/ops/trend?family=gematria", "/ops/lineage?family=gematria", "/ops/runs?text=<script>"):
        page.goto(f"{web.url}{path}")
        assert page.title() != "broken" and page.locator("script").count() == 1
    page.goto(f"{web.url}/ops/runs?text=document.title")
    page.get_by_role("link", name=HOSTILE, exact=True).click()
    expect(page.locator("h1")).to_have_text(HOSTILE)
    expect(page.locator(".note", has_text="Folder:")).to_contain_text(shown)
    for path in (f"/ops/runs/{GEMATRIA}/<img src=x>", "/ops/compare?run=<i>&run=<i>"):
        page.goto(f"{web.url}{path}")
        assert page.locator("img, i").count() == 0 and "<" in page.locator("body").inner_text()


def test_no_address_leads_out_of_the_folders_of_runs(page: Page, web: AirflowWeb, root: Path) -> None:
    (root / "secret.json").write_text("secret")
    names = ("..%2F..", "..%2Fsecret.json", "%00", ".run-index.sqlite", "x" * 3000)
    for name in names:
        for path in (f"{GEMATRIA}/{name}", f"{GEMATRIA}/{name}/files/record.json", f"{name}/odd"):
            answer = page.request.get(f"{web.url}/ops/runs/{path}")
            assert answer.status in (404, 422, 414) and "secret" not in answer.text(), path
    made = os.fsdecode(next((root / GEMATRIA).glob("scheduled*")).name)
    for file in ("%2e%2e%2fsecret.json", "bundle", "DONE", ".record.lock", "results%2fupload_model.json"):
        assert page.request.get(f"{web.url}/ops/runs/{GEMATRIA}/{made}/files/{file}").status == 404


def test_damaged_files_are_shown_as_such(page: Page, web: AirflowWeb) -> None:
    page.goto(f"{web.url}/ops/runs?text=damaged")
    expect(page.get_by_role("row", name=re.compile("damaged")).last).to_contain_text("damaged")
    page.goto(f"{web.url}/ops/runs/{GEMATRIA}/damaged")
    problems = page.get_by_role("note")
    expect(problems).to_contain_text("record.json is not JSON")
    expect(problems).to_contain_text("release.json: ")
    assert page.locator("i").count() == 0
    expect(page.get_by_role("link", name="Evaluation report")).to_be_visible()
    page.goto(f"{web.url}/ops/compare?run={GEMATRIA}/damaged&run={GEMATRIA}/manual__going")
    expect(page.get_by_role("note")).to_contain_text("damaged: record.json")
    for query in (
        "page=99999999999999999999",
        "page=-1",
        "sort=-",
        "family=%00",
        "state=x&decision=y&text=%F0%9F%99%82",
    ):
        assert page.request.get(f"{web.url}/ops/runs?{query}").status == 200, query
    assert page.request.get(f"{web.url}/ops/trend?span=0&family=x").status == 200
    assert page.request.get(f"{web.url}/ops/runs?page=x").status == 422


def test_the_pages_stand_in_airflows_navigation(browser: Browser, web: AirflowWeb) -> None:
    context = open_context(browser, 1280, 860)
    page = context.new_page()
    log_in(page, web)
    views = page.request.get(f"{web.url}/api/v2/plugins").json()["plugins"]
    (ours,) = (plugin["external_views"] for plugin in views if plugin["name"] == "ops_platform")
    assert {"Training runs", "Training trend", "Training lineage"} <= {view["name"] for view in ours}
    page.goto(f"{web.url}/plugin/training-runs")
    expect(page.frame_locator("iframe").get_by_role("heading", name="Runs")).to_be_visible()
    context.close()
