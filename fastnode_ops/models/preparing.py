"""Training batches made ready for the network; see `inputs.py` for what is saved by it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from fastnode_ops.config import EDGE_TYPES
from fastnode_ops.models.inputs import Features, Hop, ModelInputs, NameInputs, ProductionInputs
from fastnode_ops.samples.batch import NameSamples, ProductionSamples, Segmented, TrainingBatch

Ints = npt.NDArray[np.int32]
Bools = npt.NDArray[np.bool_]

# Longer lists than this are not compared with each other: a table that wide would cost more than it saves.
MAX_COMPARED_LENGTH = 64


def kernel_names(tie_directions: bool) -> tuple[str, ...]:
    """Return the name of each edge kernel: one per edge type, or one per type and direction; sorted."""
    if tie_directions:
        return tuple(sorted(EDGE_TYPES))
    return tuple(f"{name}_{direction}" for name in sorted(EDGE_TYPES) for direction in ("backward", "forward"))


def kernel_of(edge_key: str, tie_directions: bool) -> int | None:
    """Return the kernel of an edge key such as `scope_forward`; None for an unknown key."""
    edge_type, _, direction = edge_key.rpartition("_")
    if edge_type not in EDGE_TYPES or direction not in ("forward", "backward"):
        return None
    return kernel_names(tie_directions).index(edge_type if tie_directions else edge_key)


@dataclass(frozen=True, slots=True)
class Edges:
    """Edges of a graph. Each array is [E] int32."""

    sources: Ints
    targets: Ints
    kernels: Ints

    @classmethod
    def of(cls, edges: Mapping[str, Ints], tie_directions: bool) -> Edges:
        """Join the edges of all keys, in the order of the keys."""
        keys = sorted(edges)
        kernels = [np.full(len(edges[key]), kernel_of(key, tie_directions), np.int32) for key in keys]
        pairs = np.concatenate([np.zeros((0, 2), np.int32), *(edges[key] for key in keys)])
        return cls(pairs[:, 0], pairs[:, 1], np.concatenate([np.zeros(0, np.int32), *kernels]))

    def into(self, nodes: Bools) -> Edges:
        """Return the edges that lead to some nodes, given as a mask over all."""
        chosen = nodes[self.targets]
        return Edges(self.sources[chosen], self.targets[chosen], self.kernels[chosen])


def prepare(batch: TrainingBatch, *, num_hops: int, tie_directions: bool) -> ModelInputs:
    """Make a batch ready.

    Args:
        batch: A sound one (see `checking.py`).
        num_hops: Steps in the context graph.
        tie_directions: Whether both directions of an edge type have one kernel.
    """
    expansion = batch.expansion_graph
    hops, order, position, num_final = _context_hops(batch, num_hops, tie_directions)
    edges = Edges.of(expansion.edges, tie_directions)
    rows = np.empty(expansion.num_nodes, np.int32)
    rows[expansion.context_to_expansion] = position[expansion.context_graph_nodes]
    rows[expansion.lookup_to_expansion] = num_final + np.arange(len(expansion.lookup_to_expansion), dtype=np.int32)
    moves = np.zeros(expansion.num_nodes, np.bool_)
    moves[edges.targets] = True
    expansion_order = np.concatenate([np.flatnonzero(moves), np.flatnonzero(~moves)])
    new = _inverse(expansion_order, expansion.num_nodes)
    return ModelInputs(
        features=_features(batch, order),
        feature_sizes=np.array(
            [len(order), len(expansion.lookup_to_expansion), len(batch.infer_name.labels)], np.int32
        ),
        hops=hops,
        expansion_rows=rows[expansion_order],
        expansion_hop=make_hop(edges, new, int(moves.sum()), int(moves.sum()), len(kernel_names(tie_directions))),
        name=name_inputs(batch.infer_name, new),
        production=production_inputs(batch.infer_production, new),
    )


def _context_hops(batch: TrainingBatch, num_hops: int, tie_directions: bool) -> tuple[tuple[Hop, ...], Ints, Ints, int]:
    """Work out which nodes each hop has to move.

    Returns:
        The hops; the nodes that are read at all, in the order of the first states; for each node of the graph its row
        in the final states (undefined when it is not among them); and how many rows those have.
    """
    graph = batch.context_graph
    num_nodes = graph.num_nodes
    edges = Edges.of(graph.edges, tie_directions)
    moves = np.zeros(num_nodes, np.bool_)
    moves[edges.targets] = True
    read = np.zeros(num_nodes, np.bool_)
    read[batch.expansion_graph.context_graph_nodes] = True
    age = np.where(read, 0, num_hops + 1).astype(np.int32)  # how many hops before the last a state is read first
    kept = []
    for back in range(1, num_hops + 1):
        needed = edges.into(read)
        kept.append(needed)
        read[needed.sources] = True
        age[read & (age > back)] = back
    still = np.flatnonzero(read & ~moves)
    movers = np.flatnonzero(read & moves)
    moving = movers[np.argsort(age[movers], kind="stable")]
    order = np.concatenate([moving, still]).astype(np.int32)
    counts = np.searchsorted(age[moving], np.arange(num_hops + 1), side="right")  # [back]: movers read that late
    hops = []
    for back in range(num_hops, 0, -1):
        num_present, num_moving = int(counts[back]), int(counts[back - 1])
        position = _positions(order, len(moving), num_present, num_nodes)
        num_kernels = len(kernel_names(tie_directions))
        hops.append(make_hop(kept[back - 1], position, num_moving, num_present, num_kernels))
    final = _positions(order, len(moving), int(counts[0]), num_nodes)
    return tuple(hops), order, final, int(counts[0]) + len(still)


def _positions(order: Ints, num_moving: int, num_present: int, num_nodes: int) -> Ints:
    """Return the row of each node in a state matrix that has the first `num_present` movers and all that stay still."""
    position = np.zeros(num_nodes, np.int32)
    position[order[:num_present]] = np.arange(num_present, dtype=np.int32)
    position[order[num_moving:]] = num_present + np.arange(len(order) - num_moving, dtype=np.int32)
    return position


def make_hop(edges: Edges, position: Ints, num_moving: int, first_still: int, num_kernels: int) -> Hop:
    """Sort the edges of a step by target and find what they share.

    Args:
        edges: Edges between nodes.
        position: [N] the row of each node in the states before the step; targets are the first rows.
        num_moving: How many rows are targets.
        first_still: The first row that never is one.
        num_kernels: K.
    """
    sources, targets = position[edges.sources], position[edges.targets]
    order = np.argsort(targets, kind="stable")
    sources, targets, kernels = sources[order], targets[order], edges.kernels[order]
    width = np.int64(max(len(position), 1))
    codes, messages = np.unique(kernels * width + sources, return_inverse=True)
    low, high = np.minimum(sources, targets), np.maximum(sources, targets)
    pair_codes, pairs = np.unique(low * width + high, return_inverse=True)
    left, right = (pair_codes // width), (pair_codes % width)
    by_message = np.argsort(messages, kind="stable")
    rows, columns = np.concatenate([left, right]), np.concatenate([right, left])
    by_row = np.argsort(rows, kind="stable")
    return Hop(
        num_moving=np.int32(num_moving),
        first_still=np.int32(first_still),
        sources=(codes % width).astype(np.int32),
        kernel_sizes=np.bincount(codes // width, minlength=num_kernels).astype(np.int32),
        messages=messages.astype(np.int32),
        targets=targets,
        kernels=kernels,
        pairs=pairs.astype(np.int32),
        left=left.astype(np.int32),
        right=right.astype(np.int32),
        by_message=by_message.astype(np.int32),
        sorted_messages=messages[by_message].astype(np.int32),
        entries=np.stack([rows, columns], axis=1)[by_row],
        entry_pairs=(by_row % max(len(left), 1)).astype(np.int32),
    )


def _features(batch: TrainingBatch, order: Ints) -> Features:
    graph, expansion, name = batch.context_graph, batch.expansion_graph, batch.infer_name
    types = _different_lists(
        [_chosen(graph.node_types, order, graph.num_nodes), _all(expansion.lookup_types), _all(name.types)]
    )
    subtokens = _different_lists(
        [_chosen(graph.node_subtokens, order, graph.num_nodes), _all(expansion.lookup_subtokens), _all(name.subtokens)]
    )
    return Features(*types, *subtokens)


Lists = tuple[Ints, Ints]
"""Elements, and the length of each list."""


def _all(segmented: Segmented) -> Lists:
    return segmented.indices, np.bincount(segmented.sample_ids).astype(np.int32)


def _chosen(segmented: Segmented, order: Ints, num_lists: int) -> Lists:
    """Return the lists of some nodes, in their order."""
    lengths = np.bincount(segmented.sample_ids, minlength=num_lists)
    starts = np.cumsum(lengths) - lengths
    chosen = lengths[order]
    offsets = np.arange(chosen.sum()) - np.repeat(np.cumsum(chosen) - chosen, chosen)
    return segmented.indices[np.repeat(starts[order], chosen) + offsets], chosen.astype(np.int32)


def _different_lists(parts: Sequence[Lists]) -> tuple[Ints, Ints, Ints]:
    """Keep each different list once.

    Returns:
        The elements of those lists, the list of each element, and for each given list which one it is.
    """
    elements = np.concatenate([part[0] for part in parts])
    lengths = np.concatenate([part[1] for part in parts])
    longest = int(lengths.max(initial=1))
    if longest > MAX_COMPARED_LENGTH:
        rows = np.arange(len(lengths), dtype=np.int32)
        return elements, np.repeat(rows, lengths), rows
    table = np.full((len(lengths), longest), -1, np.int32)
    is_there = np.arange(longest) < lengths[:, None]
    table[is_there] = elements
    # as one opaque item a row: np.unique over an axis compares field by field, which is much slower
    items = table.view(np.dtype((np.void, table.dtype.itemsize * longest))).ravel()
    _, first, list_of_row = np.unique(items, return_index=True, return_inverse=True)
    kept = is_there[first]
    lists = np.repeat(np.arange(len(first), dtype=np.int32), lengths[first])
    return table[first][kept], lists, list_of_row.astype(np.int32)


def _inverse(order: npt.NDArray[np.integer], size: int) -> Ints:
    inverse = np.empty(size, np.int32)
    inverse[order] = np.arange(size, dtype=np.int32)
    return inverse


def name_inputs(samples: NameSamples, new: Ints) -> NameInputs:
    """Return what the name decoder reads; `new` [N] is the row of each node of the expansion graph."""
    return NameInputs(
        sites=new[samples.prediction_nodes],
        usages=new[samples.usages.indices],
        usage_samples=samples.usages.sample_ids,
        labels=samples.labels,
        negatives=samples.corrupted.indices,
        negative_samples=samples.corrupted.sample_ids,
    )


def production_inputs(samples: ProductionSamples, new: Ints) -> ProductionInputs:
    """Return what the production decoder reads; `new` as for `name_inputs`."""
    return ProductionInputs(
        sites=new[samples.prediction_nodes],
        targets=samples.decoder_targets.indices,
        target_samples=samples.decoder_targets.sample_ids,
        scope=new[samples.scope_encoder.indices],
        scope_samples=samples.scope_encoder.sample_ids,
        tokens=new[samples.context_tokens.indices],
        token_samples=samples.context_tokens.sample_ids,
        labels=samples.labels,
        negatives=samples.corrupted.indices,
        negative_samples=samples.corrupted.sample_ids,
    )
