"""From a real data set and a stand-in model to the reports on disk."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest

from gematria_ops.blocks.decoding import decode_block
from gematria_ops.config import RunnerConfig
from gematria_ops.data.merging import import_and_merge
from gematria_ops.formats.protos.throughput_pb2 import BasicBlockWithThroughputProto
from gematria_ops.inference.evaluating import (
    Evaluation,
    JudgedModel,
    Predict,
    evaluate_bundle,
    evaluate_dataset,
    label_note,
    short_name,
)
from gematria_ops.inference.evaluation import EvaluationSettings
from gematria_ops.inference.evaluation_report import ModelDescription, read_report_json
from gematria_ops.inference.predictions_file import read_predictions
from ops_common.errors import ArtifactError, ConfigError, DataError

Blocks = Iterable[BasicBlockWithThroughputProto]
SAMPLES = Path(__file__).parents[2] / "data" / "bhive"
TASKS = ("hsw", "skl")

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def dataset_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data") / "sample"
    files = [SAMPLES / f"sample_{task}.csv" for task in TASKS]
    import_and_merge(files, [f"llvm-mca: {task}" for task in TASKS], folder, num_workers=1)
    return folder


@pytest.fixture(scope="module")
def evaluation(dataset_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Evaluation:
    folder = tmp_path_factory.mktemp("reports")
    (folder / "metrics.jsonl").write_text('{"step": 5, "loss": 0.5}\n')
    model = judged(times(1.2, skipping_every=50))
    return evaluate_dataset(model, dataset_dir, "validation", folder, folder / "metrics.jsonl")


def judged(predict: Predict, *, source: str = "llvm-mca: ", settings: Sequence[str] = ()) -> JudgedModel:
    config = RunnerConfig.from_toml(
        None,
        [
            f"input.task_names={list(TASKS)}".replace("'", '"'),
            f"input.source_filters={[source + task for task in TASKS]}".replace("'", '"'),
            *settings,
        ],
    )
    return JudgedModel(ModelDescription(name="stand-in", global_step=7, num_parameters=1, sha256=""), config, predict)


def times(factor: float, skipping_every: int = 0) -> Predict:
    """A model that predicts `factor` times the label, and nothing for some blocks."""

    def predict(blocks: Blocks) -> Iterator[BasicBlockWithThroughputProto]:
        for index, block in enumerate(blocks):
            labels = [entry.inverse_throughput_cycles[0] for entry in block.inverse_throughputs]
            if not skipping_every or index % skipping_every:
                for label in labels:
                    block.inverse_throughputs.add(source="stand-in").inverse_throughput_cycles.append(label * factor)
            yield block

    return predict


def test_figures_counts_and_origin(evaluation: Evaluation) -> None:
    report = evaluation.report
    assert (report.dataset.name, report.dataset.split) == ("sample", "validation")
    assert (report.dataset.num_blocks, report.dataset.num_training_blocks) == (238, 1762)
    for task, name in zip(report.tasks, TASKS, strict=True):
        assert task.name == name
        assert task.source == f"llvm-mca: {name}"
        assert task.model.mape_percent == pytest.approx(20)
        assert (task.counts.num_judged, task.counts.num_without_prediction) == (233, 5)
        errors = {key: summary.mape_percent or 0 for key, summary in task.baselines.items()}
        assert 15 < errors["linear"] < errors["best_constant"] < errors["median"]
        seen = task.slice_groups[2].slices
        assert [part.name for part in seen] == ["token sequence unseen", "token sequence seen"]
        assert 0.05 < seen[1].num_blocks / 233 < 0.4
    assert "not measurements" in report.dataset.label_note
    assert report.worst_blocks[0].machine_code and report.worst_blocks[0].assembly
    assert [curve.id for curve in report.learning_curves] == ["loss"]
    assert report.provenance.versions.keys() >= {"python", "numpy", "tensorflow"}
    assert report.provenance.config["input"]["task_names"] == list(TASKS)


def test_everything_stands_on_disk(evaluation: Evaluation) -> None:
    assert read_report_json(evaluation.files.json) == evaluation.report
    assert "stand-in" in evaluation.files.html.read_text()
    kept = read_predictions(evaluation.predictions_file)
    assert kept.predictions.shape == kept.labels.shape == kept.mask.shape == (238, 2)
    assert np.isnan(kept.predictions).any(axis=1).sum() == 5
    np.testing.assert_allclose(kept.predictions[1], kept.labels[1] * 1.2, rtol=1e-6)
    assert len(set(kept.fingerprints)) == len(kept.machine_codes) == 238
    assert (kept.task_names, kept.sources) == (TASKS, ("llvm-mca: hsw", "llvm-mca: skl"))
    assert evaluation.report.worst_blocks[0].machine_code in kept.machine_codes
    groups = {group.id: group for group in evaluation.report.tasks[0].slice_groups}
    # What a comparison cuts by is what the report was cut by; a label range belongs to one task.
    assert [cut.id for cut in kept.cuts] == [name for name in groups if name != "label_range"]
    assert kept.cuts[2].members.sum() == 238


def test_parts_by_instruction_category(evaluation: Evaluation) -> None:
    task = evaluation.report.tasks[0]
    groups = {group.id: group for group in task.slice_groups}
    dominant = {part.name: part.num_blocks for part in groups["dominant_category"].slices}
    members = {part.name: part.num_blocks for part in groups["instruction_category"].slices}
    assert sum(dominant.values()) == task.counts.num_relative == 233
    assert dominant == {"AVX": 4, "SSE": 4, "load and store": 4, "store": 43, "load": 81, "scalar integer": 97}
    # From another side: what the assembly says.
    kept = read_predictions(evaluation.predictions_file)
    judged_codes = [code for code, row in zip(kept.machine_codes, kept.predictions, strict=True) if row[0] > 0]
    lines = [[part.assembly.strip() for part in decode_block(bytes.fromhex(code))] for code in judged_codes]
    assert members["AVX"] == sum(any(line.startswith("v") for line in block) for block in lines) == 11
    assert members["load"] > members["load and store"] > 0
    assert groups["instruction_category"].is_overlapping and not groups["dominant_category"].is_overlapping
    assert "application" not in groups


def test_parts_by_source_application(dataset_dir: Path, tmp_path: Path) -> None:
    rows = (SAMPLES / "sample_hsw.csv").read_text().splitlines()
    codes = [row.partition(",")[0] for row in rows]
    lines = [f"{code},{'sqlite' if index % 2 else 'gzip'}" for index, code in enumerate(codes)]
    lines += [f"{code},both" for code in codes[::2]] + ["zz,sqlite", "90"]
    known = [line for line, code in zip(lines, codes, strict=False) if not code.startswith("48")]
    path = tmp_path / "applications.csv"
    path.write_text("\n".join([*known, *lines[2000:]]) + "\n")
    done = evaluate_dataset(judged(times(1.2)), dataset_dir, "validation", tmp_path, applications_file=path)
    group = done.report.tasks[0].slice_groups[-1]
    assert (group.id, group.is_overlapping) == ("application", True)
    parts = {part.name: part.num_blocks for part in group.slices}
    assert list(parts) == ["both", "gzip", "sqlite", "unknown"]
    assert parts["gzip"] + parts["sqlite"] + sum(code.startswith("48") for code in held_out_codes(done)) == 238
    assert 0 < parts["unknown"] < sum(code.startswith("48") for code in held_out_codes(done))
    assert (
        f"The file has {len(known) + 1002:,d} rows, of which unusable: 1 missing column, 1 not hex."
        in group.explanation
    )
    assert "By source application" in done.files.html.read_text()


def held_out_codes(done: Evaluation) -> Sequence[str]:
    return read_predictions(done.predictions_file).machine_codes


def test_same_evaluation_same_figures(dataset_dir: Path, evaluation: Evaluation, tmp_path: Path) -> None:
    again = evaluate_dataset(judged(times(1.2, skipping_every=50)), dataset_dir, "validation", tmp_path)
    assert again.report.tasks == evaluation.report.tasks
    assert again.report.worst_blocks == evaluation.report.worst_blocks
    assert again.predictions_file.read_bytes() == evaluation.predictions_file.read_bytes()
    assert again.report.learning_curves == ()


def test_the_training_part_is_refused(dataset_dir: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be judged on the blocks it was trained on"):
        evaluate_dataset(judged(times(1)), dataset_dir, "train", tmp_path)


def test_a_part_without_blocks_is_named(dataset_dir: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"there is no block in .*test\.tfrecord"):
        evaluate_dataset(judged(times(1)), dataset_dir, "test", tmp_path)


def test_a_task_without_source_is_named(dataset_dir: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="'hsw' matches no source"):
        evaluate_dataset(judged(times(1), source="uica: "), dataset_dir, "validation", tmp_path)


def test_a_missing_data_set_is_named(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match=r"manifest\.json"):
        evaluate_dataset(judged(times(1)), tmp_path / "nowhere", "validation", tmp_path)


def test_a_predictor_that_loses_blocks_is_caught(dataset_dir: Path, tmp_path: Path) -> None:
    def lossy(blocks: Blocks) -> Iterator[BasicBlockWithThroughputProto]:
        for index, block in enumerate(times(1)(blocks)):
            if index != 3:
                yield block

    with pytest.raises(RuntimeError, match="offered 238 blocks and handed on 237"):
        evaluate_dataset(judged(lossy), dataset_dir, "validation", tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_failed_report_leaves_no_report(dataset_dir: Path, tmp_path: Path) -> None:
    def broken(blocks: Blocks) -> Iterator[BasicBlockWithThroughputProto]:
        yield from list(blocks)[:1]
        raise OSError("gone")

    with pytest.raises(OSError, match="gone"):
        evaluate_dataset(judged(broken), dataset_dir, "validation", tmp_path, settings=EvaluationSettings())
    assert list(tmp_path.iterdir()) == []


@pytest.mark.tf
def test_a_bundle_is_judged_by_its_own_predictions(dataset_dir: Path, tmp_path: Path) -> None:
    from gematria_ops.blocks.vocabulary import Vocabulary
    from gematria_ops.data.dataset import collect_tokens, read_blocks
    from gematria_ops.inference.predictor import Predictor
    from gematria_ops.models.bundle import Bundle, save_bundle
    from gematria_ops.models.ithemal import Ithemal

    held_out_file = dataset_dir / "validation.tfrecord"
    settings = ["model.token_embedding_size=8", "model.instruction_embedding_size=8", "model.block_embedding_size=8"]
    # Some blocks are longer than a batch may be; they get no prediction.
    config = judged(times(1), settings=[*settings, "batch.max_instructions=20"]).config
    vocabulary = Vocabulary(collect_tokens([dataset_dir / "train.tfrecord"]), "_UNKNOWN_")
    model = Ithemal(config.model, len(vocabulary), TASKS, 3)
    save_bundle(tmp_path / "bundle", Bundle(model, vocabulary, config, global_step=12))

    report = evaluate_bundle(tmp_path / "bundle", dataset_dir, "validation", tmp_path / "reports").report

    lengths = [len(block.basic_block.canonicalized_instructions) for block in read_blocks([held_out_file])]
    num_long = sum(length > 20 for length in lengths)
    assert num_long > 0
    assert report.unpredicted == {"over the instruction limit": num_long}
    assert report.tasks[0].counts.num_without_prediction == num_long
    answered = Predictor(model, vocabulary).predict_protos(read_blocks([held_out_file]))
    errors = []
    for length, block in zip(lengths, answered, strict=True):
        label, _, predicted, _ = (entry.inverse_throughput_cycles[0] for entry in block.inverse_throughputs)
        if length <= 20:
            errors.append(100 * abs(predicted - label) / label)
    assert report.tasks[0].model.mape_percent == pytest.approx(np.mean(errors), rel=1e-5)
    assert (report.model.name, report.model.global_step) == ("Hierarchical LSTM, size 8", 12)
    assert report.model.num_parameters == sum(v.shape.num_elements() for v in model.variables_by_name().values())
    assert len(report.model.sha256) == 64


@pytest.mark.tf
def test_a_torn_bundle_is_refused(dataset_dir: Path, tmp_path: Path) -> None:
    (tmp_path / "bundle").mkdir()
    with pytest.raises(ArtifactError, match=r"manifest\.json"):
        evaluate_bundle(tmp_path / "bundle", dataset_dir, "validation", tmp_path / "reports")
    assert not (tmp_path / "reports").exists()


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        ([], "Hierarchical LSTM, size 256"),
        (["model.token_embedding_size=32", "model.seq2seq=true"], "Hierarchical LSTM, size 32/256/256, seq2seq"),
        (["model.bidirectional=true"], "Hierarchical LSTM, bidirectional, size 256"),
    ],
)
def test_short_name(overrides: list[str], expected: str) -> None:
    assert short_name(RunnerConfig.from_toml(None, overrides)) == expected


@pytest.mark.parametrize(
    ("sources", "expected"),
    [
        ([], ""),
        (["", ""], ""),
        (["bhive: hsw"], "The labels are those of the data set's source bhive: hsw;"),
        (["bhive: hsw", "bhive: skl"], "The labels are those of the data set's sources bhive: hsw, bhive: skl;"),
        (["llvm-mca: hsw", "bhive: skl"], "The labels of llvm-mca: hsw are the output of an analytical model, not"),
    ],
)
def test_label_note(sources: list[str], expected: str) -> None:
    assert label_note(sources).startswith(expected)
    assert bool(label_note(sources)) == bool(expected)
