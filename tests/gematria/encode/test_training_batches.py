"""The batch of a step is a pure function: whatever was asked before, and of usually one shape."""

import numpy as np
from numpy.testing import assert_array_equal

from gematria_ops.encode.batch import BatchOptions
from gematria_ops.encode.batching import BatchSchedule
from gematria_ops.encode.encoded_blocks import EncodedBlocks
from gematria_ops.encode.layouts import SEQUENCES
from gematria_ops.encode.sequence_batch import SequenceBatch, shape_of
from gematria_ops.encode.training_batches import TrainingBatches
from tests.gematria.encode.block_examples import random_encoded

OPTIONS = BatchOptions(bidirectional=True, seq2seq=True, random_labels=True, injection_probability=0.1)


def training_batches(encoded: EncodedBlocks, seed: int = 1) -> TrainingBatches:
    return TrainingBatches(encoded, BatchSchedule(encoded.block_sizes, 20, 1000, seed=seed), SEQUENCES, OPTIONS, seed)


def arrays(batch: SequenceBatch) -> list[np.ndarray]:
    inputs, targets = batch.inputs, batch.targets
    forward, backward = inputs.directions
    optional = (inputs.instruction_blocks, targets.expected_deltas)
    found = [inputs.tokens, *inputs.token_trie, inputs.instruction_nodes, inputs.block_sizes]
    found += [*forward.trie, forward.output_nodes, *backward.trie, backward.output_nodes]
    return [*found, targets.expected, targets.mask, *(item for item in optional if item is not None)]


def is_equal(first: SequenceBatch, second: SequenceBatch) -> bool:
    pairs = zip(arrays(first), arrays(second), strict=True)
    return all(a.shape == b.shape and (a == b).all() for a, b in pairs)


def test_any_step_in_any_order() -> None:
    encoded = random_encoded(100, 2, seed=1)
    ahead, resumed = training_batches(encoded), training_batches(encoded)
    wanted = [ahead.batch(step) for step in range(4)]
    assert is_equal(resumed.batch(3), wanted[3])
    assert is_equal(resumed.batch(0), wanted[0])
    assert not is_equal(wanted[0], wanted[1])
    assert not is_equal(training_batches(encoded, seed=2).batch(0), wanted[0])
    assert_array_equal(ahead.block_indices(3), resumed.block_indices(3))


def test_most_batches_have_the_usual_shape() -> None:
    batches = training_batches(random_encoded(300, 1, seed=2))
    shapes = [shape_of(batches.batch(step)) for step in range(60)]
    assert sum(shape == batches.shape for shape in shapes) >= 50
    assert len(set(shapes)) <= 2
