"""Ranks by hand: ties, type strings, tasks, empty parts."""

import numpy as np

from fastnode_ops.models.accuracy import Hits, count_hits, ranks
from tests.fastnode.batches import Sizes, make_batch


def test_the_earlier_of_equal_choices_is_better() -> None:
    logits = np.array([1.0, 1.0, 3.0, 2.0, 2.0], np.float32)
    samples = np.array([0, 0, 1, 1, 1], np.int32)
    assert ranks(logits, samples, np.array([0, 2], np.int32)).tolist() == [0, 0]
    assert ranks(logits, samples, np.array([1, 4], np.int32)).tolist() == [1, 2]


def test_the_same_type_counts_as_right_for_type_accuracy() -> None:
    batch = make_batch(3, Sizes(num_name=1, num_production=0, num_variables=20))
    samples = batch.infer_name
    num = len(samples.usages)
    assert num >= 5
    samples.labels[:] = 4
    samples.type_names[:] = ["x"] * num
    samples.type_names[4] = samples.type_names[3] = "y"
    logits = np.zeros(num, np.float32)
    logits[:4] = [9, 8, 7, 6]
    none = np.zeros(0, np.float32)
    assert count_hits(batch, logits, none)["name_accuracy_atk"] == Hits(1, 0)
    assert count_hits(batch, logits, none)["name_type_accuracy_atk"] == Hits(1, 0)
    logits[3] = 7.5
    hits = count_hits(batch, logits, none)
    assert hits["name_type_accuracy"] == Hits(1, 0)
    assert hits["name_type_accuracy_atk"] == Hits(1, 1)
    logits[3] = 10
    assert count_hits(batch, logits, none)["name_type_accuracy"] == Hits(1, 1)
    assert hits.keys() == {
        "name_accuracy",
        "name_accuracy_atk",
        "name_type_accuracy",
        "name_type_accuracy_atk",
        "accuracy/call",
    }


def test_each_task_is_counted_for_itself() -> None:
    batch = make_batch(1, Sizes(num_name=0, num_production=4))
    samples = batch.infer_production
    logits = np.zeros(len(samples.decoder_targets), np.float32)
    logits[samples.labels[:2]] = 1
    hits = count_hits(batch, np.zeros(0, np.float32), logits)
    assert hits["accuracy/attr"] == hits["accuracy/arg_type"] == Hits(1, 1)
    assert hits["production_accuracy"].num_samples == 4
    assert Hits().share == 0
