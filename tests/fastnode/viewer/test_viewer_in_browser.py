"""A person with a browser: overview, symbol, example, arrow keys, comparison, live box; hostile text stays text."""

import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from fastnode_ops.validation.examples import write_examples
from tests.browser import Keep, open_context
from tests.fastnode.viewer.small_collections import MODEL, example, small_examples
from tests.fastnode.viewer.test_command import PROGRAM

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[3]
HOSTILE = "</ol></textarea><script>document.title='broken'</script><img src=x onerror=\"document.title='broken'\">"


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The viewer over two collections, of which the second has a hostile example too."""
    folder = tmp_path_factory.mktemp("collections")
    hostile = example(HOSTILE, "x", {MODEL: 0, "pop": -1})
    write_examples(folder / "before", small_examples())
    write_examples(folder / "after", [*small_examples(json_loads=0, os_path_join=-1), hostile])
    command = [*PROGRAM, "before", "after", "--port", "0", "--model-dir", "x", "--corpus-dir", "y"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(command, cwd=folder, env=environment, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stderr is not None
            found = re.search(r"http://\S+(?=/ )", process.stderr.readline())
            assert found is not None
            yield found[0]
        finally:
            process.terminate()
            process.wait(60)


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    context = open_context(browser, 1280, 860)
    context.grant_permissions(["clipboard-read", "clipboard-write"])
    page = context.new_page()
    problems: list[str] = []
    page.on("console", lambda message: problems.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("requestfailed", lambda request: problems.append(f"{request.failure}: {request.url}"))
    yield page
    context.close()
    # what the content policy refused is among them; a page that is left before its icon came is no problem
    assert [problem for problem in problems if not problem.startswith("net::ERR_ABORTED")] == []


def test_from_the_overview_through_the_examples_of_a_symbol(page: Page, url: str, keep: Keep) -> None:
    page.goto(url + "/")
    expect(page.get_by_role("heading", name="9 examples")).to_be_visible()
    keep(page, "viewer_overview")
    page.get_by_role("link", name=MODEL).first.click()
    page.get_by_role("link", name="os.path").click()
    expect(page.get_by_role("heading", name="os.path")).to_be_visible()
    page.get_by_role("link", name="join", exact=True).click()
    heading = page.locator("h1")
    expect(heading).to_have_text("1 / 3 Example: os.path.join")
    assert f"sort={MODEL}" in page.url
    keep(page, "viewer_example")

    page.keyboard.press("ArrowRight")
    expect(heading).to_have_text("2 / 3 Example: os.path.exists")
    page.get_by_role("link", name="pop", exact=True).click()
    expect(page.locator(".code")).to_contain_text("GUESS_ME_123")
    page.get_by_role("link", name="Syntax tree").click()
    expect(page.locator(".tree")).to_contain_text("AttributeExpr")
    page.keyboard.press("ArrowRight")
    expect(heading).to_have_text("3 / 3 Example: os.path.isdir")
    page.keyboard.press("ArrowRight")  # wraps around, and everything was kept
    expect(heading).to_have_text("1 / 3 Example: os.path.join")
    assert "view=ast" in page.url and "buffer=pop" in page.url and "symbol=os.path" in page.url
    page.keyboard.press("ArrowLeft")
    expect(heading).to_have_text("3 / 3 Example: os.path.isdir")


def test_the_cursor_is_marked_and_the_buffer_copied(page: Page, url: str) -> None:
    page.goto(f"{url}/example?idx=0")
    line = page.locator(".code li", has=page.locator("#cursor"))
    expect(line).to_have_text("    return os.path.join(x)")
    assert page.locator("#cursor").evaluate("mark => mark.previousSibling.textContent") == "."
    page.get_by_role("button", name="Copy buffer").click()
    expect(page.get_by_role("button", name="Copied")).to_be_visible()
    assert page.evaluate("navigator.clipboard.readText()") == small_examples()[0].Buffer


def test_pages_are_styled_by_the_own_style_sheet_only(page: Page, url: str) -> None:
    addresses: list[str] = []
    page.on("request", lambda request: addresses.append(request.url))
    page.goto(f"{url}/examples")
    page.wait_for_load_state("networkidle")
    assert addresses and all(address.startswith(url) for address in addresses)
    cell = page.locator("td.correct").first
    assert cell.evaluate("cell => getComputedStyle(cell).backgroundColor") == "rgb(155, 211, 168)"


def test_comparing_before_and_after(page: Page, url: str, keep: Keep) -> None:
    page.goto(url + "/")
    page.get_by_role("link", name="Compare").click()
    row = page.get_by_role("row", name=re.compile(f"^{MODEL}"))
    row.locator("td.better a").click()
    expect(page.get_by_role("heading", name=f"{MODEL}: 1 example better")).to_be_visible()
    keep(page, "viewer_comparison")
    row.locator("td.worse a").click()
    expect(page.get_by_role("heading", name=f"{MODEL}: 1 example worse")).to_be_visible()
    page.get_by_role("row", name=re.compile("^os.path join")).get_by_role("link").last.click()
    expect(page.locator("h1")).to_have_text("1 / 10 Example: os.path.join")
    expect(page.get_by_role("row", name=re.compile("^Place of join"))).to_contain_text("not found")


def test_hostile_text_stays_text(page: Page, url: str) -> None:
    for address in ("/?c=1", "/examples?c=1", "/example?c=1&idx=9", "/example?c=1&idx=9&view=ast", "/live?c=1&idx=9"):
        page.goto(url + address)
        page.wait_for_load_state("networkidle")
        assert page.title() != "broken"
        assert page.locator("img").count() == 0
        assert page.locator("script").count() == 1
    page.goto(f"{url}/example?c=1&idx=9")
    expect(page.locator(".code")).to_contain_text(f"{HOSTILE}.x(x)")
    expect(page.locator("h1")).to_contain_text(HOSTILE)


def test_the_live_box(page: Page, url: str, keep: Keep) -> None:
    page.goto(f"{url}/live")
    code = page.locator("#code")
    page.get_by_role("button", name="Complete").click()
    answer = page.locator("#answer")
    expect(answer.get_by_text("joined")).to_be_visible()
    expect(answer).to_contain_text("no list: the base is <b>no</b> known symbol")  # as text
    keep(page, "viewer_live")

    code.fill(f"# {HOSTILE} 🙂\nimport os\nos.path.jo")
    code.press("Control+Enter")
    expect(answer.locator("li span")).to_have_text(["join", "joined"])
    expect(answer).to_contain_text("no list: no completion")  # of the alphabet, which knows nothing with jo
    code.fill("x = 1")
    code.press("Control+Enter")
    expect(answer).to_contain_text("Put the cursor behind a dot")
    code.press("ArrowLeft")  # moves the cursor, not the page
    assert page.url.endswith("/live")
    assert page.title() != "broken"


def test_an_example_can_be_opened_live(page: Page, url: str) -> None:
    page.goto(f"{url}/example?idx=0")
    page.get_by_role("link", name="Open live").click()
    code = page.locator("#code")
    expect(code).to_have_value(small_examples()[0].Buffer)
    page.get_by_role("button", name="Complete").click()
    # the cursor stands behind the dot, so nothing is typed and all names are offered
    expect(page.locator("#answer section").first.locator("li span")).to_have_text(["join", "joined", "exists"])


def test_it_is_readable_in_the_dark_and_on_a_phone(browser: Browser, url: str) -> None:
    context = open_context(browser, 390, 800, "dark")
    page = context.new_page()
    for address in ("/", "/examples", "/example?idx=0", "/compare", "/live"):
        page.goto(url + address)
        assert page.evaluate("document.documentElement.scrollWidth") <= 390, address
        assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(20, 23, 27)"
    context.close()
