"""First states of nodes: the strongest of their types beside the mean of their subtokens (specification 8.2)."""

from __future__ import annotations

import tensorflow as tf

from fastnode_ops.models.inputs import Features
from fastnode_ops.models.variables import Store

TYPE_TABLE, SUBTOKEN_TABLE = "embedding/types", "embedding/subtokens"


class Embedding:
    """Two tables; the same for the nodes of both graphs and for the features of the name decoder.

    Args:
        store: Where the variables are added.
        num_types: V_t.
        num_subtokens: V_s.
        type_depth: Width of the type part.
        subtoken_depth: Width of the subtoken part.
    """

    def __init__(self, store: Store, num_types: int, num_subtokens: int, type_depth: int, subtoken_depth: int) -> None:
        self._types = store.table(TYPE_TABLE, (num_types, type_depth))
        self._subtokens = store.table(SUBTOKEN_TABLE, (num_subtokens, subtoken_depth))

    def __call__(self, features: Features) -> tf.Tensor:
        """Return [R, D]."""
        types = tf.math.segment_max(self._types.rows(features.types), features.type_lists)
        subtokens = tf.math.segment_mean(self._subtokens.rows(features.subtokens), features.subtoken_lists)
        return tf.concat([tf.gather(types, features.type_rows), tf.gather(subtokens, features.subtoken_rows)], axis=1)
