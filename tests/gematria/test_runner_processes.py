"""Trainer and evaluator as two processes of one machine, and what a training begins from, for both programs."""

import json
import re
import shutil
import signal
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from ops_common.learning.checkpoints import latest_checkpoint
from tests.gematria.event_files import read_scalars
from tests.gematria.runner_programs import PROGRAMS, command, read_until, run, start
from tests.gematria.small_blocks import write_data

pytestmark = [pytest.mark.tf, pytest.mark.slow]

NUM_STEPS = 40


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return write_data(tmp_path_factory.mktemp("data"), 60)


def steps_kept(folder: Path) -> list[int]:
    state = tf.train.get_checkpoint_state(str(folder))
    return [int(path.rpartition("-")[2]) for path in state.all_model_checkpoint_paths]


def weights(prefix: Path) -> dict[str, np.ndarray]:
    reader = tf.train.load_checkpoint(str(prefix))
    return {name: reader.get_tensor(name) for name in reader.get_variable_to_shape_map()}


@pytest.mark.parametrize("program", PROGRAMS)
def test_an_evaluator_beside_a_trainer(program: str, data: tuple[Path, Path], tmp_path: Path) -> None:
    folder, summaries = tmp_path / "model", tmp_path / "eval"
    common = (f"--gematria_checkpoint_dir={folder}", "--gematria_seq2seq")
    evaluator = command(
        program,
        data,
        *common,
        "--gematria_action=eval",
        f"--gematria_summary_dir={summaries}",
        "--gematria_eval_interval_secs=0",
        "--gematria_eval_max_evaluations=2",
    )
    trainer = command(
        program, data, *common, f"--gematria_training_num_epochs={NUM_STEPS}", "--gematria_save_checkpoint_epochs=1"
    )
    with start(evaluator) as evaluating:
        told = read_until(evaluating.stderr, "waiting for checkpoints in")
        trained = run(trainer)
        assert trained.returncode == 0, trained.stderr
        # It has seen one of the trainer's checkpoints, or several; a further one makes two of them at least.
        told += read_until(evaluating.stderr, r"Evaluation: epoch: \d+,")
        further = [*trainer, f"--gematria_training_num_epochs={NUM_STEPS + 1}"]
        assert run(further).returncode == 0
        told += evaluating.communicate()[1]
    assert evaluating.returncode == 0, told
    assert "2 checkpoints evaluated" in told
    assert "Traceback" not in told

    scalars = read_scalars(summaries)
    steps = [step for step, _ in scalars["overall_loss"]]
    assert len(steps) == 2
    assert steps == sorted(steps)
    assert set(steps) <= set(range(1, NUM_STEPS + 2))
    assert [int(step) for step in re.findall(r"Evaluation: epoch: (\d+),", told)] == steps
    for name in ("learning_rate", "relative_mae_default", "absolute_mae_deltas_default", "spearman_default"):
        assert [step for step, _ in scalars[name]] == steps
    # The first is the best so far, the second if its error is smaller.
    first, second = (error for _, error in scalars["relative_mae_default"])
    assert steps_kept(summaries / "best_models") == (steps if second < first else steps[:1])
    best = weights(summaries / f"best_models/best_models-{steps[0]}")
    trained_then = weights(folder / f"model.ckpt-{steps[0]}")
    assert all(np.array_equal(trained_then[name], value) for name, value in best.items())


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_waiting_evaluator_leaves_cleanly(
    number: signal.Signals, code: int, data: tuple[Path, Path], tmp_path: Path
) -> None:
    flags = ("--gematria_action=eval", f"--gematria_checkpoint_dir={tmp_path}", f"--gematria_summary_dir={tmp_path}/s")
    with start(command("run_granite_model", data, *flags)) as process:
        read_until(process.stderr, "waiting for checkpoints in")
        process.send_signal(number)
        told = process.communicate()[1]
    assert process.returncode == code
    assert f"evaluation stopped by {number.name} after 0 evaluations" in told
    assert "Traceback" not in told


@pytest.mark.parametrize("program", PROGRAMS)
def test_the_whole_file_is_evaluated_once(program: str, data: tuple[Path, Path], tmp_path: Path) -> None:
    flags = (f"--gematria_checkpoint_dir={tmp_path / 'model'}", "--gematria_training_num_epochs=2")
    whole = command(program, data, *flags, "--gematria_action=eval", "--gematria_eval_whole_file")
    early = run(whole)
    assert early.returncode == 4
    assert re.search(r"there is no checkpoint in .*model yet", early.stderr)
    assert "Traceback" not in early.stderr
    assert run(command(program, data, *flags)).returncode == 0
    finished = run(whole)
    assert finished.returncode == 0, finished.stderr
    assert "model.ckpt-2, global step 2: 60 blocks" in finished.stdout
    assert "task default: 60 blocks judged" in finished.stdout
    assert re.search(r"MAPE, percent +[\d.]+\n", finished.stdout)


def test_a_killed_graph_training_resumes_to_the_same_weights(data: tuple[Path, Path], tmp_path: Path) -> None:
    def training(name: str, num_steps: int, *flags: str) -> list[str]:
        folder = f"--gematria_checkpoint_dir={tmp_path / name}"
        return command("run_granite_model", data, folder, f"--gematria_training_num_epochs={num_steps}", *flags)

    saves = ("--gematria_save_checkpoint_epochs=7", "--gematria_save_summaries_epochs=20")
    with start(training("parts", 0, *saves)) as process:
        read_until(process.stderr, r"Training: epoch: 20,")
        process.send_signal(signal.SIGKILL)
        process.communicate()
    newest = latest_checkpoint(tmp_path / "parts")
    assert newest is not None
    end = int(newest.name.rpartition("-")[2]) + 5
    assert end >= 14 + 5
    assert run(training("parts", end)).returncode == run(training("whole", end)).returncode == 0
    parts, whole = weights(tmp_path / f"parts/model.ckpt-{end}"), weights(tmp_path / f"whole/model.ckpt-{end}")
    assert parts.keys() == whole.keys()
    assert [name for name in whole if not np.array_equal(parts[name], whole[name])] == []


def test_a_graph_training_starts_warm_or_from_a_copied_folder(data: tuple[Path, Path], tmp_path: Path) -> None:
    def training(folder: Path, num_steps: int, *flags: str) -> list[str]:
        settings = (f"--gematria_checkpoint_dir={folder}", f"--gematria_training_num_epochs={num_steps}")
        return command("run_granite_model", data, *settings, *flags)

    assert run(training(tmp_path / "old/model", 2)).returncode == 0
    before = {path.name: path.read_bytes() for path in (tmp_path / "old/model").iterdir()}

    warm = training(
        tmp_path / "warm",
        1,
        f"--gematria_warmstart_checkpoint_dir={tmp_path / 'old/model'}",
        "--gematria_learning_rate=0",
        "--gematria_readout_layers=6",
    )
    assert run(warm).returncode == 0
    report = json.loads((tmp_path / "warm/warm_start.json").read_text())
    assert report["checkpoint"] == str(tmp_path / "old/model/model.ckpt-2")
    old, new = weights(tmp_path / "old/model/model.ckpt-2"), weights(tmp_path / "warm/model.ckpt-1")
    assert len(report["loaded"]) > 3
    assert report["kept_fresh"]
    # With a rate of 0 the weights are those that the training began with.
    assert [name for name in report["loaded"] if not np.array_equal(old[name], new[name])] == []
    shapes = {name: f"shape {[*old[name].shape]} in it, {[*new[name].shape]} here" for name in report["kept_fresh"]}
    assert [name for name, shape in shapes.items() if shape not in report["kept_fresh"][name]] == []

    folders = (f"--gematria_resume_from_dir={tmp_path / 'old'}", f"--gematria_resume_to_dir={tmp_path / 'new'}")
    resumed = run(training(tmp_path / "new/model", 3, *folders))
    assert "global step 3 after 1 steps" in resumed.stderr
    assert {path.name: path.read_bytes() for path in (tmp_path / "old/model").iterdir()} == before
    shutil.rmtree(tmp_path / "old")
    assert "global step 4 after 1 steps" in run(training(tmp_path / "new/model", 4, *folders)).stderr
