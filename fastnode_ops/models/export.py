"""What a trained model is handed over as: SavedModel, frozen graph, plain arrays (specification 9.5)."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf
from tensorflow.python.util import deprecation

from fastnode_ops.config import ModelConfig
from fastnode_ops.models import tensor_names as names
from fastnode_ops.models.codebook import Codebook
from fastnode_ops.models.decoders import PRODUCTION_TABLE
from fastnode_ops.models.embeddings import SUBTOKEN_TABLE, TYPE_TABLE
from fastnode_ops.models.expression import Network
from fastnode_ops.models.inputs import Vocabulary
from fastnode_ops.models.serving_graph import build_serving_graph
from fastnode_ops.models.stores import ConstantStore, GraphVariableStore, Weights
from ops_common.artifacts import atomic_folder, atomic_path, write_bytes
from ops_common.errors import ArtifactError

CONTEXT_SIGNATURE, DECODE_SIGNATURE = "context_graph", "decode"


def vocabulary_of(weights: Weights) -> Vocabulary:
    """Return the sizes of the three tables."""
    sizes = (len(weights[name]) for name in (TYPE_TABLE, SUBTOKEN_TABLE, PRODUCTION_TABLE))
    return Vocabulary(*sizes)


def write_frozen_graph(
    path: Path, config: ModelConfig, weights: Weights, codebooks: Mapping[str, Codebook] | None = None
) -> None:
    """Write the graph with weights as constants.

    Args:
        path: File to write.
        config: Sizes and choices of the network.
        weights: By name; see `Expression.variables_by_name`.
        codebooks: Compressed tables that take the place of the plain ones.
    """
    with tf.Graph().as_default() as graph:
        build_serving_graph(Network(config, vocabulary_of(weights), ConstantStore(weights, codebooks)))
        with deprecation.silence():
            pruned = tf.compat.v1.graph_util.extract_sub_graph(graph.as_graph_def(), list(names.OUTPUTS))
    for node in pruned.node:
        node.attr.pop("_gradient_op_type", None)  # a number of this process; nobody trains the frozen graph
    write_bytes(path, pruned.SerializeToString(deterministic=True))


def write_saved_model(folder: Path, config: ModelConfig, weights: Weights) -> None:
    """Write a SavedModel, in place of one that may stand there.

    Its signatures: `serving_default` from all placeholders to all outputs; `context_graph` to the final states alone;
    `decode` from these to the states and probabilities of the expansion graph. The variables have their names in a
    checkpoint.
    """
    with atomic_folder(folder, replace=True) as temporary, tf.Graph().as_default(), tf.compat.v1.Session() as session:
        store = GraphVariableStore(weights)
        tensors = build_serving_graph(Network(config, vocabulary_of(weights), store))
        session.run(tf.compat.v1.global_variables_initializer())
        with deprecation.silence(), _without_remarks():
            store.load(session)
            # the builder wants a folder that is not there yet
            temporary.rmdir()
            builder = tf.compat.v1.saved_model.Builder(str(temporary))
            builder.add_meta_graph_and_variables(session, ["serve"], signature_def_map=_signatures(tensors))
            builder.save()


def _signatures(tensors: Mapping[str, tf.Tensor]) -> dict[str, Any]:
    inputs = [name for name in tensors if name not in names.OUTPUTS]
    of_context = [name for name in inputs if name.startswith("context_graph/")]
    parts = {
        "serving_default": (inputs, names.OUTPUTS),
        CONTEXT_SIGNATURE: (of_context, names.OUTPUTS[:1]),
        DECODE_SIGNATURE: ([name for name in inputs if name not in of_context], names.OUTPUTS[1:]),
    }
    info = tf.compat.v1.saved_model.build_tensor_info
    return {
        key: tf.compat.v1.saved_model.build_signature_def(
            {name: info(tensors[name]) for name in given},
            {name: info(tensors[name]) for name in wanted},
            "tensorflow/serving/predict",
        )
        for key, (given, wanted) in parts.items()
    }


def read_saved_weights(folder: Path) -> dict[str, npt.NDArray[np.float32]]:
    """Read the weights of a SavedModel by name.

    Raises:
        ArtifactError: There is none, or it cannot be read.
    """
    try:
        reader = tf.train.load_checkpoint(str(folder / "variables" / "variables"))
        return {name: reader.get_tensor(name) for name in sorted(reader.get_variable_to_shape_map())}
    except (tf.errors.OpError, OSError, IndexError, ValueError, RuntimeError) as error:
        first = (str(error).splitlines() or [""])[0]
        raise ArtifactError(f"cannot read the saved model {folder}: {first}", "run `train` first") from None


def write_weights(path: Path, weights: Weights) -> None:
    """Write the weights as NumPy's `.npz`, under their names."""
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        np.savez(file, **dict[str, Any](weights))


@contextmanager
def _without_remarks() -> Iterator[None]:
    """Leave out what TensorFlow says of every saved model."""
    logger = tf.get_logger()
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)
