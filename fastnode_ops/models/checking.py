"""Is a training batch sound? What a feed hands over is checked before the network reads it (specification 7.12)."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from fastnode_ops.models.inputs import Vocabulary
from fastnode_ops.models.preparing import Ints, kernel_of
from fastnode_ops.samples.batch import NameSamples, ProductionSamples, Segmented, TrainingBatch
from ops_common.errors import DataError

HINT = "is it from a graph data server of this version, with the metainfo of this model?"


def check_batch(batch: TrainingBatch, vocabulary: Vocabulary) -> None:
    """Check indexes, segments and counts.

    A sample without negatives is let through: its loss is 0 (D23).

    Raises:
        DataError: Something is wrong; the message names the field.
    """
    graph, expansion = batch.context_graph, batch.expansion_graph
    if not batch.num_samples:
        raise _error("it has no samples")
    num_nodes, num_lookup = graph.num_nodes, len(expansion.lookup_to_expansion)
    _check_lists("context_graph.node_subtokens", graph.node_subtokens, num_nodes, vocabulary.num_subtokens)
    _check_lists("context_graph.node_types", graph.node_types, num_nodes, vocabulary.num_types)
    _check_edges("context_graph.edges", graph.edges, num_nodes)
    _check_edges("expansion_graph.edges", expansion.edges, expansion.num_nodes)
    _check_lists("expansion_graph.lookup_nodes.types", expansion.lookup_types, num_lookup, vocabulary.num_types)
    _check_lists(
        "expansion_graph.lookup_nodes.subtokens", expansion.lookup_subtokens, num_lookup, vocabulary.num_subtokens
    )
    if len(expansion.context_graph_nodes) != len(expansion.context_to_expansion):
        raise _error("expansion_graph: context_graph_nodes and context_to_expansion differ in length")
    _check_range("expansion_graph.context_graph_nodes", expansion.context_graph_nodes, num_nodes)
    positions = np.sort(np.concatenate([expansion.context_to_expansion, expansion.lookup_to_expansion]))
    if not np.array_equal(positions, np.arange(expansion.num_nodes)):
        raise _error("expansion_graph: the positions do not cover each node once")
    _check_name(batch.infer_name, expansion.num_nodes, vocabulary)
    _check_production(batch.infer_production, expansion.num_nodes, vocabulary)


def _check_name(samples: NameSamples, num_nodes: int, vocabulary: Vocabulary) -> None:
    num_samples = len(samples.labels)
    _check_sites("infer_name", samples, num_nodes)
    _check_lists("infer_name.types", samples.types, num_samples, vocabulary.num_types)
    _check_lists("infer_name.subtokens", samples.subtokens, num_samples, vocabulary.num_subtokens)
    _check_lists("infer_name.names.usages", samples.usages, num_samples, num_nodes)
    _check_choices("infer_name", samples, samples.usages)
    for key, texts in (("names", samples.names), ("types", samples.type_names)):
        if len(texts) != len(samples.usages):
            raise _error(f"infer_name.names.{key} has {len(texts)} texts for {len(samples.usages)} candidates")


def _check_production(samples: ProductionSamples, num_nodes: int, vocabulary: Vocabulary) -> None:
    num_samples = len(samples.labels)
    _check_sites("infer_production", samples, num_nodes)
    _check_lists("infer_production.decoder_targets", samples.decoder_targets, num_samples, vocabulary.num_productions)
    _check_lists("infer_production.scope_encoder", samples.scope_encoder, num_samples, num_nodes)
    _check_lists("infer_production.context_tokens", samples.context_tokens, num_samples, num_nodes)
    _check_choices("infer_production", samples, samples.decoder_targets)


def _check_sites(where: str, samples: NameSamples | ProductionSamples, num_nodes: int) -> None:
    _check_range(f"{where}.prediction_nodes", samples.prediction_nodes, num_nodes)
    for key, items in (("prediction_nodes", samples.prediction_nodes), ("tasks", samples.tasks)):
        if len(items) != len(samples.labels):
            raise _error(f"{where}.{key} has {len(items)} elements for {len(samples.labels)} labels")


def _check_choices(where: str, samples: NameSamples | ProductionSamples, choices: Segmented) -> None:
    """Labels and negatives have to be choices of their own sample."""
    _check_range(f"{where}.labels", samples.labels, len(choices))
    _check_range(f"{where}.corrupted", samples.corrupted.indices, len(choices))
    _check_range(f"{where}.corrupted.sample_ids", samples.corrupted.sample_ids, len(samples.labels))
    if not np.array_equal(choices.sample_ids[samples.labels], np.arange(len(samples.labels))):
        raise _error(f"{where}.labels: a label is another sample's")
    if not np.array_equal(choices.sample_ids[samples.corrupted.indices], samples.corrupted.sample_ids):
        raise _error(f"{where}.corrupted: a negative is another sample's")


def _check_lists(where: str, lists: Segmented, num_lists: int, size: int) -> None:
    """Every list has to be there, in order, with elements in range."""
    ids = lists.sample_ids
    if len(ids) and (ids[0] != 0 or np.any((steps := np.diff(ids)) < 0) or np.any(steps > 1)):
        raise _error(f"{where}: sample ids do not ascend without gaps from 0")
    found = int(ids[-1]) + 1 if len(ids) else 0
    if found != num_lists:
        raise _error(f"{where} has lists for {found} instead of {num_lists}")
    _check_range(where, lists.indices, size)


def _check_edges(where: str, edges: Mapping[str, Ints], num_nodes: int) -> None:
    for key, pairs in edges.items():
        if kernel_of(key, tie_directions=True) is None:
            raise _error(f"{where}: unknown edge type {key!r}")
        _check_range(f"{where}.{key}", pairs, num_nodes)


def _check_range(where: str, indices: Ints, size: int) -> None:
    if indices.dtype != np.int32:
        raise _error(f"{where} is {indices.dtype}, not int32")
    if len(indices) and (int(indices.min()) < 0 or int(indices.max()) >= size):
        wrong = int(indices.min()) if int(indices.min()) < 0 else int(indices.max())
        raise _error(f"{where}: {wrong} is not in 0 to {size - 1}")


def _error(what: str) -> DataError:
    return DataError(f"training batch: {what}", HINT)
