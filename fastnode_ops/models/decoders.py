"""Logits of candidates (specification 8.5) and of production targets (8.6)."""

from __future__ import annotations

import tensorflow as tf

from fastnode_ops.models.inputs import NameInputs, ProductionInputs
from fastnode_ops.models.propagation import segment_softmax
from fastnode_ops.models.variables import PlainTable, Store

PRODUCTION_TABLE = "production_decoder/table"
PRODUCTION_PRIOR = "production_decoder/prior"


class NameDecoder:
    """Compares what is looked for with each candidate's usage node and the site.

    Args:
        store: Where the variables are added.
        depth: D.
    """

    def __init__(self, store: Store, depth: int) -> None:
        self._kernel = store.glorot_uniform("name_decoder/kernel", (depth, 2 * depth))

    def __call__(self, states: tf.Tensor, wanted: tf.Tensor, inputs: NameInputs) -> tf.Tensor:
        """Return the logit of each candidate.

        Args:
            states: [N, D] of the expansion graph.
            wanted: [S, D], the embedded features of each sample.
            inputs: The samples.

        Returns:
            [C] float32.
        """
        of_usage, of_site = tf.split(tf.matmul(wanted, self._kernel), 2, axis=1)  # the usage's state comes first
        for_site = tf.reduce_sum(of_site * tf.gather(states, inputs.sites), axis=1)
        for_usage = tf.reduce_sum(tf.gather(of_usage, inputs.usage_samples) * tf.gather(states, inputs.usages), axis=1)
        return for_usage + tf.gather(for_site, inputs.usage_samples)


class ProductionDecoder:
    """Compares each target's vector with the context of its sample: scope, site and tokens.

    Args:
        store: Where the variables are added.
        num_productions: V_p.
        depth: D.
        concatenate: Compare with all three beside each other instead of a weighted sum.
        prior: Add a logit of its own to each target, whatever its context: what is often right begins ahead.
    """

    def __init__(self, store: Store, num_productions: int, depth: int, *, concatenate: bool, prior: bool) -> None:
        self._table = store.table(PRODUCTION_TABLE, (num_productions, 3 * depth if concatenate else depth))
        self._prior = store.constant(PRODUCTION_PRIOR, (num_productions,), 0.0) if prior else None
        # in the order scope, site, tokens
        self._weights = (
            None
            if concatenate
            else PlainTable(store.constant("production_decoder/context_weights", (num_productions, 3), 1.0))
        )

    def __call__(self, states: tf.Tensor, inputs: ProductionInputs) -> tf.Tensor:
        """Return the logit of each target: [C] float32."""
        logits = self._context_logits(states, inputs)
        return logits if self._prior is None else logits + tf.gather(self._prior, inputs.targets)

    def _context_logits(self, states: tf.Tensor, inputs: ProductionInputs) -> tf.Tensor:
        site = tf.gather(states, inputs.sites)  # [S, D]
        scope = tf.math.segment_max(tf.gather(states, inputs.scope), inputs.scope_samples)
        token_states = tf.gather(states, inputs.tokens)
        fit = tf.reduce_sum(token_states * tf.gather(site, inputs.token_samples), axis=1)
        shares = segment_softmax(fit, inputs.token_samples)
        tokens = tf.math.segment_sum(token_states * shares[:, None], inputs.token_samples)
        vectors = self._table.rows(inputs.targets)
        if self._weights is None:
            context = tf.gather(tf.concat([site, scope, tokens], axis=1), inputs.target_samples)
            return tf.reduce_sum(vectors * context, axis=1)
        parts = tf.gather(tf.stack([scope, site, tokens], axis=1), inputs.target_samples)  # [C, 3, D]
        return tf.reduce_sum(self._weights.rows(inputs.targets) * tf.linalg.matvec(parts, vectors), axis=1)
