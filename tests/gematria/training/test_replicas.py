"""Several workers train what one would: shares add up to the batch, and two processes end with one's weights."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from gematria_ops.config import LossConfig, LossType, ModelConfig, RunnerConfig
from gematria_ops.encode.batching import BatchSchedule
from gematria_ops.encode.encoded_blocks import EncodedBlocks, encode_blocks
from gematria_ops.encode.graphs import GraphBuilder
from gematria_ops.encode.layouts import layout_of, training_options
from gematria_ops.encode.training_batches import TrainingBatches
from gematria_ops.models.factory import build_model
from gematria_ops.training.losses import batch_losses
from ops_common.errors import DataError
from ops_common.learning.checkpoints import latest_checkpoint, step_of
from tests.gematria.encode.block_examples import random_blocks, vocabulary
from tests.gematria.small_blocks import write_data

pytestmark = pytest.mark.tf

PROGRAM = Path(__file__).with_name("worker_program.py")
ROOT = Path(__file__).parents[3]
SEQUENCE = ("model.instruction_embedding_size=8", "model.block_embedding_size=8", "model.token_embedding_size=8")
GRAPH = (
    "model.kind=graph",
    "model.node_embedding_size=8",
    "model.edge_embedding_size=8",
    "model.global_embedding_size=8",
    "model.num_message_passing_iterations=2",
)
KINDS = pytest.mark.parametrize("kind", [SEQUENCE, GRAPH], ids=["sequence", "graph"])
TWO = ("distributed.num_replicas=2", "distributed.num_replicas_to_aggregate=2")


def encoded_blocks(num_blocks: int) -> EncodedBlocks:
    words = vocabulary("_UNKNOWN_")
    blocks = random_blocks(num_blocks, 2, seed=3, label_share=0.6)
    return encode_blocks(blocks, words, 2, graphs=GraphBuilder(words))


@KINDS
@pytest.mark.parametrize("seq2seq", [False, True])
@pytest.mark.parametrize("num_workers", [2, 3, 7])
def test_shares_add_up_to_the_batch(kind: tuple[str, ...], seq2seq: bool, num_workers: int) -> None:
    """With gaps in the labels; of seven workers with one block each, some have no label for a task."""
    encoded = encoded_blocks(7)
    overrides = [*kind, f"model.seq2seq={str(seq2seq).lower()}", 'input.source_filters=["a", "b"]']
    config = RunnerConfig.from_toml(None, overrides)
    model = build_model(config, encoded.vocabulary)
    loss = LossConfig(loss_type=LossType.MEAN_ABSOLUTE_ERROR)
    variables = list(model.variables_by_name().values())

    def gradients(rank: int, num: int) -> list[np.ndarray]:
        schedule = BatchSchedule(encoded.block_sizes, 7, seed=1)
        options = training_options(config)
        batch = TrainingBatches(encoded, schedule, layout_of(config.model), options, 1, rank, num).batch(0)
        with tf.GradientTape() as tape:
            losses = batch_losses(model(batch.inputs), batch.inputs, batch.targets, loss)
        found = tape.gradient(losses.loss, variables, unconnected_gradients=tf.UnconnectedGradients.ZERO)
        return [tf.convert_to_tensor(value).numpy() for value in (losses.loss, losses.task_losses, *found)]

    whole = gradients(0, 1)
    parts = [gradients(rank, num_workers) for rank in range(num_workers)]
    for wanted, *found in zip(whole, *parts, strict=True):
        np.testing.assert_allclose(np.sum(found, axis=0), wanted, rtol=1e-4, atol=1e-6)


def test_a_batch_that_is_too_small_for_the_workers_is_named() -> None:
    encoded = encoded_blocks(3)
    config = RunnerConfig()
    schedule, options = BatchSchedule(encoded.block_sizes, 2, seed=1), training_options(config)
    batches = TrainingBatches(encoded, schedule, layout_of(ModelConfig()), options, 1, 2, 3)
    with pytest.raises(DataError, match="the batch of step 5 has 2 blocks for 3 workers"):
        batches.block_indices(5)
        batches._share(5)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return write_data(tmp_path_factory.mktemp("data"), 60)


def settings(data: tuple[Path, Path], *more: str) -> list[str]:
    return [
        f"input.files={data[0]}",
        f"tokens.file={data[1]}",
        'input.source_filters=["test: one", "test: two"]',
        "batch.max_blocks=15",
        "optimizer.learning_rate=0.01",
        "loss.loss_type=MEAN_ABSOLUTE_ERROR",
        "loss.loss_normalization=PERCENTAGE_ERROR",
        *more,
    ]


def environments(num_workers: int) -> list[dict[str, str]]:
    """What each worker finds in its environment: a cluster on free ports of this machine."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(num_workers)]
        for free in sockets:
            free.bind(("127.0.0.1", 0))
        addresses = [f"127.0.0.1:{free.getsockname()[1]}" for free in sockets]
    base = {**os.environ, "PYTHONPATH": str(ROOT), "TF_CPP_MIN_LOG_LEVEL": "2"}
    tasks = [{"type": "worker", "index": rank} for rank in range(num_workers)]
    cluster = {"worker": addresses}
    return [{**base, "TF_CONFIG": json.dumps({"cluster": cluster, "task": task})} for task in tasks]


@contextmanager
def workers(commands: list[list[str]]) -> Iterator[list[subprocess.Popen[str]]]:
    with ExitStack() as stack:
        started = [
            stack.enter_context(subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True))
            for command, environment in zip(commands, environments(len(commands)), strict=True)
        ]
        try:
            yield started
        finally:
            for process in started:
                process.kill()


def ranked(*overrides: str) -> list[list[str]]:
    """Returns the overrides of each of two workers."""
    return [[*overrides, *TWO, f"distributed.task_index={rank}"] for rank in (0, 1)]


@KINDS
@pytest.mark.slow
def test_two_processes_train_what_one_does(kind: tuple[str, ...], data: tuple[Path, Path], tmp_path: Path) -> None:
    overrides = settings(data, *kind, "num_steps=12")
    program = [sys.executable, str(PROGRAM)]
    command = [*program, str(tmp_path / "alone.npz"), *overrides]
    subprocess.run(command, check=True, cwd=ROOT, env=environment_of_one())
    commands = [[*program, str(tmp_path / f"{rank}.npz"), *own] for rank, own in enumerate(ranked(*overrides))]
    with workers(commands) as started:
        errors = [process.communicate(timeout=300)[1] for process in started]
    assert [process.returncode for process in started] == [0, 0], errors
    wanted, first, second = (dict(np.load(tmp_path / f"{name}.npz")) for name in ("alone", "0", "1"))
    assert wanted.keys() == first.keys() == second.keys()
    for name, value in wanted.items():
        assert np.array_equal(first[name], second[name]), name  # bit for bit
        np.testing.assert_allclose(first[name], value, atol=1e-5, err_msg=name)
    assert int(wanted["global_step"]) == 12


def environment_of_one() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT), "TF_CPP_MIN_LOG_LEVEL": "2", "TF_CONFIG": ""}


def flags_of(data: tuple[Path, Path], folder: Path, rank: int) -> list[str]:
    return [
        sys.executable,
        "-m",
        "gematria_ops.run_sequence_model",
        f"--gematria_input_file={data[0]}",
        f"--gematria_tokens_file={data[1]}",
        f"--gematria_checkpoint_dir={folder}",
        "--gematria_training_num_epochs=0",
        "--gematria_max_blocks_in_batch=15",
        "--gematria_instruction_embedding_size=8",
        "--gematria_block_embedding_size=8",
        "--gematria_num_training_worker_replicas=2",
        "--gematria_num_training_worker_replicas_to_aggregate=2",
        f"--gematria_training_task={rank}",
    ]


def read_until(process: subprocess.Popen[str], pattern: str) -> list[str]:
    assert process.stderr is not None
    lines = []
    for line in process.stderr:
        lines.append(line)
        if re.search(pattern, line):
            return lines
    raise AssertionError(f"ended without {pattern!r}:\n{''.join(lines)}")


@pytest.mark.slow
def test_a_signal_to_any_worker_stops_all_with_a_checkpoint(data: tuple[Path, Path], tmp_path: Path) -> None:
    with workers([flags_of(data, tmp_path, rank) for rank in (0, 1)]) as started:
        read_until(started[1], "Training: epoch")
        started[1].send_signal(signal.SIGTERM)
        errors = [process.communicate(timeout=300)[1] for process in started]
    assert started[1].returncode == 143, errors[1]
    assert started[0].returncode == 130, errors[0]
    newest = latest_checkpoint(tmp_path)
    assert newest is not None
    assert f"stopped by SIGTERM at step {step_of(newest)}" in errors[1]
    assert f"stopped by request at step {step_of(newest)}" in errors[0]


@pytest.mark.slow
def test_a_worker_that_dies_ends_the_others_with_a_message(data: tuple[Path, Path], tmp_path: Path) -> None:
    with workers([flags_of(data, tmp_path, rank) for rank in (0, 1)]) as started:
        read_until(started[0], "Training: epoch")
        started[1].kill()
        error = started[0].communicate(timeout=300)[1]
    assert started[0].returncode == 5, error
    assert "worker 0 of 2 has lost another one" in error
    assert "Traceback" not in error
