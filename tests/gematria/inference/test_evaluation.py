"""The figures of a report, their parts and their counts."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from gematria_ops.inference.evaluation import evaluate
from gematria_ops.inference.evaluation_report import (
    SCHEMA_VERSION,
    EvaluationReport,
    read_report_json,
    write_report_json,
)
from gematria_ops.inference.slicing import BLOCK_LENGTHS, LABEL_BORDERS
from ops_common.errors import ArtifactError
from tests.gematria.inference.examples import NUM_BLOCKS, held_out_blocks, make_report


def test_figures_by_hand() -> None:
    report = make_report(factor=1.1)
    task = report.tasks[0]
    # Every relative error is 10 %, so every percentile and every part is too.
    assert task.model.mape_percent == pytest.approx(10)
    assert task.model.mspe == pytest.approx(0.01)
    assert [entry.value for entry in task.model.percentage_error_percentiles] == pytest.approx([10] * 7)
    assert task.model.pearson == pytest.approx(1)
    assert task.model.kendall_tau == pytest.approx(1)
    assert task.baselines["median"].mape_percent == pytest.approx(100)
    assert task.baselines["linear"].mape_percent == pytest.approx(50)
    # 54 labels of task 0: the lengths 1..30 twice, without 1, 11 and 21 (twice each), halved; a tenth of that.
    assert task.model.mae_cycles_per_iteration == pytest.approx((2 * 465 - 2 * 33) / 54 / 2 / 10)
    assert report.mean_mape_percent() == pytest.approx(10)
    assert report.best_baseline() == "linear"
    assert (report.provenance.seed, report.provenance.num_resamples) == (4, 50)


def test_perfect_predictions_have_no_error() -> None:
    report = make_report(factor=1.0)
    for task in report.tasks:
        assert task.model.mape_percent == 0
        assert task.model.mae_cycles_per_iteration == 0
        assert task.model.mape_interval is not None
        assert (task.model.mape_interval.low, task.model.mape_interval.high) == (0, 0)


def test_counts_say_where_every_block_went() -> None:
    blocks = held_out_blocks()
    predictions = blocks.labels * 1.1
    predictions[[1, 2, 10], 0] = np.nan  # block 10 has no label for task 0
    report = make_report(predictions=predictions)
    first, second = (task.counts for task in report.tasks)
    assert (first.num_judged, first.num_without_label, first.num_without_prediction) == (52, 6, 2)
    assert (second.num_judged, second.num_without_label, second.num_without_prediction) == (60, 0, 0)
    for counts in (first, second):
        parts = (counts.num_judged, counts.num_without_label, counts.num_invalid_label, counts.num_without_prediction)
        assert sum(parts) == NUM_BLOCKS


def test_labels_that_are_not_positive_stay_out_of_relative_errors_only() -> None:
    blocks = held_out_blocks()
    labels = blocks.labels.copy()
    labels[3, 1], labels[4, 1] = 0.0, -2.0
    report = evaluate_changed(make_report(), replace(blocks, labels=labels), blocks.labels * 1.1)
    task = report.tasks[1]
    assert (task.counts.num_judged, task.counts.num_relative, task.counts.num_nonpositive_label) == (60, 58, 2)
    assert task.model.mape_percent == pytest.approx(10)
    # Blocks 3 and 4 (4 and 5 instructions, 4.4 and 5.5 predicted) are off by 4.4 and 7.5 cycles.
    regular = (2 * 465 - 4 - 5) * 0.1
    assert task.model.mae_cycles_per_iteration == pytest.approx((regular + 4.4 + 7.5) / 60)


def test_a_task_without_labels_has_no_figures_and_no_mean_is_made_up() -> None:
    blocks = held_out_blocks()
    mask = blocks.mask.copy()
    mask[:, 1] = False
    report = evaluate_changed(make_report(), replace(blocks, mask=mask), blocks.labels * 1.1)
    task = report.tasks[1]
    assert task.model.mape_percent is None
    assert task.model.percentage_error_percentiles == ()
    assert (task.density, task.error_curve) == (None, None)
    assert report.mean_mape_percent() is None
    assert report.tasks[0].model.mape_percent == pytest.approx(10)


def test_parts_of_a_group_hold_each_block_once() -> None:
    for task in make_report().tasks:
        assert [group.id for group in task.slice_groups] == ["block_length", "label_range", "token_sequence"]
        for group in task.slice_groups:
            assert sum(part.num_blocks for part in group.slices) == task.counts.num_relative
            total = sum(part.num_blocks * (part.model.mape_percent or 0) for part in group.slices)
            assert total / task.counts.num_relative == pytest.approx(task.model.mape_percent)


def test_parts_by_length_and_label() -> None:
    groups = make_report().tasks[1].slice_groups
    # Two blocks of each length 1..30.
    assert {part.name: part.num_blocks for part in groups[0].slices} == {
        "1": 2, "2": 2, "3": 2, "4–5": 4, "6–8": 6, "9–12": 8, "13–20": 16, "21+": 20,
    }  # fmt: skip
    # Labels are the lengths; one on a border belongs to the upper part.
    assert {part.name: part.num_blocks for part in groups[1].slices} == {
        "1 to 2": 2, "2 to 5": 6, "5 to 10": 10, "10 to 20": 20, "20 to 50": 22,
    }  # fmt: skip
    assert (BLOCK_LENGTHS[0], LABEL_BORDERS[0]) == (1, 0.5)
    assert {part.name: part.num_blocks for part in groups[2].slices} == {
        "token sequence unseen": 40,
        "token sequence seen": 20,
    }


def test_parts_tell_good_from_bad_blocks() -> None:
    blocks = held_out_blocks()
    assert blocks.seen_in_training is not None
    factors = np.where(blocks.seen_in_training, 1.05, 1.3)[:, None]
    report = make_report(predictions=blocks.labels * factors)
    unseen, seen = report.tasks[0].slice_groups[2].slices
    assert unseen.model.median_percent == pytest.approx(30)
    assert seen.model.median_percent == pytest.approx(5)
    assert unseen.baselines["linear"].median_percent == pytest.approx(50)


def test_without_training_data_there_is_no_such_group() -> None:
    blocks = replace(held_out_blocks(), seen_in_training=None)
    report = evaluate_changed(make_report(), blocks, blocks.labels)
    assert [group.id for group in report.tasks[0].slice_groups] == ["block_length", "label_range"]
    assert report.worst_blocks[0].seen_in_training is None


def test_worst_blocks_come_first_with_what_identifies_them() -> None:
    blocks = held_out_blocks()
    predictions = blocks.labels * 1.01
    predictions[7, 1] = blocks.labels[7, 1] * 5
    predictions[20, 1] = blocks.labels[20, 1] * 3
    predictions[30, 0] = 1e6  # has no label
    worst = make_report(predictions=predictions).worst_blocks
    assert len(worst) == 5
    assert [block.fingerprint for block in worst[:2]] == [f"{7:064x}", f"{20:064x}"]
    assert worst[0].values[1].percentage_error == pytest.approx(400)
    assert (worst[0].values[1].label, worst[0].values[1].prediction) == (8, 40)
    assert (worst[0].machine_code, worst[0].assembly, worst[0].num_instructions) == ("90" * 8, ("nop",) * 8, 8)
    assert [value.task for value in worst[1].values] == ["skl"]  # block 20 has no label of task 0


def test_of_blocks_that_a_model_cannot_tell_apart_only_the_worst_is_listed() -> None:
    blocks = held_out_blocks()
    predictions = blocks.labels * np.linspace(1.01, 1.6, NUM_BLOCKS)[:, None]
    alike = replace(blocks, token_sequences=[b"same" if index >= 50 else index for index in range(NUM_BLOCKS)])
    worst = evaluate_changed(make_report(), alike, predictions).worst_blocks
    assert [int(block.fingerprint, 16) for block in worst[:3]] == [59, 49, 48]


def test_density_counts_every_block_and_clips_wild_predictions() -> None:
    blocks = held_out_blocks()
    predictions = blocks.labels * 1.1
    predictions[5, 1], predictions[6, 1] = 1e9, -4.0
    density = make_report(predictions=predictions).tasks[1].density
    assert density is not None
    assert density.num_clipped == 2
    assert sum(count for _, _, count in density.cells) == NUM_BLOCKS
    last = len(density.edges_cycles_per_iteration) - 2
    assert {y for x, y, _ in density.cells} >= {0, last}
    low, high = density.edges_cycles_per_iteration[0], density.edges_cycles_per_iteration[-1]
    assert low <= 0.5 and high >= 60


def test_a_baseline_without_numbers_for_a_task_is_left_out_there() -> None:
    report = make_report()
    blocks = held_out_blocks()
    partial = blocks.labels * 2
    partial[:, 1] = np.nan
    again = evaluate_changed(report, blocks, blocks.labels, {"median": partial})
    assert list(again.tasks[0].baselines) == ["median"]
    assert list(again.tasks[1].baselines) == []
    assert again.mean_mape_percent("median") is None
    assert again.best_baseline() is None


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"labels": np.ones((3, 2))}, "labels"),
        ({"mask": np.ones((60, 1), dtype=bool)}, "mask"),
        ({"num_instructions": np.ones(3)}, "num_instructions"),
        ({"machine_codes": ["90"]}, "machine_codes"),
        ({"seen_in_training": np.ones(3, dtype=bool)}, "seen_in_training"),
        ({"token_sequences": [b""]}, "token_sequences"),
    ],
)
def test_shapes_must_agree(change: dict[str, object], message: str) -> None:
    blocks = held_out_blocks()
    with pytest.raises(ValueError, match=message):
        evaluate_changed(make_report(), replace(blocks, **change), blocks.labels)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="baseline median"):
        evaluate_changed(make_report(), blocks, blocks.labels, {"median": blocks.labels[:5]})


def test_same_arrays_same_report() -> None:
    assert make_report() == make_report()


def test_json_round_trip(tmp_path: Path) -> None:
    report = make_report()
    write_report_json(tmp_path / "evaluation.json", report)
    assert read_report_json(tmp_path / "evaluation.json") == report


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "does not exist"),
        ("{", "is not JSON"),
        ("[]", "schema_version is None"),
        ("{}", "schema_version is None"),
        ('{"schema_version": 99}', "schema_version is 99"),
        (f'{{"schema_version": {SCHEMA_VERSION}}}', "dataset: Field required"),
    ],
)
def test_reading_what_is_not_a_report(tmp_path: Path, content: str | None, message: str) -> None:
    path = tmp_path / "evaluation.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(ArtifactError, match=message) as caught:
        read_report_json(path)
    assert str(path) in str(caught.value)


def test_reading_a_torn_report(tmp_path: Path) -> None:
    path = tmp_path / "evaluation.json"
    write_report_json(path, make_report())
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(ArtifactError, match="is not JSON"):
        read_report_json(path)


def evaluate_changed(
    report: EvaluationReport,
    blocks: object,
    predictions: np.ndarray,
    baselines: dict[str, np.ndarray] | None = None,
) -> EvaluationReport:
    return evaluate(
        predictions,
        blocks,  # type: ignore[arg-type]
        [task.name for task in report.tasks],
        baselines=baselines or {},
        dataset=report.dataset,
        model=report.model,
        provenance=report.provenance,
    )
