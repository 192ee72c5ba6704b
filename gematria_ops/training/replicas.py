"""Data parallel training: several workers, each with its share of every batch, and the sum of their gradients.

Every worker draws the same batch for a step (it is a pure function of seed and step) and takes every n-th block of it.
Its loss counts each block as the whole batch would, so that losses and gradients of the workers add up to those of the
whole batch. All of them apply the sum; their weights, equal to begin with, stay equal. The sums are TensorFlow's
collective operations (MultiWorkerMirroredStrategy, rings over gRPC), the cluster is described by TF_CONFIG.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import tensorflow as tf

from gematria_ops.config import RunnerConfig
from ops_common.errors import ServiceError

logger = logging.getLogger(__name__)

# How long a sum waits for the other workers. One that has died is noticed at once; one that is slow, because the chief
# predicts the held-out blocks or writes a checkpoint, is waited for.
TIMEOUT_SECONDS = 900.0
_GONE = (tf.errors.UnavailableError, tf.errors.AbortedError, tf.errors.DeadlineExceededError, tf.errors.CancelledError)


class Replicas:
    """The workers, seen from one of them. A training by one worker has one, and nothing to add up.

    Attributes:
        rank: Which worker this is; 0 is the chief, who alone writes.
        num: How many there are.
    """

    rank = 0
    num = 1

    @property
    def is_chief(self) -> bool:
        """Whether this worker writes checkpoints, metrics and models."""
        return self.rank == 0

    def summed(self, values: Sequence[tf.Tensor]) -> list[tf.Tensor]:
        """Returns the sum of each value over all workers; float32. Can be part of a compiled function."""
        return list(values)

    def agree(self, numbers: Sequence[float]) -> list[float]:
        """Returns the sum of each number over all workers; each of them has to ask."""
        return list(numbers)

    @contextmanager
    def errors_named(self) -> Iterator[None]:
        """Turns TensorFlow's errors about lost workers into ours."""
        yield


class Workers(Replicas):
    """Several workers, one process each.

    Args:
        rank: Which worker this is.
        num: How many there are.
    """

    def __init__(self, rank: int, num: int) -> None:
        self.rank, self.num = rank, num
        self._options = tf.distribute.experimental.CommunicationOptions(timeout_seconds=TIMEOUT_SECONDS)
        with self.errors_named():
            self._strategy = tf.distribute.MultiWorkerMirroredStrategy(communication_options=self._options)
        self._agree = tf.function(self.summed, autograph=False)
        logger.info("worker %d of %d", rank, num)

    def summed(self, values: Sequence[tf.Tensor]) -> list[tf.Tensor]:
        """See the base class."""

        def add_up(mine: Sequence[tf.Tensor]) -> list[tf.Tensor]:
            context = tf.distribute.get_replica_context()
            with tf.device("/device:CPU:0"):  # a sum has to know where it takes place
                placed = [tf.identity(value) for value in mine]
            return list(context.all_reduce(tf.distribute.ReduceOp.SUM, placed, options=self._options))

        return list(self._strategy.run(add_up, args=(list(values),)))

    def agree(self, numbers: Sequence[float]) -> list[float]:
        """See the base class."""
        with self.errors_named():
            (sums,) = self._agree([tf.constant(list(numbers), tf.float64)])
            return [float(value) for value in sums.numpy()]

    @contextmanager
    def errors_named(self) -> Iterator[None]:
        """See the base class."""
        try:
            yield
        except _GONE as error:
            first = (str(error).strip().splitlines() or [type(error).__name__])[0]
            raise ServiceError(
                f"worker {self.rank} of {self.num} has lost another one: {first}",
                "look at the logs of the others, then start all of them again: the training goes on from its last "
                "checkpoint",
            ) from None


def make_replicas(config: RunnerConfig) -> Replicas:
    """Returns the workers that the settings ask for; waits until all of them are there.

    Raises:
        ServiceError: A worker was lost meanwhile.
    """
    distributed = config.distributed
    if distributed.num_replicas == 1:
        return Replicas()
    return Workers(distributed.task_index, distributed.num_replicas)
