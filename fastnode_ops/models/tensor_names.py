"""Names of the tensors of the exported graph, and the feeds that go into them (specification 9.5)."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from fastnode_ops.config import EDGE_TYPES
from fastnode_ops.samples.batch import (
    EDGE_DIRECTIONS,
    ContextGraph,
    ExpansionGraph,
    NameSamples,
    ProductionSamples,
    Segmented,
)

FINAL_STATES = "context_graph/final_node_states"
EXPANSION_STATES = "test/expansion_graph/graph/node_states"
NAME_PROBABILITIES = "test/infer_name/prediction/pred"
PRODUCTION_PROBABILITIES = "test/infer_production/prediction/pred"
OUTPUTS = (FINAL_STATES, EXPANSION_STATES, NAME_PROBABILITIES, PRODUCTION_PROBABILITIES)

CONTEXT_EDGES = "context_graph/placeholders/edges/"
CONTEXT_NODES = "context_graph/placeholders/nodes/"
EXPANSION = "test/expansion_graph/placeholders/"
CONTEXT_EMBEDDINGS = "test/expansion_graph/test_placeholders/context_node_embeddings"
READ_NODES = "test/expansion_graph/test_placeholders/context_graph_nodes"
NAME = "test/infer_name/placeholders/"
NAME_USAGES = "test/infer_name/name_encoder/placeholders/usages_"
PRODUCTION = "test/infer_production/placeholders/"
PRODUCTION_SCOPE = "test/infer_production/scope_encoder/placeholders/variable_node_ids_"

EDGE_KEYS = tuple(f"{name}_{direction}" for name in sorted(EDGE_TYPES) for direction in sorted(EDGE_DIRECTIONS))

_LISTS = ("sample_ids", "indices")
CONTEXT_INPUTS = tuple(f"{CONTEXT_NODES}{kind}_{part}" for kind in ("types", "subtokens") for part in _LISTS)
EXPANSION_INPUTS = (
    f"{EXPANSION}context_to_expansion",
    f"{EXPANSION}lookup_to_expansion",
    *(f"{EXPANSION}{kind}_{part}" for kind in ("types", "subtokens") for part in _LISTS),
)
NAME_INPUTS = (
    f"{NAME}prediction_nodes",
    *(f"{NAME}{kind}_{part}" for kind in ("types", "subtokens") for part in _LISTS),
    *(f"{NAME_USAGES}{part}" for part in _LISTS),
)
PRODUCTION_INPUTS = (
    f"{PRODUCTION}prediction_nodes",
    *(f"{PRODUCTION}{kind}_{part}" for kind in ("decoder_targets", "context_tokens") for part in _LISTS),
    *(f"{PRODUCTION_SCOPE}{part}" for part in _LISTS),
)
VECTOR_INPUTS = (*CONTEXT_INPUTS, *EXPANSION_INPUTS, *NAME_INPUTS, *PRODUCTION_INPUTS)
"""Inputs that are [.] int32; beside them there are the edges, [., 2] int32, and the embeddings, [., D] float32."""

Feeds = dict[str, npt.NDArray[Any]]


def context_feeds(graph: ContextGraph) -> Feeds:
    """Return what the final states of a context graph are worked out from."""
    edges = {CONTEXT_EDGES + key: pairs for key, pairs in graph.edges.items()}
    types, subtokens = graph.node_types, graph.node_subtokens
    return {**edges, **_lists(f"{CONTEXT_NODES}types_", types), **_lists(f"{CONTEXT_NODES}subtokens_", subtokens)}


def expansion_feeds(graph: ExpansionGraph, states: npt.NDArray[np.float32] | None = None) -> Feeds:
    """Return what the states of an expansion graph are worked out from.

    Args:
        graph: The expansion graph.
        states: [N, D], which `context_graph_nodes` are rows of; None: they are worked out on the way, and only those.
    """
    copied: Feeds = {READ_NODES: graph.context_graph_nodes}
    if states is not None:
        copied = {CONTEXT_EMBEDDINGS: states[graph.context_graph_nodes]}
    return {
        **{EXPANSION + key: pairs for key, pairs in graph.edges.items()},
        f"{EXPANSION}context_to_expansion": graph.context_to_expansion,
        f"{EXPANSION}lookup_to_expansion": graph.lookup_to_expansion,
        **_lists(f"{EXPANSION}types_", graph.lookup_types),
        **_lists(f"{EXPANSION}subtokens_", graph.lookup_subtokens),
        **copied,
    }


def name_feeds(samples: NameSamples) -> Feeds:
    """Return what the probabilities of candidates are worked out from, beside the expansion graph."""
    return {
        f"{NAME}prediction_nodes": samples.prediction_nodes,
        **_lists(f"{NAME}types_", samples.types),
        **_lists(f"{NAME}subtokens_", samples.subtokens),
        **_lists(NAME_USAGES, samples.usages),
    }


def production_feeds(samples: ProductionSamples) -> Feeds:
    """Return what the probabilities of targets are worked out from, beside the expansion graph."""
    return {
        f"{PRODUCTION}prediction_nodes": samples.prediction_nodes,
        **_lists(f"{PRODUCTION}decoder_targets_", samples.decoder_targets),
        **_lists(f"{PRODUCTION}context_tokens_", samples.context_tokens),
        **_lists(PRODUCTION_SCOPE, samples.scope_encoder),
    }


def _lists(prefix: str, lists: Segmented) -> Feeds:
    return {f"{prefix}sample_ids": lists.sample_ids, f"{prefix}indices": lists.indices}
