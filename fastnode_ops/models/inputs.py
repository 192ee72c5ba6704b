"""What the network reads: a training batch as flat arrays in the order in which they are used.

Nothing is filled up: the step is traced once with open sizes. B samples, N nodes, E edges. Two preparations, made once
per batch beside the training, save most of the arithmetic:

* Of the context graph only the nodes that the expansion graph copies are read after the last hop. So the last hop is
  worked out for these, the one before for these and what sends them messages, and so on. Nodes are put in that order,
  so that every hop works on a prefix.
* A message depends on its source and its edge type only: it is computed once for each pair of them. The dot product of
  an edge is that of its reverse: it is computed once for each pair of nodes.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from fastnode_ops.samples.metainfo import MetaInfo

Ints = Any  # [.] int32, a NumPy array or a tensor


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """Sizes of the three tables: rows of types, of name subtokens, of productions."""

    num_types: int
    num_subtokens: int
    num_productions: int

    @classmethod
    def of(cls, metainfo: MetaInfo) -> Vocabulary:
        """Return the sizes that a metainfo asks for; rows of an index may be shared, so the highest one decides."""

        def size(rows: Iterable[int]) -> int:
            return max(rows, default=-1) + 1

        return cls(
            size(metainfo.type_subtoken_index.values()),
            size(metainfo.name_subtoken_index.values()),
            size(metainfo.production_index.indices.values()),
        )


def attribute_prior(metainfo: MetaInfo, num_productions: int) -> npt.NDArray[np.float32]:
    """Return the logit that each target begins with, [V_p]: of attributes the logarithm of how often they are drawn.

    Samples of one parent are drawn in the proportion of how often its members occur (specification 4.3), so these
    logits are those of the popularity of each member among its siblings. Other targets begin with 0.
    """
    logits = np.zeros(num_productions, np.float32)
    for entry in metainfo.attr.dist.values():
        row = metainfo.production_index.row(entry.symbol)
        if row is not None and entry.weight > 0:
            logits[row] = np.log(entry.weight)
    return logits


class Features(NamedTuple):
    """Features of R rows: lists of table rows, each different list once.

    Attributes:
        types: [.] rows of the type table, list by list.
        type_lists: [.] the list of each of them, ascending without gaps.
        type_rows: [R] the list of each row.
        subtokens: [.] rows of the subtoken table, list by list.
        subtoken_lists: [.] the list of each of them.
        subtoken_rows: [R] the list of each row.
    """

    types: Ints
    type_lists: Ints
    type_rows: Ints
    subtokens: Ints
    subtoken_lists: Ints
    subtoken_rows: Ints


class Hop(NamedTuple):
    """One propagation step over a state matrix whose first rows are the nodes that get messages.

    Attributes:
        num_moving: [] how many rows get messages: rows 0 to T - 1.
        first_still: [] the first of the rows that never get messages; those between are not read any more.
        sources: [U] state row of each message, kernel by kernel.
        kernel_sizes: [K] how many of the messages each kernel makes.
        messages: [E] the message of each edge.
        targets: [E] the row that each edge leads to, ascending without gaps.
        kernels: [E] the kernel (the edge type) of each edge.
        pairs: [E] the pair of nodes of each edge.
        left: [Q] one node of each pair.
        right: [Q] the other one.
        by_message: [E] the edges in the order of their messages; for the gradient.
        sorted_messages: [E] `messages` in that order.
        entries: [2Q, 2] int64, both directions of each pair as (row, column), ascending; for the gradient.
        entry_pairs: [2Q] the pair of each entry.
    """

    num_moving: Any
    first_still: Any
    sources: Ints
    kernel_sizes: Ints
    messages: Ints
    targets: Ints
    kernels: Ints
    pairs: Ints
    left: Ints
    right: Ints
    by_message: Ints
    sorted_messages: Ints
    entries: Any
    entry_pairs: Ints


class NameInputs(NamedTuple):
    """Samples of the name decoder; S samples, C candidates, G negatives. Nodes are rows of the expansion graph.

    Attributes:
        sites: [S] the site.
        usages: [C] usage node of each candidate.
        usage_samples: [C] the sample of each, ascending.
        labels: [S] the true candidate.
        negatives: [G] other candidates.
        negative_samples: [G] the sample of each.
    """

    sites: Ints
    usages: Ints
    usage_samples: Ints
    labels: Ints
    negatives: Ints
    negative_samples: Ints


class ProductionInputs(NamedTuple):
    """Samples of the production decoder; as `NameInputs`, and the nodes that make up the context of a sample.

    Attributes:
        sites: [S] the site.
        targets: [C] rows of the production table.
        target_samples: [C] the sample of each, ascending.
        scope: [.] scope nodes.
        scope_samples: [.] the sample of each, ascending.
        tokens: [.] context tokens.
        token_samples: [.] the sample of each, ascending.
        labels: [S] the true target.
        negatives: [G] other targets.
        negative_samples: [G] the sample of each.
    """

    sites: Ints
    targets: Ints
    target_samples: Ints
    scope: Ints
    scope_samples: Ints
    tokens: Ints
    token_samples: Ints
    labels: Ints
    negatives: Ints
    negative_samples: Ints


class ModelInputs(NamedTuple):
    """One batch.

    Attributes:
        features: Rows of the context nodes that are read, then of the look-up nodes, then of the name samples.
        feature_sizes: [3] how many rows each of the three has.
        hops: The steps in the context graph, first to last; `num_hops` of them.
        expansion_rows: [N] where the first state of each node of the expansion graph stands: among the final states of
            the context graph, and the look-up nodes behind them.
        expansion_hop: The step in the expansion graph.
        name: Samples of the name decoder.
        production: Samples of the production decoder.
    """

    features: Features
    feature_sizes: Ints
    hops: tuple[Hop, ...]
    expansion_rows: Ints
    expansion_hop: Hop
    name: NameInputs
    production: ProductionInputs
