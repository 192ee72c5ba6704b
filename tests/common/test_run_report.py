"""The page about all of a run: made of its folder alone, whole, refused, failed, damaged; nothing from elsewhere."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from ops_common.artifacts import write_json
from ops_common.errors import ArtifactError
from ops_common.metrics import append_metrics
from ops_common.run_drawings import MAX_POINTS, Curves, Drawing, draw_curves, draw_intervals
from ops_common.run_report import write_run_report
from tests.fastnode.validation import reports as attribute_reports
from tests.gematria.inference.examples import make_report
from tests.gematria.inference.pages import Page
from tests.run_samples import GEMATRIA, STANDALONE, make_run, release_of

ROOT = Path(__file__).parents[2]
LOSS = Curves("Loss", ("loss", "validation_*"), "loss", is_logarithmic=True)


def write(folder: Path, *drawings: Drawing) -> str:
    page = write_run_report(
        folder,
        metrics=lambda path: path / "metrics.jsonl",
        curves=(LOSS,),
        draw=lambda _path: drawings,
        reports="reports",
    )
    assert page == folder / "reports/run.html"
    return page.read_text()


def test_a_released_run(tmp_path: Path) -> None:
    text = write(make_run(tmp_path / "run", GEMATRIA, 3, "released"))
    for told in (
        "The run ended well. Its model was released.",
        "Compared with s3://models/before.",
        "1,800.0 s",  # 540 + 480 + 420 + 360
        "0.61</b><span>core-hours",
        "mape_percent_hsw",
        "loss over the optimiser&#39;s steps; last values: loss 0.4279 at step 1,200",
        f"{3:064x}",
        "git_commit",
        "tensorflow",
        "<dt>optimizer.learning_rate</dt><dd>0.001</dd>",
        "random_seed",
    ):
        assert told.replace('"', "&#34;") in text or told in text, told
    page = Page(text)
    assert page.outside_references() == ["evaluation.html"]
    assert page.problems == [] == page.unnamed_scroll_areas()
    assert not re.search(r"url\(\s*['\"]?(?!#)|@import", text)


def test_a_refused_run_says_why_and_shows_the_interval(tmp_path: Path) -> None:
    text = write(make_run(tmp_path / "run", GEMATRIA, 4, "refused"))
    assert "The run failed. Its model was refused." in text
    assert "is worse by 1.4 (95 % interval 0.9 to 1.9)" in text
    assert "<td>+1.4</td><td>+0.9</td><td>+1.9</td><td>95 %</td>" in text
    assert text.count("<svg") == 2


def test_a_failed_run_without_anything_else(tmp_path: Path) -> None:
    text = write(make_run(tmp_path / "run", GEMATRIA, 10, None, curve_points=0))
    assert "The run failed. Train_model failed." in text and "<svg" not in text
    (tmp_path / "bare").mkdir()
    assert "has no record of its settings" in write(tmp_path / "bare")
    with pytest.raises(ArtifactError, match="is no folder"):
        write(tmp_path / "absent")


def test_damage_is_named_and_markup_stays_text(tmp_path: Path) -> None:
    folder = make_run(tmp_path / "<script>x", GEMATRIA, 3, "released")
    write_json(folder / "record.json", {"config": {"<b>": "<img src=x onerror=y>"}, "tasks": 3})
    (folder / "metrics.jsonl").write_text("nonsense\n")
    text = write(folder)
    assert "record.json: tasks: " in text and "metrics.jsonl, line 1: not JSON" in text
    assert str(tmp_path) not in text
    assert Page(text).outside_references() == ["evaluation.html"] and Page(text).problems == []
    assert "&lt;img src=x" in text and "&lt;script&gt;x" in text


def test_curves_are_averaged_and_what_is_no_number_is_left_out() -> None:
    records = [{"step": step, "loss": float(step), "other": 1.0} for step in range(1, 2 * MAX_POINTS + 1)]
    records += [{"step": 10_000, "loss": float("nan")}]
    drawing = draw_curves("one", LOSS, records)
    assert drawing is not None and drawing.legend == ()
    assert "last values: loss 599.5 at step 600" in drawing.alt
    both = draw_curves("two", LOSS, [{"step": 1, "loss": 1.0}, {"step": 2, "validation_loss": 0.0}])
    assert both is not None and [name for _, name in both.legend] == ["loss", "validation_loss"]
    assert draw_curves("none", LOSS, [{"step": 1, "accuracy": 1.0}]) is None
    assert draw_curves("none", LOSS, []) is None


def test_an_interval_that_is_not_known_is_a_point(tmp_path: Path) -> None:
    (one,) = release_of("x", GEMATRIA, 3, "released").intervals
    svg = draw_intervals("gate", [one, one.model_copy(update={"low": None, "high": None, "figure": "<&>"})])
    assert svg.startswith("<svg") and "&lt;&amp;&gt;" in svg


@pytest.mark.slow
@pytest.mark.parametrize("library", ["gematria_ops", "fastnode_ops"])
def test_the_commands_draw_what_their_library_found(tmp_path: Path, library: str) -> None:
    if library == "gematria_ops":
        from gematria_ops.inference.evaluation_report import write_report_json

        folder = make_run(tmp_path / "run", GEMATRIA, 3, "released")
        append_metrics(folder / "metrics.jsonl", 1300, {"validation_mape_percent_hsw": 9.0})
        write_report_json(folder / "reports/evaluation.json", make_report())
        told = ("Training loss", "Error on the validation blocks", "share of the blocks below")
    else:
        from fastnode_ops.validation.attribute_report import write_report_json as write_attributes

        folder = make_run(tmp_path / "run", STANDALONE, 3, "released")
        write_attributes(folder / "out/reports/attributes.json", attribute_reports.make_report([0, 1, None], [0, 0, 2]))
        told = ("Loss", "Answer among the first completions", "Compared with")
    before = (folder / "record.json").read_bytes()
    command = [sys.executable, "-m", library, "report", "--run-dir", str(folder)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    text = (folder / "reports/run.html").read_text()
    for words in told:
        assert words in text
    assert "Could not be read" not in text
    assert (folder / "record.json").read_bytes() == before  # who looks at a run does not change it
