"""Where training batches come from."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

from fastnode_ops.samples.batch import TrainingBatch
from ops_common.errors import DataError


class Feed(ABC):
    """Gives the batch of a step.

    It must be a pure function of the step: a training that is resumed asks again from where its checkpoint stands.
    """

    @property
    @abstractmethod
    def metainfo_digest(self) -> str:
        """Digest of the metainfo that the samples were made with: rows mean nothing under another one."""

    @abstractmethod
    def batch(self, step: int) -> TrainingBatch:
        """Return the batch of the update after `step` updates; called from one background thread, in order."""

    def saved(self, step: int, last_step: int) -> None:  # noqa: B027 - most feeds have nothing to do
        """Hear that a checkpoint holds the first `step` updates of a training that ends after `last_step`.

        No batch before `step` is asked for again, whatever happens to this process. Called from the training's thread
        after each checkpoint, and after one was restored.
        """

    def stop(self) -> None:  # noqa: B027 - as above
        """Hear that no more batches are needed; one that is waited for need not come."""


class ListFeed(Feed):
    """A feed of a few batches, over and over.

    Args:
        batches: At least one.
        metainfo_digest: Digest of the metainfo that they were made with.

    Raises:
        DataError: There is no batch.
    """

    def __init__(self, batches: Sequence[TrainingBatch], metainfo_digest: str) -> None:
        if not batches:
            raise DataError("there is no training batch")
        self._batches = list(batches)
        self._metainfo_digest = metainfo_digest

    @property
    def metainfo_digest(self) -> str:
        """See `Feed`."""
        return self._metainfo_digest

    def batch(self, step: int) -> TrainingBatch:
        """See `Feed`."""
        return self._batches[step % len(self._batches)]
