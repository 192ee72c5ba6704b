"""Batches from a graph data server, and the held-out batches of a validation."""

from __future__ import annotations

import logging
from types import TracebackType
from typing import Self

from fastnode_ops.config import ExpressionConfig
from fastnode_ops.samples.batch import TrainingBatch
from fastnode_ops.samples.metainfo import MetaInfo
from fastnode_ops.samples.request import session_request
from fastnode_ops.server.client import SessionClient
from fastnode_ops.training.feeds import Feed
from ops_common.errors import ServiceError

logger = logging.getLogger(__name__)


class SessionFeed(Feed):
    """A feed that pulls its batches from a server, one response ahead of the training.

    Args:
        url: The server.
        metainfo: What the batches are made with.
        config: Seed, size and proportions of the batches.
        first_step: The first step that is asked for.

    Raises:
        ServiceError: The server does not answer, or refuses the request.
        DataError: It serves another corpus than the metainfo was made from.
    """

    def __init__(self, url: str, metainfo: MetaInfo, config: ExpressionConfig, first_step: int = 0) -> None:
        request = session_request(
            metainfo, config, num_batches=config.train.batches_per_response, start_step=first_step
        )
        self._metainfo_digest = metainfo.digest
        self._session = SessionClient(url, request, corpus_digest=metainfo.header.corpus_digest)

    @property
    def metainfo_digest(self) -> str:
        """See `Feed`."""
        return self._metainfo_digest

    def batch(self, step: int) -> TrainingBatch:
        """Return the batch of the update after `step` updates."""
        return self._session.batch(step)

    def close(self) -> None:
        """End the session."""
        self._session.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


def held_out_batches(url: str, metainfo: MetaInfo, config: ExpressionConfig) -> list[TrainingBatch]:
    """Return the fixed batches of files that are never trained on (D12); none when the corpus is too small for one.

    Args:
        url: The server.
        metainfo: What the batches are made with.
        config: Their number, seed and size.
    """
    num_batches = config.train.num_validation_batches
    request = session_request(metainfo, config, num_batches=num_batches, split="validation")
    try:
        with SessionClient(url, request, corpus_digest=metainfo.header.corpus_digest) as session:
            return [session.batch(step) for step in range(num_batches)]
    except ServiceError as error:
        if "has a usable file" not in error.message and "not one graph sample" not in error.message:
            raise
        logger.warning("there is no validation: the held-out files are too few (%s)", error.message)
        return []
