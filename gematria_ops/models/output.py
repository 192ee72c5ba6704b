"""What every model answers."""

from __future__ import annotations

from typing import NamedTuple

import tensorflow as tf


class ModelOutput(NamedTuple):
    """What a model answers.

    Attributes:
        output: [B, K] float32. Cycles per iteration of each block, for each task.
        deltas: [I, K] float32. What each instruction adds; None unless seq2seq.
    """

    output: tf.Tensor
    deltas: tf.Tensor | None
