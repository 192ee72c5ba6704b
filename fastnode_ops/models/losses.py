"""What is minimised (specification 8.7): one loss per decoder, and their sum."""

from __future__ import annotations

from typing import Literal

import tensorflow as tf

from fastnode_ops.models.inputs import Ints

LossName = Literal["max_margin", "cross_entropy"]


def max_margin(logits: tf.Tensor, labels: Ints, negatives: Ints, negative_samples: Ints, margin: float) -> tf.Tensor:
    """Return the mean over samples of each one's mean over negatives of max(0, margin - true + negative).

    A sample without a negative counts as 0; without samples the loss is 0.

    Args:
        logits: [C] float32, of all candidates.
        labels: [S], the true candidates.
        negatives: [G], others.
        negative_samples: [G], the sample of each.
        margin: By how much a true candidate should win.
    """
    true = tf.gather(logits, labels)
    terms = tf.nn.relu(margin - tf.gather(true, negative_samples) + tf.gather(logits, negatives))
    num_samples = tf.size(labels)
    sums = tf.math.unsorted_segment_sum(terms, negative_samples, num_samples)
    counts = tf.math.unsorted_segment_sum(tf.ones_like(terms), negative_samples, num_samples)
    return _mean(tf.math.divide_no_nan(sums, counts))


def cross_entropy(logits: tf.Tensor, labels: Ints, samples: Ints) -> tf.Tensor:
    """Return the mean over samples of -log p(true); without samples 0.

    Args:
        logits: [C] float32, of all candidates.
        labels: [S], the true candidates.
        samples: [C], the sample of each candidate, ascending without gaps.
    """
    highest = tf.stop_gradient(tf.math.segment_max(logits, samples))
    shifted = logits - tf.gather(highest, samples)
    sums = tf.math.log(tf.math.segment_sum(tf.exp(shifted), samples))
    return _mean(sums - tf.gather(shifted, labels))


def _mean(values: tf.Tensor) -> tf.Tensor:
    return tf.math.divide_no_nan(tf.reduce_sum(values), tf.cast(tf.size(values), tf.float32))
