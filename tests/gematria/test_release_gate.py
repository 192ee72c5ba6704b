"""The gate against the released model: the interval by hand, what is refused and why, what a run says afterwards."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from gematria_ops.inference.evaluation_report import EvaluationReport, write_report_json
from gematria_ops.inference.predictions_file import BlockPredictions, write_predictions
from gematria_ops.publish import upload_bundle
from gematria_ops.tasks import check_release, release_model, releases, roll_back_model
from ops_common.artifacts import write_manifest
from ops_common.errors import ArtifactError, ConfigError, GateError
from ops_common.release_record import ReleaseRecord, read_release
from ops_common.releases import read_released
from ops_common.rundir import RunDir
from ops_common.seeding import stream
from tests.gematria.inference.examples import make_report

# Matplotlib draws the comparison's page.
pytestmark = pytest.mark.slow

NUM_BLOCKS = 40
TASKS = ("hsw", "skl")
LABELS = np.repeat(1.0 + np.arange(NUM_BLOCKS)[:, None] % 7, 2, axis=1)  # [B, K], cycles per iteration
PATTERN = np.where(np.arange(NUM_BLOCKS) % 2 == 0, 1.0, -1.0)


def make_run(folder: Path, errors: np.ndarray | float, tasks: tuple[str, ...] = TASKS, **dataset: str) -> Path:
    """An evaluated run.

    Args:
        folder: The run's folder.
        errors: Percentage errors of its predictions, float [B] or the same for all; too high by as much.
        tasks: Names of the tasks.
        **dataset: Changes of the report's description of the data set.
    """
    labels = LABELS[:, : len(tasks)]
    predicted = labels * (1 + np.broadcast_to(errors, NUM_BLOCKS)[:, None] / 100)
    sources = tuple(f"test: {name}" for name in tasks)
    fingerprints = [f"{index:064x}" for index in range(NUM_BLOCKS)]
    blocks = BlockPredictions(predicted, labels, labels > 0, fingerprints, tasks, sources)
    run = RunDir(folder)
    write_predictions(run.reports_dir / "evaluation_predictions.npz", blocks)
    report: EvaluationReport = make_report(task_names=tasks, factor=1.1)
    report = report.model_copy(update={"dataset": report.dataset.model_copy(update=dataset)})
    write_report_json(run.reports_dir / "evaluation.json", report)
    run.bundle_dir.mkdir()
    (run.bundle_dir / "weights").write_text(folder.name)
    write_manifest(run.bundle_dir, ["weights"])
    return folder


def gate(run: Path, destination: str, **changes: object) -> ReleaseRecord:
    """Pass a run through the gate; the record that it leaves, which an error does not change."""
    arguments = {"run_dir": str(run), "destination": destination, "max_mape_percent": 50.0, **changes}
    check_release(**arguments)  # type: ignore[arg-type]
    return record_of(run)


def record_of(run: Path) -> ReleaseRecord:
    record = read_release(run)
    assert record is not None
    return record


def publish(run: Path, destination: str) -> str:
    """Upload and release a run that has passed."""
    where = RunDir(run)
    upload_bundle(where.bundle_dir, where.reports_dir, destination, run.name, {})
    return str(release_model(run_dir=str(run), destination=destination)["model_uri"])


@pytest.fixture
def models(tmp_path: Path) -> str:
    return str(tmp_path / "models")


@pytest.fixture
def released(tmp_path: Path, models: str) -> str:
    """A first model with an error of 10 % on every block, released."""
    run = make_run(tmp_path / "first", 10.0)
    gate(run, models)
    return publish(run, models)


def test_the_first_model_has_nothing_to_compare_with(tmp_path: Path, models: str) -> None:
    run = make_run(tmp_path / "first", 10.0)
    record = gate(run, models)
    assert (record.decision, record.compared_with, record.released_then, record.intervals) == ("passed", "", "", ())
    assert record.notes == (f"no model is released at {models} yet: there is none to compare with",)
    assert record.figures == pytest.approx({"mape_percent_hsw": 10.0, "mape_percent_skl": 10.0})
    assert record.thresholds["max_mape_percent"] == 50.0
    uri = publish(run, models)
    record = record_of(run)
    assert (record.decision, record.model_uri) == ("released", uri)
    current = read_released(models)
    assert current is not None
    assert (current.model_uri, current.run, current.figures) == (uri, "first", record.figures)


def test_the_interval_is_that_of_the_paired_bootstrap(tmp_path: Path, models: str, released: str) -> None:
    changes = 0.5 * PATTERN + np.linspace(-0.2, 0.4, NUM_BLOCKS)  # percentage points, block by block
    run = make_run(tmp_path / "second", 10.0 + changes)
    result = check_release(
        run_dir=str(run), max_mape_percent=50, destination=models, confidence=0.9, num_resamples=200, seed=7
    )
    rng = stream(7, "comparison", "hsw")
    picks = rng.integers(0, NUM_BLOCKS, size=(200, NUM_BLOCKS), dtype=np.int32)
    low, high = np.percentile([changes[row].mean() for row in picks], [5, 95])
    record = record_of(run)
    interval = record.intervals[0]
    assert (interval.figure, interval.confidence, record.compared_with) == ("mape_points_hsw", 0.9, released)
    assert interval.difference == pytest.approx(changes.mean(), abs=1e-4)  # predictions are kept as float32
    assert (interval.low, interval.high) == pytest.approx((low, high), abs=1e-4)
    assert result["mape_points_hsw_high"] == pytest.approx(high, abs=1e-3)
    assert (run / "reports/comparison.html").is_file()
    assert "90 %" in (run / "reports/comparison.md").read_text()


def test_it_is_the_upper_end_that_counts(tmp_path: Path, models: str, released: str) -> None:
    run = make_run(tmp_path / "second", 10.0 + 3 * PATTERN)  # as good as the released one, and uncertain
    with pytest.raises(GateError) as caught:
        gate(run, models, max_mape_increase_points=0.5)
    record = record_of(run)
    hsw = record.intervals[0]
    assert hsw.high is not None and hsw.low is not None
    assert hsw.difference == pytest.approx(0.0, abs=1e-4)
    assert hsw.low < 0 < 0.5 < hsw.high
    assert record.decision == "refused"
    assert record.reasons[0] in caught.value.message
    assert record.reasons[0].startswith(f"hsw: the error is 10.00 %, that of the released model {released} 10.00 % on")
    for number in (f"{hsw.low:+.2f} to {hsw.high:+.2f}", "40 blocks", "at most +0.5 is allowed", "95 % interval"):
        assert number in record.reasons[0]
    assert RunDir(run).state == "failed"
    assert RunDir(run).failure_reason().startswith("not released: hsw")
    with pytest.raises(GateError, match="is not released, it was refused: hsw"):
        release_model(run_dir=str(run), destination=models)
    generous = gate(run, models, max_mape_increase_points=1.5)
    assert (generous.decision, generous.reasons) == ("passed", ())


def test_a_worse_model_is_refused_and_a_better_one_replaces(tmp_path: Path, models: str, released: str) -> None:
    with pytest.raises(GateError, match=r"\+2\.00 points \(95 % interval \+2\.00 to \+2\.00\), at most \+1\.9 is"):
        gate(make_run(tmp_path / "worse", 12.0), models, max_mape_increase_points=1.9)
    better = make_run(tmp_path / "better", 9.0)
    with pytest.raises(GateError, match=r"at most -1\.5 is allowed"):  # one has to be better by so much
        gate(better, models, max_mape_increase_points=-1.5)
    assert gate(better, models, max_mape_increase_points=-0.9).decision == "passed"
    uri = publish(better, models)
    assert releases(destination=models)["released"] == uri


def test_a_second_candidate_of_the_same_night_is_compared_anew(tmp_path: Path, models: str, released: str) -> None:
    one, other = (make_run(tmp_path / name, 10.0) for name in ("one", "other"))
    gate(one, models)
    gate(other, models)
    publish(one, models)
    with pytest.raises(GateError, match=r"by now .*one is released"):
        publish(other, models)
    assert record_of(other).decision == "refused"
    assert "run check-release again" not in record_of(other).reasons[0]
    gate(other, models)
    publish(other, models)
    assert not (Path(models) / "other/reports/comparison.html").exists()  # of the day, not of the model


def test_a_model_of_other_tasks_is_no_successor(tmp_path: Path, models: str, released: str) -> None:
    run = make_run(tmp_path / "hsw-only", 5.0, tasks=("hsw",))
    with pytest.raises(GateError, match=r"skl .* is predicted by the released model .* and not by this one"):
        gate(run, models)
    record = gate(run, models, compare_with_released=False)
    assert (record.decision, record.released_then) == ("passed", None)
    publish(run, models)
    more = gate(make_run(tmp_path / "both", 5.0), models)
    assert [interval.figure for interval in more.intervals] == ["mape_points_hsw"]
    assert "does not predict skl" in more.notes[0]


def test_absolute_thresholds_hold_as_well(tmp_path: Path, models: str, released: str) -> None:
    run = make_run(tmp_path / "second", 10.0)
    with pytest.raises(GateError, match=r"hsw: mean absolute percentage error is 10\.00 %"):
        gate(run, models, max_mape_percent=9.0)
    assert len(record_of(run).reasons) == 2
    assert len(record_of(run).intervals) == 2  # what the comparison found is kept as well


@pytest.mark.parametrize("change", [{"sha256": "00" * 32}, {"split": "test"}, {"sha256": ""}])
def test_other_blocks_need_a_data_set(tmp_path: Path, models: str, released: str, change: dict[str, str]) -> None:
    run = make_run(tmp_path / "second", 10.0, **change)
    with pytest.raises(ConfigError, match="was evaluated on other blocks, and there is no data set"):
        gate(run, models)
    assert read_release(run) is None  # nothing was decided


def test_a_damaged_released_model_is_not_compared_with(tmp_path: Path, models: str, released: str) -> None:
    path = Path(released) / "reports/evaluation_predictions.npz"
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    run = make_run(tmp_path / "second", 10.0)
    with pytest.raises(ArtifactError, match="has SHA-256"):
        gate(run, models)
    manifest = Path(released) / "manifest.json"
    manifest.write_text(manifest.read_text() + " ")
    with pytest.raises(ArtifactError, match="is another one than when it was released"):
        gate(run, models)
    assert read_release(run) is None


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"max_mape_increase_points": 1001.0}, "max_mape_increase_points must lie in"),
        ({"confidence": 1.0}, "confidence must lie in"),
        ({"num_resamples": 0}, "num_resamples must lie in"),
    ],
)
def test_thresholds_out_of_range(
    tmp_path: Path, models: str, released: str, change: dict[str, float], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        gate(make_run(tmp_path / "second", 10.0), models, **change)


def test_roll_back_is_told_to_the_run(
    tmp_path: Path, models: str, released: str, capsys: pytest.CaptureFixture[str]
) -> None:
    second = make_run(tmp_path / "second", 10.0)
    gate(second, models)
    uri = publish(second, models)
    done = roll_back_model(
        destination=models, why="[too] slow", by="ann", request="r1", runs_dirs=[str(tmp_path / "none"), str(tmp_path)]
    )
    assert (done["model_uri"], done["rolled_back"]) == (released, uri)
    record = record_of(second)
    assert (record.decision, record.model_uri) == ("rolled_back", uri)
    assert record.reasons == (f"rolled back to {released} by ann: [too] slow",)
    assert record_of(tmp_path / "first").decision == "released"
    with pytest.raises(GateError, match="it was rolled back"):  # a task that is tried again does not undo it
        release_model(run_dir=str(second), destination=models)
    assert releases(destination=models)["num_entries"] == 3
    shown = capsys.readouterr().out
    for text in (f"released now: {released}", "rolled back", "ann", "[too] slow", "mape_percent_hsw 10"):
        assert text in shown
