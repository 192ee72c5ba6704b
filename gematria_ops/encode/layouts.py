"""How the batches of each kind of model are made: the one place that knows both kinds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from gematria_ops.blocks.vocabulary import Vocabulary, read_tokens_file
from gematria_ops.config import AnyModelConfig, GraniteConfig, RnnType, RunnerConfig, ThroughputSelection
from gematria_ops.encode.batch import Batch, BatchOptions
from gematria_ops.encode.encoded_blocks import EncodedBlocks
from gematria_ops.encode.graph_batch import make_graph_batch
from gematria_ops.encode.graphs import GraphBuilder
from gematria_ops.encode.sequence_batch import SMALL_SHAPE, fill_up, make_batch, shape_of
from gematria_ops.encode.tries import Int64

MakeBatch = Callable[[EncodedBlocks, Int64, BatchOptions, np.random.Generator | None], Batch[Any]]


@dataclass(frozen=True, slots=True)
class BatchLayout:
    """How batches are made and filled up.

    Attributes:
        make: Gathers blocks into a batch.
        shape_of: Tells a batch's shape; None: batches of this layout have open sizes and are not filled up.
        fill_up: Fills a batch up to a shape.
        small_shape: A shape for predictions of one block or a few.
    """

    make: MakeBatch
    shape_of: Callable[[Batch[Any]], Any] | None = None
    fill_up: Callable[[Batch[Any], Any], Batch[Any]] | None = None
    small_shape: Any = None


SEQUENCES = BatchLayout(make_batch, shape_of, fill_up, SMALL_SHAPE)
GRAPHS = BatchLayout(make_graph_batch)


def layout_of(model: AnyModelConfig) -> BatchLayout:
    """Returns the layout of the batches that a model reads."""
    return GRAPHS if isinstance(model, GraniteConfig) else SEQUENCES


def prediction_options(model: AnyModelConfig) -> BatchOptions:
    """Returns what a batch has to hold for a prediction."""
    if isinstance(model, GraniteConfig):
        return BatchOptions(seq2seq=model.seq2seq)
    return BatchOptions(bidirectional=model.bidirectional, seq2seq=model.seq2seq)


def training_options(config: RunnerConfig) -> BatchOptions:
    """Returns what a batch has to hold for a training."""
    model: AnyModelConfig = config.model
    drops = isinstance(model, GraniteConfig) and model.rnn_type is not RnnType.NONE and model.rnn_dropout > 0
    return prediction_options(model)._replace(
        random_labels=config.input.throughput_selection is ThroughputSelection.RANDOM,
        injection_probability=config.tokens.out_of_vocabulary_injection_probability,
        dropout=drops,
    )


def annotation_names(config: RunnerConfig) -> tuple[str, ...]:
    """Reads the names of the annotations that become features; none without a file of names.

    Raises:
        DataError: The file cannot be read.
    """
    path = config.tokens.annotation_names_file
    return read_tokens_file(path) if path else ()


def graph_builder(model: AnyModelConfig, vocabulary: Vocabulary, annotations: tuple[str, ...]) -> GraphBuilder | None:
    """Returns an empty builder of the graphs that a model reads; None if it reads none."""
    return GraphBuilder(vocabulary, annotations) if isinstance(model, GraniteConfig) else None
