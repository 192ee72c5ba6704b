"""Training steps of the hierarchical LSTM beside a plain Keras loop over every token: blocks a second, CPU time, start.

Sizes 256/256/256, three tasks, Adam, batches drawn from the committed BHive sample. Two selections of its blocks:
"short" has those of up to 16 instructions, about 4.5 on average; "all" has the long ones too (up to 230), for which a
padded loop pays most. Each measurement runs in a process of its own. Targets: five times the reference's 450 blocks a
second at 100 blocks a batch, and 200 at 1,000; less than 15 seconds to the first step.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from benchmarks.harness import ROOT, told_by_command_line, write_result

SOURCES = ("ivb", "hsw", "skl")
MAX_SHORT_BLOCK = 16
SIZE = 256
NUM_WARM_UP_STEPS = 5

# (batch size, blocks, steps of ours, steps of the reference)
RUNS = ((100, "short", 100, 15), (1000, "short", 20, 4), (100, "all", 60, 4))


def main(argv: Sequence[str] | None = None) -> dict[str, Any]:
    """Measure and write the result."""
    measured, output = told_by_command_line(__doc__, measure, argv)
    if measured is not None:
        return measured
    values: dict[str, Any] = {"target_ratio": 5.0, "target_start_seconds": 15.0}
    with tempfile.TemporaryDirectory() as folder:
        import_sample(Path(folder))
        for batch_size, blocks, our_steps, reference_steps in RUNS:
            plan = {"dataset_dir": folder, "batch_size": batch_size, "blocks": blocks}
            ours = run_child("benchmarks.train_step", {**plan, "which": "ours", "num_steps": our_steps})
            reference = run_child("benchmarks.train_step", {**plan, "which": "reference", "num_steps": reference_steps})
            values[f"{blocks}_blocks_batch_{batch_size}"] = compared(ours, reference)
    write_result("train_step", values, output)
    return values


def import_sample(folder: Path) -> None:
    """Imports the committed sample of three microarchitectures."""
    from gematria_ops.data.merging import import_and_merge

    files = [ROOT / "tests" / "data" / "bhive" / f"sample_{source}.csv" for source in SOURCES]
    import_and_merge(files, [f"bhive: {source}" for source in SOURCES], folder, validation_percent=0, test_percent=0)


def compared(ours: dict[str, Any], reference: dict[str, Any]) -> dict[str, Any]:
    """Puts two measurements side by side, with their ratios."""
    return {
        "ours": ours,
        "reference": reference,
        "ratio_blocks_per_second": round(ours["blocks_per_second"] / reference["blocks_per_second"], 2),
        "ratio_cpu_seconds": round(reference["cpu_seconds_per_1000_blocks"] / ours["cpu_seconds_per_1000_blocks"], 2),
    }


def run_child(module: str, plan: dict[str, Any]) -> dict[str, Any]:
    """Measures in a fresh process; adds the seconds from its start to its first result."""
    started = time.time()
    command = [sys.executable, "-m", module, "--measure", json.dumps(plan)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{done.stderr}\n{plan} failed")
    measured: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    measured["start_to_first_result_seconds"] = round(measured.pop("first_result_at") - started, 2)
    return measured


def measure(which: str, dataset_dir: str, batch_size: int, blocks: str, num_steps: int) -> dict[str, Any]:
    """Trains some steps and tells what they took; runs in a child process."""
    make = our_step if which == "ours" else reference_step
    step, mean_instructions = make(load_blocks(Path(dataset_dir), blocks), batch_size)
    return {**timed(step, batch_size, num_steps), "mean_instructions_per_block": mean_instructions}


def timed(step: Callable[[int], object], batch_size: int, num_steps: int) -> dict[str, Any]:
    """Calls a step again and again; tells rate and processor time without the first calls."""
    step(0)
    first_result_at = time.time()
    for index in range(1, NUM_WARM_UP_STEPS):
        step(index)
    wall, cpu = time.perf_counter(), time.process_time()
    for index in range(NUM_WARM_UP_STEPS, NUM_WARM_UP_STEPS + num_steps):
        step(index)
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    num_blocks = batch_size * num_steps
    return {
        "first_result_at": first_result_at,
        "num_steps": num_steps,
        "blocks_per_second": round(num_blocks / wall, 1),
        "cpu_seconds_per_1000_blocks": round(1000 * cpu / num_blocks, 4),
    }


def load_blocks(dataset_dir: Path, blocks: str) -> list[Any]:
    """Reads the sample: messages with one throughput a task."""
    from gematria_ops.data.dataset import read_labelled_blocks

    filters = [f"bhive: {source}" for source in SOURCES]
    found = read_labelled_blocks([str(dataset_dir / "train.tfrecord")], filters)
    limit = MAX_SHORT_BLOCK if blocks == "short" else sys.maxsize
    return [block for block in found if len(block.basic_block.canonicalized_instructions) <= limit]


def our_step(blocks: list[Any], batch_size: int) -> tuple[Callable[[int], object], float]:
    """Builds our training step; a call makes a batch and does one update."""
    from gematria_ops.config import LossConfig, ModelConfig, OptimizerConfig
    from gematria_ops.encode.batch import BatchOptions
    from gematria_ops.encode.batching import BatchSchedule
    from gematria_ops.encode.encoded_blocks import encode_blocks
    from gematria_ops.encode.layouts import SEQUENCES
    from gematria_ops.encode.training_batches import TrainingBatches
    from gematria_ops.models.ithemal import Ithemal
    from gematria_ops.models.threads import use_one_thread_per_operation
    from gematria_ops.training.optimizers import Optimizer
    from gematria_ops.training.step import TrainStep

    use_one_thread_per_operation()
    encoded = encode_blocks(blocks, vocabulary_of(blocks), len(SOURCES))
    model = Ithemal(ModelConfig(), len(encoded.vocabulary), SOURCES, seed=1)
    step = TrainStep(model, LossConfig(), Optimizer(OptimizerConfig(), model.variables_by_name()))
    schedule = BatchSchedule(encoded.block_sizes, batch_size, 1_000_000, seed=1)
    batches = TrainingBatches(encoded, schedule, SEQUENCES, BatchOptions(), seed=1)
    return lambda index: step(batches.batch(index)).loss, float(encoded.block_sizes.mean())


def vocabulary_of(blocks: list[Any]) -> Any:
    """Collects the tokens of the blocks."""
    from gematria_ops.blocks.vocabulary import Vocabulary

    return Vocabulary(token for block in token_strings(blocks) for row in block for token in row)


def token_strings(blocks: list[Any]) -> list[list[tuple[str, ...]]]:
    """Returns the tokens of each instruction of each block."""
    from gematria_ops.blocks.tokens import instruction_tokens
    from gematria_ops.formats.proto_codec import instruction_from_proto

    return [
        [instruction_tokens(instruction_from_proto(item)) for item in block.basic_block.canonicalized_instructions]
        for block in blocks
    ]


class ReferenceModel:
    """The same network out of Keras layers: every token of every instruction, padded to the longest, with masks.

    Args:
        blocks: Messages with one throughput a task.
    """

    def __init__(self, blocks: list[Any]) -> None:
        import numpy as np
        import tensorflow as tf

        self.tf, self.np = tf, np
        vocabulary = vocabulary_of(blocks)
        self.tokens = [[vocabulary.indices(row) for row in block] for block in token_strings(blocks)]
        self.labels = np.array(
            [[entry.inverse_throughput_cycles[0] if entry.inverse_throughput_cycles else -1.0
              for entry in block.inverse_throughputs] for block in blocks], np.float32
        )  # fmt: skip
        layers = tf.keras.layers
        self.embedding = layers.Embedding(len(vocabulary), SIZE)
        self.token_lstm = layers.LSTM(SIZE // 2, return_state=True)
        self.block_lstm = layers.LSTM(SIZE // 2, return_state=True)
        self.heads = [layers.Dense(1, use_bias=False) for _ in SOURCES]
        self.compiled = tf.function(self.forward, reduce_retracing=True)

    def inputs(self, indices: Any) -> tuple[Any, Any, Any]:
        """Gathers all tokens, tokens an instruction, and instructions a block."""
        rows = [row for index in indices for row in self.tokens[index]]
        return (
            self.np.array([token for row in rows for token in row], self.np.int32),
            self.np.array([len(row) for row in rows], self.np.int32),
            self.np.array([len(self.tokens[index]) for index in indices], self.np.int32),
        )

    def forward(self, tokens: Any, tokens_per_instruction: Any, instructions_per_block: Any) -> Any:
        """Predicts: [B, K]."""
        tf = self.tf
        rows = tf.RaggedTensor.from_row_lengths(self.embedding(tokens), tokens_per_instruction)
        _, h, c = self.token_lstm(rows.to_tensor(), mask=tf.sequence_mask(tokens_per_instruction))
        blocks = tf.RaggedTensor.from_row_lengths(tf.concat([h, c], axis=1), instructions_per_block)
        _, h, c = self.block_lstm(blocks.to_tensor(), mask=tf.sequence_mask(instructions_per_block))
        features = tf.concat([h, c], axis=1)
        return tf.concat([head(features) for head in self.heads], axis=1)


def reference_step(blocks: list[Any], batch_size: int) -> tuple[Callable[[int], object], float]:
    """Builds the plain training step; a call makes a batch and does one update."""
    model = ReferenceModel(blocks)
    tf, np = model.tf, model.np
    optimizer = tf.keras.optimizers.Adam(0.001, epsilon=1e-8)

    @tf.function(reduce_retracing=True)  # type: ignore[untyped-decorator]
    def update(inputs: Any, expected: Any) -> Any:
        with tf.GradientTape() as tape:
            mask = tf.cast(expected >= 0, tf.float32)
            errors = tf.square(model.forward(*inputs) - expected) * mask
            loss = tf.reduce_mean(tf.reduce_sum(errors, axis=0) / tf.maximum(tf.reduce_sum(mask, axis=0), 1.0))
        layers = [model.embedding, model.token_lstm, model.block_lstm, *model.heads]
        variables = [variable for layer in layers for variable in layer.trainable_weights]
        optimizer.apply_gradients(zip(tape.gradient(loss, variables), variables, strict=True))
        return loss

    def step(index: int) -> float:
        indices = np.random.default_rng(index).choice(len(blocks), batch_size, replace=False)
        return float(update(model.inputs(indices), model.labels[indices]))

    return step, float(np.mean([len(block) for block in model.tokens]))


if __name__ == "__main__":
    main()
