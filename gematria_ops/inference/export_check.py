"""How far an exported model is from the model that it was made from, on real blocks."""

from __future__ import annotations

import itertools
import logging
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from gematria_ops.data.dataset import read_blocks
from gematria_ops.encode.encoded_blocks import EncodedBlocks, encode_blocks
from gematria_ops.encode.flat_feeds import Feed, make_feed
from gematria_ops.encode.layouts import graph_builder
from gematria_ops.encode.tries import Int64
from gematria_ops.inference.predictor import Predictions, Predictor
from gematria_ops.models.exported_graph import OUTPUT, OUTPUT_DELTAS
from gematria_ops.models.exported_runs import Run
from gematria_ops.models.factory import ThroughputModel
from ops_common.errors import DataError, GateError

logger = logging.getLogger(__name__)

MAX_RELATIVE_DIFFERENCE = 1e-4
# Blocks that are given to an exported model together.
BLOCKS_IN_BATCH = 50
# Below this many cycles, a difference counts as if the answer were this large.
_SMALLEST_CYCLES = 1e-2


@dataclass(frozen=True, slots=True)
class FormatCheck:
    """How far a format's answers are from the model's.

    Attributes:
        num_blocks: Blocks that both answered for.
        max_relative_difference: Largest difference over all blocks and tasks, relative to the model's answer. What an
            instruction adds is taken relative to its block's answer, where that is larger.
        mean_relative_difference: The mean, likewise.
    """

    num_blocks: int
    max_relative_difference: float
    mean_relative_difference: float


def encode_first(predictor: Predictor, blocks_file: Path, num_blocks: int) -> EncodedBlocks:
    """Reads the first blocks of a TFRecord file that a model can predict.

    Raises:
        DataError: The file cannot be read, or there is no such block among them.
    """
    graphs = graph_builder(predictor.model.config, predictor.vocabulary, predictor.model.annotation_names)
    blocks = itertools.islice(read_blocks((str(blocks_file),)), num_blocks)
    encoded = encode_blocks(blocks, predictor.vocabulary, drop_invalid_blocks=True, graphs=graphs)
    for reason, count in encoded.dropped.items():
        logger.warning("%d blocks of %s are not compared: %s", count, blocks_file, reason)
    if not encoded.num_blocks:
        raise DataError(
            f"{blocks_file} holds no block, among the first {num_blocks}, that the model can predict",
            "give blocks of the data set that it was trained on",
        )
    return encoded


def compare(run: Run, encoded: EncodedBlocks, expected: Predictions, model: ThroughputModel) -> FormatCheck:
    """Runs an exported model on blocks and compares.

    Args:
        run: The exported model.
        encoded: The blocks.
        expected: What the model itself answers for them.
        model: The model.
    """
    differences = []
    for indices, feed in _feeds(encoded, model):
        answers = run(feed)
        scale = np.maximum(np.abs(expected.output[indices]), _SMALLEST_CYCLES)  # [B, K]
        differences.append(np.abs(np.asarray(answers[OUTPUT], np.float32) - expected.output[indices]) / scale)
        if expected.deltas is not None:
            first, last = encoded.block_splits[indices[0]], encoded.block_splits[indices[-1] + 1]
            deltas = expected.deltas[first:last]
            scale = np.maximum(np.abs(deltas), np.repeat(scale, encoded.block_sizes[indices], axis=0))
            differences.append(np.abs(np.asarray(answers[OUTPUT_DELTAS], np.float32) - deltas) / scale)
    flat = np.concatenate([part.ravel() for part in differences])
    # A comparison with NaN has to fail.
    largest, mean = (float(np.nan_to_num(value, nan=np.inf)) for value in (flat.max(), flat.mean()))
    return FormatCheck(encoded.num_blocks, largest, mean)


def _feeds(encoded: EncodedBlocks, model: ThroughputModel) -> Iterator[tuple[Int64, Feed]]:
    for start in range(0, encoded.num_blocks, BLOCKS_IN_BATCH):
        indices = np.arange(start, min(start + BLOCKS_IN_BATCH, encoded.num_blocks))
        yield indices, make_feed(encoded, indices, model.config, model.annotation_names)


def judge(name: str, check: FormatCheck, *, has_limit: bool) -> None:
    """Says how far a format is off.

    Raises:
        GateError: It has a limit and is beyond it.
    """
    difference = check.max_relative_difference
    logger.info("%s: largest relative difference %.2g on %d blocks", name, difference, check.num_blocks)
    if has_limit and not difference <= MAX_RELATIVE_DIFFERENCE:
        raise GateError(
            f"the exported {name} answers otherwise than the model: its largest relative difference on "
            f"{check.num_blocks} blocks is {difference:.2g}, the limit is {MAX_RELATIVE_DIFFERENCE:g}",
            "do not use this format for this model; leave it out of the formats",
        )
