"""The report's forms: figures as text, one self-contained page, hostile names that stay text."""

import json
import re
from pathlib import Path

import jsonschema
import pytest

from fastnode_ops.validation.attribute_report import AttributeReport, read_report_json
from fastnode_ops.validation.report import render_html, verdict, write_reports
from ops_common.errors import ArtifactError, DataError
from tests.fastnode.validation.reports import make_report
from tests.gematria.inference.pages import Page

pytestmark = pytest.mark.slow  # Matplotlib takes a second a page

ROOT = Path(__file__).parents[3]
HOSTILE = '<script>alert("1")</script>&'


@pytest.fixture(scope="module")
def html() -> str:
    return render_html(make_report([0, 0, 2, None, -1] * 6, [0, 1, 0, 0, 4] * 6))


def text_of(html: str) -> str:
    page = Page(html)
    assert page.problems == []
    return " ".join(" ".join(page.text).split()).replace("\N{NO-BREAK SPACE}", " ")


def test_the_page_is_self_contained_and_sound(html: str) -> None:
    page = Page(html)
    assert page.problems == []
    assert page.outside_references() == []
    assert page.unnamed_scroll_areas() == []
    assert "http:" not in html and "https:" not in html
    assert not re.search(r"@import|url\((?!#)", html)
    ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    referred = set(re.findall(r'(?:href="#|url\(#|aria-labelledby=")([^")]+)', html))
    assert referred <= set(ids)
    assert all(attributes.get("scope") for attributes in page.named("th"))


def test_every_colour_of_the_drawings_is_defined_light_and_dark(html: str) -> None:
    drawn = "".join(re.findall(r"<svg.*?</svg>", html, re.DOTALL))
    assert not re.search(r"#[0-9a-f]{6}", drawn)
    used = set(re.findall(r"var\((--plot-[a-z0-9_-]+)\)", drawn))
    assert {"--plot-ink", "--plot-grid", "--plot-series-1", "--plot-series-2"} <= used
    assert all(html.count(f"{name}:") == 2 for name in used)
    assert all(role in html for role in ('class="series-1"', 'class="series-2"'))


def test_the_figures_stand_in_it(html: str) -> None:
    text = text_of(html)
    # common: 24 situations without the failures; the model 12 first, pop 12 first
    assert "first completion is right in 50.0 % and popularity's in 50.0 %: the model is as good as" in text
    assert "It answers at 80.0 % of all places" in text
    assert "ggnn-line-attr 24 50.0 % 12 75.0 % 18" in text
    assert "ggnn-line-attr 30 40.0 % 12 60.0 % 18" in text
    assert "base is unsupported 6" in text
    assert "2: file too large" in text and "nothing" not in text
    # per symbol row: pop better: situations 3 (2 vs 0) and 5 (-1 vs 4); model better: 2
    assert "os.path 12 to 6 of 24" in text


def test_hostile_names_stay_text() -> None:
    page = Page(render_html(make_report([0], [1], name=HOSTILE, symbol=HOSTILE)))
    assert page.problems == [] and page.named("script") == []
    assert HOSTILE in page.text


@pytest.mark.parametrize(
    ("model", "popularity", "said"),
    [
        ([], [], "There is nothing to judge"),
        ([None], [0], "never where popularity did"),
        ([0, 1], [1, 1], "the model is better than popularity"),
        ([1, 1], [0, 1], "the model is worse than popularity"),
    ],
)
def test_the_verdict(model: list[int | None], popularity: list[int | None], said: str) -> None:
    report = make_report(model, popularity)
    assert said in verdict(report)
    text_of(render_html(report))


def test_the_json_form_is_the_report(tmp_path: Path) -> None:
    report = make_report([0, None], [1, 0])
    write_reports(report, tmp_path)
    assert read_report_json(tmp_path / "attributes.json") == report
    assert sorted(path.name for path in tmp_path.iterdir()) == ["attributes.html", "attributes.json"]


def test_the_schema_is_that_of_the_report() -> None:
    schema = json.loads((ROOT / "docs/schemas/attributes.schema.json").read_text())
    assert schema == AttributeReport.model_json_schema() | {"$schema": "https://json-schema.org/draft/2020-12/schema"}
    jsonschema.validate(json.loads(make_report([0, None], [1, 0]).model_dump_json()), schema)


def test_what_is_no_report(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="does not exist"):
        read_report_json(tmp_path / "absent.json")
    (tmp_path / "x.json").write_text('{"schema_version": 2}')
    with pytest.raises(DataError, match=r"x\.json: schema_version: Input should be 1"):
        read_report_json(tmp_path / "x.json")


def test_same_report_same_page() -> None:
    assert render_html(make_report([0, 2], [1, 0])) == render_html(make_report([0, 2], [1, 0]))
