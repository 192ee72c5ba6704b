"""The runner as a program: the command of the training guide, interrupted, killed, resumed, and its predictions."""

import re
import signal
import sys
from pathlib import Path

import numpy as np
import pytest

from gematria_ops.data.dataset import read_blocks
from ops_common.learning.checkpoints import latest_checkpoint, step_of
from tests.gematria.programs import run, stop_when_logged, weights
from tests.gematria.small_blocks import make_protos, write_data

pytestmark = [pytest.mark.tf, pytest.mark.slow]

BUDGET = 240


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return write_data(tmp_path_factory.mktemp("data"), 300)


def guide_command(data: tuple[Path, Path], folder: Path) -> list[str]:
    """Return the example of "Training Gematria models", flag for flag; only paths and the source are those of here."""
    return [
        sys.executable,
        "-m",
        "gematria_ops.run_sequence_model",
        "--gematria_action=train",
        "--gematria_tokens_file",
        str(data[1]),
        "--gematria_input_file",
        str(data[0]),
        "--gematria_throughput_source_filter=test: one",
        "--gematria_training_num_epochs=0",
        "--gematria_learning_rate=0.01",
        "--gematria_loss_type=MEAN_ABSOLUTE_ERROR",
        "--gematria_loss_normalization=PERCENTAGE_ERROR",
        "--gematria_max_blocks_in_batch=100",
        f"--gematria_checkpoint_dir={folder}",
    ]


def interrupt(command: list[str], folder: Path) -> int:
    """Start it without a budget and interrupt it; return the step that it saved."""
    exit_code, told = stop_when_logged(command, r"Training: epoch: 1,", signal.SIGINT)
    assert exit_code == 130
    stopped = re.search(r"training stopped by SIGINT at step (\d+); the checkpoint of step \1 is written", told)
    assert stopped is not None
    assert "Traceback" not in told
    assert latest_checkpoint(folder) == folder / f"model.ckpt-{stopped[1]}"
    return int(stopped[1])


def kill(command: list[str], folder: Path, first_step: int) -> int:
    """Start it again and kill it without a chance to save; return the step that had been saved before."""
    saves_often = [*command, "--gematria_save_checkpoint_epochs=10"]
    exit_code, told = stop_when_logged(saves_often, r"Training: epoch: 100,", signal.SIGKILL)
    assert exit_code == -signal.SIGKILL
    assert f"global step {first_step}" in told
    newest = latest_checkpoint(folder)
    assert newest is not None
    assert first_step < step_of(newest) < BUDGET
    return step_of(newest)


def check_predictions(output: Path) -> None:
    """Every block is there, in order, with one throughput more, which is not far off."""
    errors = []
    for original, predicted in zip(make_protos(300), read_blocks(output), strict=True):
        assert predicted.basic_block == original.basic_block
        *others, added = predicted.inverse_throughputs
        assert others == list(original.inverse_throughputs)
        assert added.source.startswith("HierarchicalLSTM: ")
        assert added.source.endswith(", task=default")
        label = original.inverse_throughputs[0].inverse_throughput_cycles[0]
        errors.append(abs(added.inverse_throughput_cycles[0] - label) / label)
    assert np.mean(errors) < 0.5


def test_the_guides_command_trains_is_interrupted_killed_resumes_and_predicts(
    data: tuple[Path, Path], tmp_path: Path
) -> None:
    model, output = tmp_path / "model", tmp_path / "predicted.tfrecord"
    command = guide_command(data, model)
    first_step = interrupt(command, model)
    saved_step = kill(command, model, first_step)

    # With a budget, counted from the very first step, it goes on to the end: as if nothing had happened.
    budget = f"--gematria_training_num_epochs={BUDGET}"
    resumed, alone = run([*command, budget]), run([*guide_command(data, tmp_path / "alone"), budget])
    assert (resumed.returncode, alone.returncode) == (0, 0), resumed.stderr + alone.stderr
    assert f"global step {BUDGET} after {BUDGET - saved_step} steps" in resumed.stderr
    kept, expected = weights(model), weights(tmp_path / "alone")
    assert kept["global_step"] == BUDGET
    assert {"token_embedding/table", "token_embedding/table/Adam", "token_embedding/table/Adam_1"} <= kept.keys()
    assert kept.keys() == expected.keys()
    assert [name for name in kept if not np.array_equal(kept[name], expected[name])] == []

    checkpoint = f"--gematria_checkpoint_file={model / f'model.ckpt-{BUDGET}'}"
    predict = [*command, "--gematria_action=predict", checkpoint, f"--gematria_output_file={output}"]
    finished = run(predict)
    assert finished.returncode == 0, finished.stderr
    assert "300 of 300 blocks predicted" in finished.stderr
    check_predictions(output)

    # A mistake that only the checkpoint can tell: one message, no traceback, the code of a wrong setting.
    refused = run([*predict, "--gematria_block_embedding_size=128"])
    assert refused.returncode == 3
    assert "belongs to another model: model.block_embedding_size was 256, now 128" in refused.stderr
    assert "Traceback" not in refused.stderr


def test_data_that_is_not_there_ends_with_one_message_and_code_4(data: tuple[Path, Path], tmp_path: Path) -> None:
    command = guide_command((tmp_path / "none.tfrecord", data[1]), tmp_path)
    finished = run(command)
    assert finished.returncode == 4
    assert "none.tfrecord does not exist" in finished.stderr
    assert "Traceback" not in finished.stderr
