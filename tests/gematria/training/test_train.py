"""Training from files to checkpoints: what is learnt, what is kept, where it begins, what is refused."""

import json
import logging
import shutil
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from gematria_ops.config import RunnerConfig
from gematria_ops.encode.loading import load_encoded_blocks, load_vocabulary
from gematria_ops.models.bundle import load_bundle
from gematria_ops.training.train import TrainSummary, train
from ops_common.errors import ArtifactError, ConfigError, DataError
from ops_common.learning.checkpoints import latest_checkpoint
from ops_common.metrics import read_metrics
from tests.gematria.small_blocks import COSTS, make_blocks, write_data

pytestmark = pytest.mark.tf

SMALL = (
    "model.token_embedding_size=8",
    "model.instruction_embedding_size=8",
    "model.block_embedding_size=8",
    "batch.max_blocks=30",
    "optimizer.learning_rate=0.02",
    "loss.loss_type=MEAN_ABSOLUTE_ERROR",
    "loss.loss_normalization=PERCENTAGE_ERROR",
    "summary.save_steps=0",
    "summary.save_seconds=0",
    "checkpoint.save_steps=0",
    "checkpoint.save_seconds=0",
)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return write_data(tmp_path_factory.mktemp("data"))


def settings(data: tuple[Path, Path], folder: Path, *overrides: str) -> RunnerConfig:
    files = (f"input.files={data[0]}", f"tokens.file={data[1]}", f"checkpoint.directory={folder}")
    return RunnerConfig.from_toml(None, [*SMALL, *files, *overrides])


def run(data: tuple[Path, Path], folder: Path, num_steps: int, *overrides: str, **options: object) -> TrainSummary:
    return train(settings(data, folder, f"num_steps={num_steps}", *overrides), **options)


def weights(folder: Path, step: int | None = None) -> dict[str, np.ndarray]:
    prefix = folder / f"model.ckpt-{step}" if step is not None else latest_checkpoint(folder)
    reader = tf.train.load_checkpoint(str(prefix))
    return {name: reader.get_tensor(name) for name in reader.get_variable_to_shape_map()}


def assert_same(first: dict[str, np.ndarray], second: dict[str, np.ndarray]) -> None:
    assert first.keys() == second.keys()
    assert [name for name in first if not np.array_equal(first[name], second[name])] == []


@pytest.mark.slow
def test_it_learns_two_tasks_and_keeps_everything(data: tuple[Path, Path], tmp_path: Path) -> None:
    summary = run(
        data,
        tmp_path / "model",
        600,
        "model.block_embedding_size=16",
        'input.source_filters=["test: one", "test: two"]',
        'input.task_names=["first", "second"]',
        "checkpoint.save_steps=200",
        "summary.save_steps=100",
        f"summary.directory={tmp_path / 'summaries'}",
        f"validation.files={data[0]}",
        "validation.every_steps=300",
        metrics_path=tmp_path / "metrics.jsonl",
    )
    assert (summary.global_step, summary.num_steps, summary.num_blocks) == (600, 600, 120)
    assert summary.final_loss < 0.2
    assert summary.blocks_per_second > 0
    kept = weights(tmp_path / "model")
    assert kept["global_step"] == 600
    assert {"token_embedding/table", "token_embedding/table/Adam", "beta1_power"} <= kept.keys()
    curve = read_metrics(tmp_path / "metrics.jsonl")
    errors = [record for record in curve if "validation_mape_percent_first" in record]
    assert [record["step"] for record in errors] == [300, 600]
    assert errors[-1]["validation_mape_percent_first"] < 20
    assert errors[-1]["validation_mape_percent_second"] < 20
    assert [record["step"] for record in curve if "loss" in record] == [1, 100, 200, 300, 400, 500, 600]
    assert list((tmp_path / "summaries").glob("events.out.tfevents.*"))


@pytest.mark.slow
@pytest.mark.parametrize(
    "overrides",
    [
        ("input.throughput_selection=RANDOM", "tokens.out_of_vocabulary_injection_probability=0.2"),
        (
            "model.seq2seq=true",
            "model.bidirectional=true",
            "loss.loss_normalization=NONE",
            "batch.randomize=false",
            "optimizer.optimizer_type=RMSPROP",
            "optimizer.learning_rate_schedule=NOISY_LINEAR_COSINE",
            "optimizer.decay_steps=20",
        ),
    ],
)
def test_resumed_it_ends_with_the_same_bits(
    overrides: tuple[str, ...], data: tuple[Path, Path], tmp_path: Path
) -> None:
    run(data, tmp_path / "whole", 14, *overrides)
    run(data, tmp_path / "parts", 5, *overrides)
    summary = run(data, tmp_path / "parts", 14, *overrides)
    assert summary.num_steps == 9
    assert_same(weights(tmp_path / "whole"), weights(tmp_path / "parts"))


def test_another_seed_gives_other_weights(data: tuple[Path, Path], model: Path, tmp_path: Path) -> None:
    run(data, tmp_path, 2, "random_seed=5")
    first, second = weights(model), weights(tmp_path)
    assert not np.array_equal(first["token_embedding/table"], second["token_embedding/table"])


def test_a_fulfilled_training_leaves_its_bundle_and_tells_its_last_loss(
    data: tuple[Path, Path], tmp_path: Path
) -> None:
    # As after a kill between the last checkpoint and the bundle.
    first = run(data, tmp_path / "model", 2, metrics_path=tmp_path / "metrics.jsonl")
    again = run(data, tmp_path / "model", 2, metrics_path=tmp_path / "metrics.jsonl", bundle_dir=tmp_path / "bundle")
    assert (again.num_steps, again.final_loss) == (0, first.final_loss)
    assert "nothing to do" in again.as_text()
    bundle = load_bundle(tmp_path / "bundle")
    assert bundle.global_step == 2
    trained = weights(tmp_path / "model")
    assert all(np.array_equal(trained[name], value) for name, value in bundle.model.variables_by_name().items())


@pytest.mark.parametrize(
    ("overrides", "difference"),
    [
        (["model.token_embedding_size=6"], "model.token_embedding_size was 8, now 6"),
        (["model.task_output_layers=[4]"], "model.task_output_layers was [], now [4]"),
        (["input.task_names=other"], "task_names was ['default'], now ['other']"),
        (["optimizer.optimizer_type=SGD"], "optimizer_type was 'ADAM', now 'SGD'"),
    ],
)
def test_a_checkpoint_of_another_model_is_refused(
    overrides: list[str], difference: str, data: tuple[Path, Path], model: Path
) -> None:
    with pytest.raises(ConfigError) as caught:
        run(data, model, 9, *overrides)
    assert caught.value.message.endswith(f"belongs to another model: {difference}")
    assert latest_checkpoint(model) == model / "model.ckpt-2"


@pytest.fixture(scope="module")
def model(data: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("model")
    run(data, folder, 2)
    return folder


def test_a_checkpoint_of_another_vocabulary_is_refused(data: tuple[Path, Path], model: Path, tmp_path: Path) -> None:
    tokens = tmp_path / "tokens.txt"
    tokens.write_text(data[1].read_text().replace("IMUL", "JMUL"))
    with pytest.raises(ConfigError, match=r"belongs to another model: vocabulary\.sha256 was"):
        run((data[0], tokens), model, 9)
    tokens.write_text(data[1].read_text() + "ONE_MORE\n")
    with pytest.raises(ConfigError, match=r"vocabulary\.num_tokens was \d+, now \d+"):
        run((data[0], tokens), model, 9)


def test_an_unknown_token_is_named_unless_it_is_replaced_or_dropped(data: tuple[Path, Path], tmp_path: Path) -> None:
    tokens = tmp_path / "tokens.txt"
    tokens.write_text("".join(line + "\n" for line in data[1].read_text().split() if line != "DIV"))
    without = (data[0], tokens)
    with pytest.raises(DataError, match="'DIV'"):
        run(without, tmp_path / "a", 1, 'tokens.out_of_vocabulary_replacement_token=""')
    dropped = run(
        without,
        tmp_path / "b",
        1,
        'tokens.out_of_vocabulary_replacement_token=""',
        "input.drop_invalid_blocks=true",
    )
    assert dropped.num_blocks + dropped.num_dropped["unknown token"] == 120
    assert dropped.num_dropped["unknown token"] > 10
    assert run(without, tmp_path / "c", 1).num_blocks == 120


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["input.source_filters=other"], "matches no source"),
        (["batch.max_instructions=0", "input.files=none.tfrecord"], "none.tfrecord does not exist"),
        (["tokens.file=none.txt"], "none.txt"),
        (["input.scaling=0"], "throughput 0"),
    ],
)
def test_bad_input_is_named(overrides: list[str], message: str, data: tuple[Path, Path], tmp_path: Path) -> None:
    with pytest.raises(DataError, match=message):
        run(data, tmp_path, 1, *overrides)


def test_an_infinite_loss_stops_with_the_blocks_named(data: tuple[Path, Path], tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"not finite after step|the loss of step \d+ is") as caught:
        run(
            data,
            tmp_path,
            50,
            "optimizer.optimizer_type=SGD",
            "optimizer.learning_rate=1e30",
            "loss.loss_type=MEAN_SQUARED_ERROR",
            "checkpoint.save_steps=1",
        )
    (path,) = tmp_path.glob("non_finite_step_*.json")
    assert str(path) in caught.value.message
    samples = json.loads(path.read_text())["samples"]
    assert len(samples) == len({sample["index"] for sample in samples}) == 30
    first = samples[0]
    assert f"(index {first['index']}, fingerprint {first['fingerprint']})" in caught.value.message
    # Blocks of equal tokens, and only those, have equal fingerprints.
    blocks = list(make_blocks(120))
    by_print = {sample["fingerprint"]: blocks[sample["index"]].instructions for sample in samples}
    assert all(by_print[sample["fingerprint"]] == blocks[sample["index"]].instructions for sample in samples)
    assert len(by_print) == len({str(blocks[sample["index"]].instructions) for sample in samples})
    assert latest_checkpoint(tmp_path) is None or all(np.isfinite(value).all() for value in weights(tmp_path).values())


@pytest.mark.parametrize(
    ("overrides", "samples"),
    [
        ([], [1.0]),
        (["input.throughput_selection=FIRST"], [1.0]),
        (["input.throughput_selection=MIN"], [0.9]),
        (["input.throughput_selection=RANDOM"], [1.0, 1.1, 0.9]),
        (["input.throughput_selection=MIN", "input.scaling=10"], [9.0]),
        (['input.source_filters=["test: two"]'], [2.0]),
    ],
)
def test_selection_and_scaling_decide_the_labels(
    overrides: list[str], samples: list[float], data: tuple[Path, Path], tmp_path: Path
) -> None:
    # The samples of a block are these times its cost; the first block costs what make_blocks says.
    config = settings(data, tmp_path, *overrides)
    encoded = load_encoded_blocks(config, config.input.files, load_vocabulary(config))
    cost = sum(COSTS[instruction.mnemonic] for instruction in next(make_blocks(1)).instructions)
    found = encoded.samples[: encoded.sample_splits[1]]
    np.testing.assert_allclose(found, [sample * cost for sample in samples], rtol=1e-6)


def test_warm_start_takes_what_fits_and_reports(
    data: tuple[Path, Path], model: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        run(
            data,
            tmp_path,
            1,
            f"checkpoint.warmstart_dir={model}",
            "model.block_embedding_size=6",
            "optimizer.learning_rate=0",
        )
    old, new = weights(model), weights(tmp_path)
    assert np.array_equal(old["token_embedding/table"], new["token_embedding/table"])
    assert "'block_lstm/kernel' keeps its fresh value: variable 'block_lstm/kernel' has shape" in caplog.text
    assert new["global_step"] == 1
    report = json.loads((tmp_path / "warm_start.json").read_text())
    assert (report["checkpoint"], report["global_step"]) == (str(model / "model.ckpt-2"), 0)
    assert "token_embedding/table" in report["loaded"]
    assert report["kept_fresh"]["block_lstm/kernel"].startswith("variable 'block_lstm/kernel' has shape")
    optimizer_state = {name for name in new if "Adam" in name} | {"beta1_power", "beta2_power", "global_step"}
    assert {*report["loaded"], *report["kept_fresh"]} == new.keys() - optimizer_state


def test_warm_start_from_a_file_may_take_the_step(data: tuple[Path, Path], model: Path, tmp_path: Path) -> None:
    file = f"checkpoint.warmstart_file={model / 'model.ckpt-2'}"
    assert run(data, tmp_path, 5, file, "checkpoint.load_global_step=true").num_steps == 3
    assert json.loads((tmp_path / "warm_start.json").read_text())["global_step"] == 2


def test_a_checkpoint_of_ones_own_goes_before_a_warm_start(
    data: tuple[Path, Path], model: Path, tmp_path: Path
) -> None:
    shutil.copytree(model, tmp_path / "own")
    assert run(data, tmp_path / "own", 3, f"checkpoint.warmstart_file={tmp_path / 'none'}").num_steps == 1
    assert not (tmp_path / "own/warm_start.json").exists()


@pytest.mark.parametrize("key", ["warmstart_file", "warmstart_dir"])
def test_a_missing_warm_start_is_named(key: str, data: tuple[Path, Path], tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match=r"No checkpoint was found at .*none"):
        run(data, tmp_path / "a", 1, f"checkpoint.{key}={tmp_path / 'none'}")


def test_a_resume_folder_is_copied_once_and_the_old_one_left_alone(
    data: tuple[Path, Path], model: Path, tmp_path: Path
) -> None:
    shutil.copytree(model, tmp_path / "old/deep")
    # The state file of a run that really stood there.
    state = tmp_path / "old/deep/checkpoint"
    state.write_text(state.read_text().replace(str(model), str(tmp_path / "old/deep")))
    before = {path.name: path.read_bytes() for path in (tmp_path / "old/deep").iterdir()}
    folders = (f"checkpoint.resume_from_dir={tmp_path / 'old'}", f"checkpoint.resume_to_dir={tmp_path / 'new'}")
    assert run(data, tmp_path / "new/deep", 3, *folders).num_steps == 1
    assert {path.name: path.read_bytes() for path in (tmp_path / "old/deep").iterdir()} == before
    found = tf.train.get_checkpoint_state(str(tmp_path / "new/deep"))
    assert list(found.all_model_checkpoint_paths) == [str(tmp_path / f"new/deep/model.ckpt-{n}") for n in (2, 3)]
    assert run(data, tmp_path / "new/deep", 4, *folders).num_steps == 1


def test_a_resume_copy_that_was_cut_short_is_made_again(data: tuple[Path, Path], model: Path, tmp_path: Path) -> None:
    (tmp_path / "new").mkdir()
    (tmp_path / "new/.copy-is-not-whole").write_text("")
    (tmp_path / "new/model.ckpt-2.index").write_bytes(b"")
    folders = (f"checkpoint.resume_from_dir={model}", f"checkpoint.resume_to_dir={tmp_path / 'new'}")
    assert run(data, tmp_path / "new", 3, *folders).num_steps == 1


@pytest.mark.parametrize(
    ("source", "target", "message"),
    [("model", "elsewhere", "neither checkpoint.resume_to_dir"), ("none", ".", "there is no folder")],
)
def test_resume_folders_that_do_not_fit_are_refused(
    source: str, target: str, message: str, data: tuple[Path, Path], model: Path, tmp_path: Path
) -> None:
    source_folder = model if source == "model" else tmp_path / source
    with pytest.raises(ConfigError, match=message):
        run(
            data,
            tmp_path / "new",
            3,
            f"checkpoint.resume_from_dir={source_folder}",
            f"checkpoint.resume_to_dir={tmp_path / target}",
        )
