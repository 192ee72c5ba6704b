"""From two evaluations on disk to a comparison on disk."""

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from gematria_ops.inference import comparison_page
from gematria_ops.inference.comparing import compare_evaluations, find_evaluation
from gematria_ops.inference.comparison_report import ComparisonReport
from gematria_ops.inference.evaluation_report import write_report_json
from gematria_ops.inference.predictions_file import BlockPredictions, write_predictions
from gematria_ops.inference.slicing import Cut, length_cut
from gematria_ops.tasks import compare_evaluations as compare_task
from ops_common.errors import ArtifactError, ConfigError
from tests.gematria.inference.examples import make_report
from tests.gematria.inference.pages import Page

# Rendering takes Matplotlib a second a page.
pytestmark = pytest.mark.slow

NUM_BLOCKS = 40
HOSTILE = '<script>alert("1")</script>&|*x*'


def predictions(factor: float, task_names: tuple[str, ...] = ("hsw", "skl")) -> BlockPredictions:
    """Blocks of one to four `nop`, predicted `factor` times too high in the first task, rightly in the others."""
    num_instructions = 1 + np.arange(NUM_BLOCKS) % 4
    labels = np.stack([num_instructions * (task + 1.0) for task in range(len(task_names))], axis=1)
    values = labels.copy()
    values[:, 0] *= factor
    kinds = Cut("kind", "By kind", "Kinds.", ("other",), np.ones((NUM_BLOCKS, 1), dtype=bool), is_overlapping=True)
    return BlockPredictions(
        values,
        labels,
        labels > 0,
        [f"{index:064x}" for index in range(NUM_BLOCKS)],
        task_names,
        machine_codes=["90" * int(length) for length in num_instructions],
        token_sequence_ids=num_instructions.tolist(),
        cuts=(length_cut(num_instructions), kinds),
    )


def make_run(folder: Path, blocks: BlockPredictions, name: str = "model") -> Path:
    """A run folder as evaluate-model leaves it, with a training of two records."""
    write_predictions(folder / "reports" / "evaluation_predictions.npz", blocks)
    write_report_json(folder / "reports" / "evaluation.json", make_report(model_name=name))
    names = [kind + task for kind in ("mape_percent_", "validation_mape_percent_") for task in blocks.task_names]
    records = [{"step": 10 * part, "seconds": 2 * part, **dict.fromkeys(names, 20.0 / part)} for part in (1, 2)]
    (folder / "metrics.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
    return folder


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("runs")
    return make_run(folder / "old", predictions(1.5), "Old"), make_run(folder / "new", predictions(1.2), "New")


@pytest.fixture(scope="module")
def compared(runs: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("comparison")
    compare_evaluations(*runs, folder)
    return folder


def test_the_task_function_returns_the_figures(runs: tuple[Path, Path], tmp_path: Path) -> None:
    result = compare_task(first=str(runs[0]), second=str(runs[1]), output_dir=str(tmp_path))
    assert result == {
        "comparison_json": str(tmp_path / "comparison.json"),
        "comparison_html": str(tmp_path / "comparison.html"),
        "num_common_blocks": NUM_BLOCKS,
        "mape_points_hsw": -30.0,
        "better_share_hsw": 1.0,
        "mape_points_skl": 0.0,
        "better_share_skl": 0.0,
    }


def test_the_json_form_is_the_report(compared: Path) -> None:
    report = ComparisonReport.model_validate_json((compared / "comparison.json").read_text())
    assert (report.first.name, report.first.origin, report.second.name) == ("Old", "old", "New")
    assert (report.first.global_step, report.first.dataset) == (1000, "test data, validation split")
    assert report.num_common == NUM_BLOCKS
    assert sorted(len(block.assembly) for block in report.improved) == [1, 2, 3, 4]
    assert report.worsened == ()
    assert [(curve.model, curve.kind) for curve in report.learning_curves] == [
        (model, kind) for model in ("first", "second") for kind in ("validation", "training batches")
    ]
    assert [(point.step, point.seconds) for point in report.learning_curves[0].points] == [(10, 2), (20, 4)]


def test_the_page_is_self_contained_light_and_readable(compared: Path) -> None:
    html = (compared / "comparison.html").read_text()
    page = Page(html)
    assert page.problems == page.outside_references() == page.unnamed_scroll_areas() == []
    assert "http:" not in html and "https:" not in html and not re.search(r"@import|url\((?!#)", html)
    assert len(html.encode()) < 1_000_000
    ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    assert all(attributes.get("scope") for attributes in page.named("th"))
    drawings = [attributes for attributes in page.named("div") if attributes.get("role") == "img"]
    # The tasks; steps and seconds; block length of both tasks.
    assert len(drawings) == html.count("<svg") == 1 + 2 + 2
    assert all(len(attributes["aria-label"]) > 40 for attributes in drawings)
    text = " ".join(" ".join(page.text).split())
    for expected in (
        "The second model is off by 10.00 % on average, the first by 25.00 %, on the same blocks (2 tasks).",
        "The second is better for hsw. There is no clear difference for skl, where the interval holds zero.",
        "−30.00 points",
        "By block length",
        "By kind",
        "The 4 blocks with the largest fall",
        "40 blocks, 0 of them not in the other evaluation",
        "1,000 resamples, seed 0",
    ):
        assert expected in text, expected


def test_markdown_holds_the_tables(compared: Path) -> None:
    markdown = (compared / "comparison.md").read_text()
    assert "| hsw | 40 | 50.0 | 20.0 | −30.00 | −30.00 to −30.00 | 100.0 % | 0.0 % | better |" in markdown
    assert "| skl | 40 | 0.0 | 0.0 | 0.00 | 0.00 to 0.00 | 0.0 % | 0.0 % | no clear difference |" in markdown
    assert "| 2 | 10 | −30.00 | −30.00 to −30.00 | 10 | 0.00 | 0.00 to 0.00 |" in markdown
    assert "| hsw | 1.00 | 1.50 | 1.20 | −30.00 | nop |" in markdown


def test_hostile_names_stay_text(tmp_path: Path) -> None:
    blocks = predictions(1.5, (HOSTILE, "skl"))
    first = make_run(tmp_path / "first", blocks, HOSTILE)
    second = make_run(tmp_path / "second", replace(blocks, predictions=blocks.labels), HOSTILE)
    report, files = compare_evaluations(first, second, tmp_path / "out", num_resamples=10)
    page = Page(files.html.read_text())
    assert page.problems == page.named("script") == []
    assert any(HOSTILE in text for text in page.text)
    assert "<script>" not in files.markdown.read_text()
    assert report.tasks[0].name == HOSTILE


def test_files_without_a_run_are_compared_without_curves_and_names(tmp_path: Path) -> None:
    first = write_predictions(tmp_path / "first.npz", replace(predictions(1.5), machine_codes=(), cuts=()))
    second = write_predictions(tmp_path / "second.npz", replace(predictions(1.2), machine_codes=(), cuts=()))
    report, files = compare_evaluations(first, second, tmp_path / "out", num_resamples=10)
    assert (report.first.name, report.second.name, report.learning_curves) == ("first.npz", "second.npz", ())
    assert [group.id for group in report.tasks[0].groups] == ["label_range"]
    html = files.html.read_text()
    assert Page(html).problems == []
    assert "Error while training" not in html
    assert report.improved[0].fingerprint in html


def test_a_page_without_any_compared_block(tmp_path: Path) -> None:
    blocks = predictions(1.5)
    nothing = write_predictions(tmp_path / "a.npz", replace(blocks, predictions=np.full((NUM_BLOCKS, 2), np.nan)))
    other = write_predictions(tmp_path / "b.npz", blocks)
    report, files = compare_evaluations(nothing, other, tmp_path / "out", num_resamples=10)
    assert Page(files.html.read_text()).problems == []
    assert comparison_page.verdict(report).startswith("There is nothing to compare")
    assert "nan" not in files.markdown.read_text().lower()


def test_what_holds_no_evaluation_is_named(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match=r"holds no evaluation: there is no evaluation_predictions\.npz"):
        find_evaluation(tmp_path)


def test_other_tasks_write_nothing(runs: tuple[Path, Path], tmp_path: Path) -> None:
    other = make_run(tmp_path / "other", predictions(1.2, ("hsw", "ivb")))
    with pytest.raises(ConfigError, match="only the first has 'skl'; only the second has 'ivb'"):
        compare_evaluations(runs[0], other, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("num_resamples", [0, 100_001])
def test_a_senseless_number_of_resamples_is_refused(num_resamples: int, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=rf"num_resamples must lie in 1\.\.100000, got {num_resamples}"):
        compare_evaluations(tmp_path, tmp_path, tmp_path, num_resamples=num_resamples)
