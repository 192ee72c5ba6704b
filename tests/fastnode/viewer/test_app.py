"""The pages through HTTP: what they show, how they are linked, what they refuse, and that text stays text."""

import json
import re
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient

from fastnode_ops.inference.completions import Completion
from fastnode_ops.validation.examples import Example, ExampleCompletion, ProviderOutput, write_example_file
from fastnode_ops.validation.failures import NoAnswer
from fastnode_ops.validation.providers import Answer, Question
from fastnode_ops.viewer.app import MAX_BODY_BYTES, create_app
from fastnode_ops.viewer.live import LiveCompleter
from tests.fastnode.viewer.small_collections import MODEL, write_small
from tests.gematria.inference.pages import Page

HOSTILE = '"><script>alert(1)</script><img src=x onerror=alert(2)>&'


class Fixed:
    """A provider with the same answer to everything; it keeps what it was asked."""

    has_probabilities = True

    def __init__(self, name: str, *identifiers: str) -> None:
        self.name = name
        self._identifiers = identifiers
        self.asked: list[Question] = []

    def answer(self, question: Question) -> Answer:
        self.asked.append(question)
        if not self._identifiers:
            raise NoAnswer("the base is no known symbol")
        found = tuple(Completion(name, 1 / (2 + place)) for place, name in enumerate(self._identifiers))
        return Answer(found, question.source.decode())


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("collections")
    return write_small(folder / "before"), write_small(folder / "after", json_loads=0, os_path_join=-1)


@pytest.fixture(scope="module")
def client(folders: tuple[Path, Path]) -> TestClient:
    return TestClient(create_app(folders))


def page_of(client: TestClient, address: str, status: int = 200) -> Page:
    answer = client.get(address)
    assert answer.status_code == status, answer.text
    page = Page(answer.text)
    assert page.problems == []
    return page


def text_of(page: Page) -> str:
    return " ".join(" ".join(page.text).split())


def links(page: Page) -> list[str]:
    return [attributes["href"] for attributes in page.named("a")]


def arrows(page: Page) -> dict[str, str]:
    return {one["rel"]: one["href"] for one in page.named("a") if one.get("rel") in ("prev", "next")}


ADDRESSES = (
    "/",
    f"/?sort={MODEL}",
    "/examples",
    "/examples?symbol=re&sort=pop",
    "/example?idx=0",
    "/example?idx=5&buffer=pop",
    "/example?idx=8",
    "/example?idx=1&view=ast",
    "/compare",
    f"/compare?provider={MODEL}&change=better",
    "/live",
    "/live?idx=2",
)


@pytest.mark.parametrize("address", ADDRESSES)
def test_every_page_is_sound_and_loads_nothing_from_elsewhere(client: TestClient, address: str) -> None:
    page = page_of(client, address)
    assert page.unnamed_scroll_areas() == []
    assert all(attributes.get("scope") for attributes in page.named("th"))
    addresses = [a.get("href") or a.get("src") or a.get("action") for _, a in page.tags]
    assert all(one.startswith("/") for one in addresses if one is not None)
    assert not [name for _, attributes in page.tags for name in attributes if name.startswith("on") or name == "style"]


@pytest.mark.parametrize("address", ADDRESSES)
def test_every_link_of_a_page_leads_somewhere(client: TestClient, address: str) -> None:
    for link in set(links(page_of(client, address))):
        assert client.get(link).status_code == 200, link


@pytest.mark.parametrize("address", [*ADDRESSES, "/static/viewer.css", "/nowhere", "/example?idx=x"])
def test_every_answer_has_the_strict_headers(client: TestClient, address: str) -> None:
    headers = client.get(address).headers
    policy = headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'")
    assert "unsafe" not in policy
    assert headers["x-content-type-options"] == "nosniff"


def test_the_overview_has_the_figures(client: TestClient) -> None:
    text = text_of(page_of(client, "/"))
    assert "9 examples" in text
    assert "4 symbols" in text
    assert f"{MODEL} 4 57.1 % 2 28.6 % 7" in text.replace("\N{NO-BREAK SPACE}", " ")
    assert "pop 5 62.5 % 3 37.5 % 8" in text.replace("\N{NO-BREAK SPACE}", " ")


def test_the_list_shows_ranks_as_people_count(client: TestClient) -> None:
    answer = client.get(f"/examples?sort={MODEL}").text
    rows = re.findall(r"<tr><td><a href=\"/example[^>]*>(\d)</a>.*?</tr>", answer, flags=re.DOTALL)
    assert rows == ["1", "2", "3", "4", "5", "6", "8", "7", "9"]
    first = re.search(r'<td class="correct">1</td>\s*<td class="">2</td>', answer)
    assert first is not None
    assert '<td class="absent">N/A</td>' in answer


def test_an_example_shows_all_lists_side_by_side_with_the_expected_one_marked(client: TestClient) -> None:
    page = page_of(client, "/example?idx=1")
    assert "2 / 9 Example: os.path. exists" in text_of(page)
    expected = [attributes for attributes in page.named("td") if "expected" in attributes.get("class", "")]
    assert len(expected) == 2  # the model and pop; alpha has not found it
    assert "not found" in text_of(page)
    assert [attributes for attributes in page.named("mark")] == [{"id": "cursor", "title": "cursor"}]


def test_an_expected_identifier_far_down_is_still_shown(tmp_path: Path) -> None:
    names = [*(f"n{i}" for i in range(300)), "right"]
    output = ProviderOutput(Completions=[ExampleCompletion(Identifier=name, Score=0.1) for name in names])
    example = Example(Buffer="x.right", Cursor=2, Symbol="x", Expected="right", Provided={"pop": output})
    write_example_file(tmp_path / "one.json", [example])
    page = page_of(TestClient(create_app([tmp_path / "one.json"])), "/example?idx=0")
    assert "301 right" in text_of(page)
    assert "n24" in text_of(page) and "n25" not in text_of(page)


def test_arrows_wrap_around_and_keep_everything(client: TestClient) -> None:
    query = f"symbol=os.path&sort={MODEL}&buffer=pop&view=ast"
    page = page_of(client, f"/example?idx=0&{query}")
    assert arrows(page) == {
        "prev": f"/example?idx=2&buffer=pop&view=ast&symbol=os.path&sort={MODEL}",
        "next": f"/example?idx=1&buffer=pop&view=ast&symbol=os.path&sort={MODEL}",
    }
    assert arrows(page_of(client, "/example?idx=8"))["next"] == "/example?idx=0"
    assert arrows(page_of(client, "/example?idx=0"))["prev"] == "/example?idx=8"
    assert arrows(page_of(client, "/example?idx=2&c=1"))["next"] == "/example?idx=3&c=1"


def test_an_index_beyond_the_ends_wraps(client: TestClient) -> None:
    assert "9 / 9 Example: builtins.str" in text_of(page_of(client, "/example?idx=-1"))
    assert "1 / 9 Example: os.path" in text_of(page_of(client, "/example?idx=9"))
    assert "9 / 9" in text_of(page_of(client, f"/example?idx={10**30 + 8 - 10**30 % 9}"))


def test_arrows_keep_a_buffer_that_the_next_example_has_not(client: TestClient) -> None:
    """Stepping on with `buffer=pop` must not end at an example without it."""
    page = page_of(client, "/example?idx=8&buffer=pop")
    assert "pop did not see this example" in text_of(page)
    assert arrows(page)["next"] == "/example?idx=0&buffer=pop"


def test_the_buffer_of_a_provider(client: TestClient) -> None:
    assert "GUESS_ME_123" not in text_of(page_of(client, "/example?idx=0"))
    page = page_of(client, "/example?idx=0&buffer=pop")
    assert "GUESS_ME_123" in text_of(page)
    assert page.named("mark")
    raw = client.get("/raw?idx=0&buffer=pop")
    assert raw.headers["content-type"].startswith("text/plain")
    assert "os.path.GUESS_ME_123\n" in raw.text


def test_the_comparison_links_both_sides(client: TestClient) -> None:
    page = page_of(client, f"/compare?before=0&after=1&provider={MODEL}&change=worse")
    text = text_of(page)
    assert "9 examples are in both collections ." in text or "9 examples are in both collections." in text
    assert f"{MODEL} : 1 example worse" in text or f"{MODEL}: 1 example worse" in text
    assert f"/example?idx=0&buffer={MODEL}" in links(page)
    assert f"/example?idx=0&c=1&buffer={MODEL}" in links(page)


@pytest.mark.parametrize(
    ("address", "status", "message"),
    [
        ("/example?idx=x", 400, "A number is expected for: idx."),
        ("/?c=2", 404, "there is no collection number 2"),
        ("/?c=-1", 404, "there is no collection number -1"),
        ("/compare?before=0&after=7", 404, "there is no collection number 7"),
        ("/raw?idx=0&buffer=nobody", 404, "this example has no provider"),
        ("/nowhere", 404, "There is no such page."),
        ("/static/../app.py", 404, "There is no such page."),
        ("/static/%2e%2e/app.py", 404, "There is no such page."),
        ("/docs", 404, "There is no such page."),
        ("/openapi.json", 404, "There is no such page."),
    ],
)
def test_a_wrong_address_gets_a_message(client: TestClient, address: str, status: int, message: str) -> None:
    assert message in text_of(page_of(client, address, status))


def test_one_collection_cannot_be_compared(folders: tuple[Path, Path]) -> None:
    assert "only one collection" in text_of(page_of(TestClient(create_app(folders[:1])), "/compare", 404))


def test_under_a_prefix_every_link_begins_with_it(folders: tuple[Path, Path]) -> None:
    outer = FastAPI()
    outer.mount("/tools/examples", create_app(folders))
    client = TestClient(outer)
    for address in ADDRESSES:
        page = page_of(client, "/tools/examples" + address)
        assert {"/".join(link.split("/")[:3]) for link in links(page)} == {"/tools/examples"}
        for link in links(page):
            assert client.get(link).status_code == 200
    assert "/tools/examples/" in links(page_of(client, "/tools/examples/nowhere", 404))
    assert client.get("/tools/examples/static/viewer.js").status_code == 200


def hostile_example() -> Example:
    output = ProviderOutput(
        Completions=[ExampleCompletion(Identifier=HOSTILE, Score=0.5)], MungedBuffer=f"</textarea>{HOSTILE}"
    )
    return Example(
        Buffer=f"</textarea></ol>{HOSTILE}\nx.y",
        Cursor=3,
        Symbol=HOSTILE,
        Expected=HOSTILE,
        Provided={HOSTILE: output, "pop": output},
    )


def test_hostile_texts_stay_text(tmp_path: Path) -> None:
    write_example_file(tmp_path / "hostile.json", [hostile_example()])
    write_example_file(tmp_path / "again.json", [hostile_example()])
    client = TestClient(create_app([tmp_path / "hostile.json", tmp_path / "again.json"]))
    quoted = httpx.QueryParams(
        {"sort": HOSTILE, "symbol": HOSTILE, "buffer": HOSTILE, "provider": HOSTILE, "change": "same"}
    )
    for path in ("/", "/examples", "/example", "/compare", "/live?idx=0"):
        address = path if "?" in path else f"{path}?{quoted}"
        page = page_of(client, address)
        assert len(page.named("script")) == 1 and page.named("img") == []
        assert HOSTILE in "".join(page.text)
        for link in links(page):
            assert client.get(link).status_code == 200
    assert client.get(f"/nowhere/{HOSTILE}").text.count("<script") == 1


def test_bad_files_are_named_on_the_overview(tmp_path: Path) -> None:
    folder = write_small(tmp_path / "examples")
    (folder / "example-0001-of-0009.json").write_text('{"Buffer": "x", "Cursor": 5, "Symbol": "a", "Expected": "b"}')
    text = text_of(page_of(TestClient(create_app([folder])), "/"))
    assert "1 example is left out, because it cannot be used" in text
    assert "Cursor: must be at most 1, the length of the buffer in bytes" in text


def test_an_example_that_changed_on_the_disk_is_said(tmp_path: Path) -> None:
    folder = write_small(tmp_path / "examples")
    client = TestClient(create_app([folder]))
    (folder / "example-0001-of-0009.json").unlink()
    assert "has changed since it was read" in text_of(page_of(client, "/example?idx=0", 409))
    page_of(client, "/example?idx=1")


def ask(client: TestClient, body: Any, **headers: str) -> httpx.Response:
    return client.post("/live", content=body, headers={"content-type": "application/json", **headers})


def test_the_live_box_without_a_model_says_so(client: TestClient) -> None:
    assert "started without a model" in text_of(page_of(client, "/live"))
    answer = ask(client, json.dumps({"code": "os.", "cursor": 3}))
    assert (answer.status_code, answer.json()) == (503, {"problem": "The viewer was started without a model."})


@pytest.fixture
def providers() -> tuple[Fixed, Fixed]:
    return Fixed(MODEL, "path", "patch", "open"), Fixed("pop")


@pytest.fixture
def live(folders: tuple[Path, Path], providers: tuple[Fixed, Fixed]) -> TestClient:
    return TestClient(create_app(folders, LiveCompleter(providers)))


def test_the_live_box_completes_what_is_typed(live: TestClient, providers: tuple[Fixed, Fixed]) -> None:
    code = "s = '🙂'; os.pa + 1"
    cursor = len("s = '🙂'; os.pa".encode("utf-16-le")) // 2
    answer = ask(live, json.dumps({"code": code, "cursor": cursor})).json()
    assert (answer["problem"], answer["prefix"]) == ("", "pa")
    model, pop = answer["providers"]
    assert [one["text"] for one in model["completions"]] == ["path", "patch"]  # open does not begin with pa
    assert (pop["name"], pop["reason"], pop["completions"]) == ("pop", "the base is no known symbol", [])
    assert providers[0].asked == [Question(code.encode(), len("s = '🙂'; os.".encode()), "pa")]


@pytest.mark.parametrize(
    ("code", "cursor", "problem"),
    [
        ("os", 2, "Put the cursor behind a dot"),
        ("", 0, "Put the cursor behind a dot"),
        ("os.path", 0, "Put the cursor behind a dot"),
        ("x" * 100_001, 5, "more than 100,000 characters"),
        ("🙂.", 1, "splits a character"),
    ],
)
def test_a_question_without_an_answer_is_told_why(live: TestClient, code: str, cursor: int, problem: str) -> None:
    answer = ask(live, json.dumps({"code": code, "cursor": cursor}))
    assert answer.status_code == 200
    assert problem in answer.json()["problem"]


@pytest.mark.parametrize(
    "body",
    [
        "",
        "[]",
        "{}",
        '{"code": 1, "cursor": 1}',
        '{"code": "x", "cursor": -1}',
        '{"code": "x", "cursor": true}',
        '{"code": "x", "cursor": 1.5}',
        '{"code": "x", "cursor": 99999999999}',
        "[" * 100_000,
        b"\xff\xfe",
    ],
)
def test_a_malformed_question_is_refused(live: TestClient, body: Any) -> None:
    answer = ask(live, body)
    assert answer.status_code == 422
    assert answer.json() == {"problem": "The question must be an object with a text 'code' and a 'cursor'."}


def test_half_of_a_surrogate_pair_is_refused(live: TestClient) -> None:
    assert "splits a character" in ask(live, '{"code": "\\ud800.", "cursor": 2}').json()["problem"]


def test_a_large_or_foreign_question_is_refused(live: TestClient) -> None:
    assert ask(live, b" " * (MAX_BODY_BYTES + 1)).status_code == 413
    assert ask(live, "{}", **{"content-type": "text/plain"}).status_code == 415


def test_a_path_is_needed() -> None:
    with pytest.raises(ValueError, match="at least one collection"):
        create_app([])


def test_collections_of_the_same_name_are_told_apart(tmp_path: Path) -> None:
    first, second = (write_small(tmp_path / name / "examples") for name in ("monday", "tuesday"))
    text = text_of(page_of(TestClient(create_app([first, second])), "/"))
    assert "monday/examples" in text and "tuesday/examples" in text
