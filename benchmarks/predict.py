"""Prediction with the hierarchical LSTM beside a plain Keras loop over every token: blocks a second, and CPU time.

Sizes 256/256/256, three tasks. Ours is the whole way that a file takes, from protocol buffer messages to messages with
predictions; the reference finds its tokens already looked up. Blocks as in ``train_step``. Target: ten times the
reference's 300 blocks a second.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from benchmarks.harness import told_by_command_line, write_result
from benchmarks.train_step import (
    SOURCES,
    ReferenceModel,
    compared,
    import_sample,
    load_blocks,
    run_child,
    timed,
    vocabulary_of,
)

# (batch size, blocks, batches of ours, batches of the reference)
RUNS = ((100, "short", 100, 15), (1000, "short", 20, 4), (1000, "all", 20, 2))


def main(argv: Sequence[str] | None = None) -> dict[str, Any]:
    """Measure and write the result."""
    measured, output = told_by_command_line(__doc__, measure, argv)
    if measured is not None:
        return measured
    values: dict[str, Any] = {"target_ratio": 10.0}
    with tempfile.TemporaryDirectory() as folder:
        import_sample(Path(folder))
        for batch_size, blocks, our_steps, reference_steps in RUNS:
            plan = {"dataset_dir": folder, "batch_size": batch_size, "blocks": blocks}
            ours = run_child("benchmarks.predict", {**plan, "which": "ours", "num_steps": our_steps})
            reference = run_child("benchmarks.predict", {**plan, "which": "reference", "num_steps": reference_steps})
            values[f"{blocks}_blocks_batch_{batch_size}"] = compared(ours, reference)
    write_result("predict", values, output)
    return values


def measure(which: str, dataset_dir: str, batch_size: int, blocks: str, num_steps: int) -> dict[str, Any]:
    """Predicts some batches and tells what they took; runs in a child process."""
    found = load_blocks(Path(dataset_dir), blocks)
    make = our_prediction if which == "ours" else reference_prediction
    step = make(found, batch_size)
    sizes = [len(block.basic_block.canonicalized_instructions) for block in found]
    return {**timed(step, batch_size, num_steps), "mean_instructions_per_block": sum(sizes) / len(sizes)}


def our_prediction(blocks: list[Any], batch_size: int) -> Callable[[int], object]:
    """Builds our predictor; a call predicts one batch of messages."""
    from gematria_ops.config import ModelConfig
    from gematria_ops.formats.protos.throughput_pb2 import BasicBlockWithThroughputProto
    from gematria_ops.inference.predictor import Predictor
    from gematria_ops.models.ithemal import Ithemal
    from gematria_ops.models.threads import use_one_thread_per_operation

    use_one_thread_per_operation()
    vocabulary = vocabulary_of(blocks)
    predictor = Predictor(Ithemal(ModelConfig(), len(vocabulary), SOURCES, seed=1), vocabulary)
    records = [block.SerializeToString() for block in blocks]

    def predict(index: int) -> int:
        start = index * batch_size
        wanted = (records[(start + offset) % len(records)] for offset in range(batch_size))
        protos = map(BasicBlockWithThroughputProto.FromString, wanted)
        return sum(len(proto.SerializeToString()) for proto in predictor.predict_protos(protos, batch_size))

    return predict


def reference_prediction(blocks: list[Any], batch_size: int) -> Callable[[int], object]:
    """Builds the plain model; a call predicts one batch."""
    model = ReferenceModel(blocks)

    def predict(index: int) -> Any:
        start = index * batch_size
        indices = [(start + offset) % len(blocks) for offset in range(batch_size)]
        return model.compiled(*model.inputs(indices)).numpy()

    return predict


if __name__ == "__main__":
    main()
