"""How many threads TensorFlow uses for one operation.

The sequence models run through loops of small matrix products. Two threads share each of them at the price of waiting
for each other: measured on two cores, a step of 100 blocks takes 36 ms of processor time with two threads and 23 ms
with one, for about the same wall time; one of 1,000 blocks 190 ms and 110 ms. The graph network's products are large,
but there are always several to do at a time: losses and gradients of 100 blocks take 0.83 instead of 1.0 s of processor
time, and no more wall time.
"""

from __future__ import annotations

import logging

import tensorflow as tf

logger = logging.getLogger(__name__)


def use_one_thread_per_operation() -> None:
    """Lets an operation use one thread only; to be called before TensorFlow does anything."""
    try:
        tf.config.threading.set_intra_op_parallelism_threads(1)
    except RuntimeError:
        # Too late, as in a test that is not the first of its process. It costs time, nothing else.
        logger.debug("TensorFlow has started; its number of threads stays as it is")
