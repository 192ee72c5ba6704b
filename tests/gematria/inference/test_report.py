"""The page and the Markdown form: complete, self-contained, and safe whatever a task is called."""

import re
from pathlib import Path

import numpy as np
import pytest

from gematria_ops.inference import report as report_forms
from gematria_ops.inference import wording
from gematria_ops.inference.evaluation_report import CurvePoint, CurveSeries, read_report_json
from gematria_ops.inference.templating import TEMPLATES_DIR
from tests.gematria.inference.examples import held_out_blocks, make_report
from tests.gematria.inference.pages import Page

# Rendering takes Matplotlib a second a page.
pytestmark = pytest.mark.slow

HOSTILE = '<script>alert("1")</script>&$\\frac{a}{b}$|*x*'


@pytest.fixture(scope="module")
def html() -> str:
    return report_forms.render_html(make_report())


@pytest.fixture(scope="module")
def page(html: str) -> Page:
    return Page(html)


def test_page_is_self_contained(html: str, page: Page) -> None:
    assert "http:" not in html and "https:" not in html
    assert not re.search(r"@import|url\((?!#)", html)
    assert page.outside_references() == []
    assert Page('<img src="x.png"><p onclick="f()">').outside_references() == ["img", "x.png", "onclick"]


def test_page_is_light_and_the_keyboard_reaches_every_table(html: str, page: Page) -> None:
    assert len(html.encode()) < 1_000_000
    assert page.unnamed_scroll_areas() == []
    assert len(Page('<div class="scroll"><pre tabindex="0"></pre></div>').unnamed_scroll_areas()) == 2


def test_page_is_well_formed_with_unique_ids_that_resolve(html: str, page: Page) -> None:
    assert page.problems == []
    ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    referred = set(re.findall(r'(?:href="#|url\(#|aria-labelledby=")([^")]+)', html))
    assert referred and referred <= set(ids)


def test_page_names_data_counts_units_and_origin(page: Page) -> None:
    text = " ".join(" ".join(page.text).split())
    for expected in (
        "test data · validation split · 60 blocks",
        "The model is off by 10.0 % on average over 60 blocks of the validation split and 2 tasks",
        "the best baseline, linear, is off by 50.0 %",
        "Labels are made up.",
        "500 blocks of the training part",
        "cycles per iteration",
        "ab" * 32,
        "cd" * 32,
        "ef" * 32,
        "seed 4",
        "numpy 2",
        '"seed": 3',
        "test: hsw",
    ):
        assert expected in text, expected


def test_page_is_readable_by_everyone(html: str, page: Page) -> None:
    assert page.named("html")[0]["lang"] == "en"
    assert page.named("meta")[1]["content"] == "width=device-width, initial-scale=1"
    drawings = [attributes for attributes in page.named("div") if attributes.get("role") == "img"]
    assert len(drawings) == html.count("<svg") == 1 + 3 * 2 + 1
    assert all(len(attributes["aria-label"]) > 40 for attributes in drawings)
    assert all(attributes.get("scope") for attributes in page.named("th"))
    assert "prefers-color-scheme: dark" in html


def test_drawings_take_every_colour_from_the_page(html: str) -> None:
    drawn = "".join(re.findall(r"<svg.*?</svg>", html, flags=re.DOTALL))
    assert not re.search(r"#[0-9a-f]{6}", drawn)
    assert "font-family" not in drawn
    css = (TEMPLATES_DIR / "evaluation.css").read_text()
    for variable in set(re.findall(r"var\((--[a-z0-9_-]+)\)", html)):
        assert css.count(f"{variable}:") >= 1, variable


def test_light_and_dark_define_the_same_colours_with_enough_contrast() -> None:
    css = (TEMPLATES_DIR / "evaluation.css").read_text()
    light, dark = (
        dict(re.findall(r"(--[a-z0-9_-]+): (#[0-9a-f]{6})", part)) for part in css.split("prefers-color-scheme: dark")
    )
    assert light.keys() == dark.keys()
    for colours in (light, dark):
        for text in ("--ink", "--muted", "--plot-ink"):
            assert contrast(colours[text], colours["--paper"]) >= 4.5
            assert contrast(colours[text], colours["--raised"]) >= 4.5
        for line in ("--plot-model", "--plot-linear", "--plot-median", "--plot-best_constant", "--plot-series-3"):
            assert contrast(colours[line], colours["--paper"]) >= 3
    assert contrast("#777777", "#888888") < 3


def contrast(first: str, second: str) -> float:
    """The contrast ratio of WCAG 2.2."""

    def luminance(colour: str) -> float:
        channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    high, low = sorted((luminance(first), luminance(second)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def test_hostile_names_stay_text() -> None:
    report = make_report(task_names=(HOSTILE, "skl"), model_name=HOSTILE, baseline_factors={HOSTILE: 2.0})
    page = Page(report_forms.render_html(report))
    assert page.problems == []
    assert page.named("script") == []
    assert any(HOSTILE in text for text in page.text)
    markdown = report_forms.render_markdown(report)
    assert "<script>" not in markdown
    rows = [line for line in markdown.splitlines() if line.startswith("|")]
    header = next(row for row in rows if "Model" in row)
    assert all(cells(row) == cells(header) for row in rows[: 2 + 2])


def cells(row: str) -> int:
    return len(re.findall(r"(?<!\\)\|", row))


def test_same_report_same_page(html: str) -> None:
    assert report_forms.render_html(make_report()) == html


def test_markdown_holds_the_verdict_and_the_tables() -> None:
    markdown = report_forms.render_markdown(make_report())
    assert markdown.startswith("# Evaluation of ithemal test\n\nThe model is off by 10.0")
    assert "| hsw | 54 | 10.0 | 10.0 to 10.0 | 50.0 | 100.0 | 1.000 | 1.000 | 1.000 |" in markdown
    # 10 % of half the lengths 2-10, 12-20, 22-30, each twice; the median is at index 26.5, to even 26, length 16.
    assert "| hsw | cycles | 0.200 | 0.400 | 0.800 | 1.20 | 1.40 | 1.45 | 1.50 |" in markdown
    assert "| hsw | percent | 10.0 | 10.0 | 10.0 | 10.0 | 10.0 | 10.0 | 10.0 |" in markdown
    assert "| 9–12 | 6 | 10.0 | 8 | 10.0 |" in markdown
    for block in re.findall(r"(?:^\|.*\n)+", markdown, flags=re.MULTILINE):
        assert len({cells(row) for row in block.splitlines()}) == 1


def test_all_forms_are_written_and_the_json_form_is_the_report(tmp_path: Path) -> None:
    report = make_report()
    files = report_forms.write_reports(report, tmp_path / "reports")
    assert sorted(path.name for path in (tmp_path / "reports").iterdir()) == [
        "evaluation.html",
        "evaluation.json",
        "evaluation.md",
    ]
    assert read_report_json(files.json) == report
    assert files.html.read_text().startswith("<!doctype html>")


def test_page_of_a_task_without_labels_and_of_one_block() -> None:
    blocks = held_out_blocks()
    predictions = np.full(blocks.labels.shape, np.nan)
    predictions[4, 1] = 3.0
    report = make_report(predictions=predictions)
    html = report_forms.render_html(report)
    assert Page(html).problems == []
    assert "no block can be judged for hsw" in html
    assert "Up to 60 blocks a task got no prediction" not in html
    assert "Up to 59 blocks a task got no prediction" in html
    assert "nan" not in report_forms.render_markdown(report).lower()


def test_page_of_a_worse_model_says_so() -> None:
    assert "It does not beat every baseline for hsw and skl." in wording.verdict(make_report(factor=1.6))
    assert "does not beat" not in wording.verdict(make_report())


def test_page_without_baselines_and_learning_curve() -> None:
    report = make_report(baseline_factors={}, learning_curves=())
    html = report_forms.render_html(report)
    assert Page(html).problems == []
    assert "there is no baseline to compare with" in html
    assert "Learning curve" not in html


def test_learning_curves_of_one_kind_share_a_drawing() -> None:
    points = tuple(CurvePoint(step=step, value=100 / step) for step in (10, 20, 40))
    series = [
        CurveSeries(id=name, title=name, unit="percent", is_validation=True, points=points) for name in ("hsw", "skl")
    ]
    loss = CurveSeries(id="loss", title="all", unit="", is_validation=False, points=points)
    page = Page(report_forms.render_html(make_report(learning_curves=(*series, loss))))
    labels = [attributes["aria-label"] for attributes in page.named("div") if attributes.get("role") == "img"]
    assert [label for label in labels if "optimiser" in label] == [
        "Training loss over the optimiser's steps. Last values: all: 2.5 at step 40.",
        "Validation error over the optimiser's steps. Last values: hsw: 2.5 at step 40; skl: 2.5 at step 40.",
    ]


@pytest.mark.parametrize(
    ("value", "expected"), [(None, "–"), (0, "0"), (0.1834, "0.183"), (1.35, "1.35"), (12.34, "12.3"), (380.5, "380")]
)
def test_cycles(value: float | None, expected: str) -> None:
    assert wording.cycles(value) == expected


@pytest.mark.parametrize(("value", "expected"), [(None, "–"), (8.06, "8.1"), (0.0, "0.0"), (12345.67, "12,345.7")])
def test_percent(value: float | None, expected: str) -> None:
    assert wording.percent(value) == expected
