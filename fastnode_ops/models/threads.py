"""How many threads TensorFlow uses for one operation.

A step has several operations to do at a time, so each of them does best with one thread: sharing one costs waiting.
Sums then also have one order, which makes a resumed training equal to an uninterrupted one, bit for bit.
"""

from __future__ import annotations

import logging

import tensorflow as tf

logger = logging.getLogger(__name__)


def use_one_thread_per_operation() -> None:
    """Let an operation use one thread only; to be called before TensorFlow does anything."""
    try:
        tf.config.threading.set_intra_op_parallelism_threads(1)
    except RuntimeError:
        # Too late, as in a test that is not the first of its process. It costs time, nothing else.
        logger.debug("TensorFlow has started; its number of threads stays as it is")
