"""Every fault of a batch is named."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from fastnode_ops.models.checking import check_batch
from fastnode_ops.models.inputs import Vocabulary
from fastnode_ops.samples.batch import Segmented, TrainingBatch
from ops_common.errors import DataError
from tests.fastnode.batches import Sizes, make_batch

SIZES = Sizes()
VOCABULARY = Vocabulary(SIZES.num_types, SIZES.num_subtokens, SIZES.num_productions)


def test_a_sound_batch_passes() -> None:
    for sizes in (SIZES, Sizes(num_name=0), Sizes(num_production=0)):
        check_batch(make_batch(1, sizes), VOCABULARY)


def test_a_sample_without_negatives_passes() -> None:
    batch = make_batch(1)
    one = replace(batch.infer_production, corrupted=Segmented.from_lists([]))
    check_batch(replace(batch, infer_production=one), VOCABULARY)


def changed(part: str, field: str, index: int, value: int) -> Callable[[TrainingBatch], None]:
    def change(batch: TrainingBatch) -> None:
        target = getattr(batch, part)
        for name in field.split("."):
            target = target[name] if isinstance(target, dict) else getattr(target, name)
        target[index] = value

    return change


def unknown_edges(batch: TrainingBatch) -> None:
    batch.context_graph.edges["computed_from_forward"] = np.zeros((1, 2), np.int32)


def fewer_texts(batch: TrainingBatch) -> None:
    del batch.infer_name.names[0]


def no_task(batch: TrainingBatch) -> None:
    del batch.infer_production.tasks[0]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (changed("context_graph", "node_types.indices", 0, 20), "context_graph.node_types: 20 is not in 0 to 19"),
        (changed("context_graph", "node_subtokens.indices", 0, -1), "node_subtokens: -1 is not in 0 to 29"),
        (changed("context_graph", "node_types.sample_ids", 0, 1), "node_types: sample ids do not ascend without gaps"),
        (changed("context_graph", "node_types.sample_ids", -1, 9_999), "node_types: sample ids do not ascend"),
        (changed("context_graph", "edges.scope_forward", 0, 9_999), "edges.scope_forward: 9999 is not in 0 to"),
        (unknown_edges, "context_graph.edges: unknown edge type 'computed_from_forward'"),
        (changed("expansion_graph", "context_graph_nodes", 0, 9_999), "context_graph_nodes: 9999 is not in"),
        (changed("expansion_graph", "context_to_expansion", 0, 1), "the positions do not cover each node once"),
        (changed("infer_name", "prediction_nodes", 0, 9_999), "infer_name.prediction_nodes: 9999 is not in"),
        (changed("infer_name", "labels", 1, 0), "infer_name.labels: a label is another sample's"),
        (changed("infer_name", "labels", 1, 9_999), "infer_name.labels: 9999 is not in"),
        (fewer_texts, "infer_name.names.names has"),
        (changed("infer_production", "corrupted.indices", 0, 19), "corrupted: a negative is another sample's"),
        (changed("infer_production", "decoder_targets.indices", 0, 25), "decoder_targets: 25 is not in 0 to 24"),
        (no_task, "infer_production.tasks has 3 elements for 4 labels"),
    ],
)
def test_a_fault_is_named(change: Callable[[TrainingBatch], None], message: str) -> None:
    batch = make_batch(1)
    change(batch)
    with pytest.raises(DataError) as caught:
        check_batch(batch, VOCABULARY)
    assert message in caught.value.message


def test_missing_lists_are_named() -> None:
    batch = make_batch(1)
    short = replace(batch.infer_production, scope_encoder=Segmented.from_lists([[0]]))
    with pytest.raises(DataError, match="scope_encoder has lists for 1 instead of 4"):
        check_batch(replace(batch, infer_production=short), VOCABULARY)


def test_a_batch_without_samples_is_refused() -> None:
    with pytest.raises(DataError, match="it has no samples"):
        check_batch(make_batch(1, Sizes(num_name=0, num_production=0)), VOCABULARY)


def test_another_type_is_named() -> None:
    batch = make_batch(1)
    wide = replace(batch.infer_name, prediction_nodes=batch.infer_name.prediction_nodes.astype(np.int64))
    with pytest.raises(DataError, match=r"infer_name\.prediction_nodes is int64, not int32"):
        check_batch(replace(batch, infer_name=wide), VOCABULARY)
