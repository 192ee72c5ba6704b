"""A model as a function of flat tensors under fixed names: what every exported format is made of.

Specification section 9.4; docs/formats_export.md describes the tensors. All operations are ones that TensorFlow Lite
has built in.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import tensorflow as tf

from gematria_ops.blocks import tokens as token_names
from gematria_ops.blocks.vocabulary import Vocabulary
from gematria_ops.encode import flat_feeds as names
from gematria_ops.encode.flat_feeds import feed_names
from gematria_ops.encode.graph_batch import GraphInputs
from gematria_ops.models.block_rnn import read_by_loop
from gematria_ops.models.factory import ThroughputModel
from gematria_ops.models.granite import Granite
from gematria_ops.models.ithemal import Ithemal
from gematria_ops.models.output import ModelOutput

OUTPUT = "ModelBase.output_tensor"
OUTPUT_DELTAS = "ModelBase.output_tensor_deltas"
TOKEN_LIST = "TokenModel.token_list"
REPLACEMENT_TOKEN = "TokenModel.replacement_token"
SPECIAL_TOKENS = "GraphBuilderModelBase.special_tokens"
ANNOTATION_NAMES = "GraphBuilderModelBase.annotation_names"

# A number in floating point has the token of any other immediate.
_SPECIAL = (token_names.IMMEDIATE, token_names.IMMEDIATE, token_names.ADDRESS, token_names.MEMORY)


def input_specs(model: ThroughputModel) -> tuple[tf.TensorSpec, ...]:
    """Describes the tensors that a model's exported graph reads, in order."""
    vectors = {name: tf.TensorSpec([None], tf.int32, name) for name in feed_names(model.config, model.annotation_names)}
    others = (
        tf.TensorSpec([None, model.num_tokens], tf.int32, names.GLOBAL_FEATURES),
        tf.TensorSpec([None], tf.bool, names.INSTRUCTION_NODE_MASK),
        tf.TensorSpec([None, len(model.annotation_names)], tf.float32, names.INSTRUCTION_ANNOTATIONS),
    )
    specs = vectors | {spec.name: spec for spec in others if spec.name in vectors}
    return tuple(specs[name] for name in vectors)


def output_names(model: ThroughputModel) -> tuple[str, ...]:
    """Returns the names of the outputs, in order."""
    deltas = (OUTPUT_DELTAS,) if model.config.seq2seq else ()
    if isinstance(model, Ithemal):
        return OUTPUT, *deltas, TOKEN_LIST, REPLACEMENT_TOKEN
    annotations = (ANNOTATION_NAMES,) if model.annotation_names else ()
    return OUTPUT, *deltas, TOKEN_LIST, SPECIAL_TOKENS, *annotations


def exported_function(model: ThroughputModel, vocabulary: Vocabulary) -> Any:
    """Traces the function that is exported.

    Args:
        model: The model.
        vocabulary: Its tokens; they become constants beside the predictions.

    Returns:
        A concrete function from the tensors of `input_specs` to a dictionary of those of `output_names`.
    """
    specs = input_specs(model)

    def predict(*tensors: tf.Tensor) -> dict[str, tf.Tensor]:
        answer = _predict(model, {spec.name: tensor for spec, tensor in zip(specs, tensors, strict=True)})
        outputs = {OUTPUT: answer.output, OUTPUT_DELTAS: answer.deltas, **_constants(model, vocabulary)}
        return {name: tf.identity(outputs[name], name=name) for name in output_names(model)}

    return tf.function(predict, input_signature=specs, autograph=False).get_concrete_function()


def _predict(model: ThroughputModel, tensors: dict[str, tf.Tensor]) -> ModelOutput:
    if isinstance(model, Ithemal):
        return model.predict_sequences(*tensors.values())
    return cast(Granite, model).predict(_graph_inputs(tensors), read_by_loop)


def _graph_inputs(tensors: dict[str, Any]) -> GraphInputs:
    """Works out what the network reads beyond the given tensors; parts that a model does not read are left out."""
    num_nodes, num_edges = tensors[names.NUM_NODES], tensors[names.NUM_EDGES]
    num_blocks = tf.size(num_nodes)
    blocks = tf.range(num_blocks)
    mask = tensors.get(names.INSTRUCTION_NODE_MASK)
    owners: Any = tensors.get(names.DELTA_BLOCK_INDEX)
    annotations: Any = tensors.get(names.INSTRUCTION_ANNOTATIONS)
    nodes: Any = None if mask is None else tf.cast(tf.where(mask)[:, 0], tf.int32)
    sizes: Any = None if owners is None else tf.math.unsorted_segment_sum(tf.ones_like(owners), owners, num_blocks)
    return GraphInputs(
        node_tokens=tensors[names.NODE_FEATURES],
        node_blocks=tf.repeat(blocks, num_nodes),
        edge_types=tensors[names.EDGE_FEATURES],
        senders=tensors[names.SENDERS],
        receivers=tensors[names.RECEIVERS],
        edge_blocks=tf.repeat(blocks, num_edges),
        token_counts=tensors[names.GLOBAL_FEATURES],
        instruction_nodes=nodes,
        instruction_blocks=owners,
        annotations=annotations,
        block_sizes=sizes,
    )


def _constants(model: ThroughputModel, vocabulary: Vocabulary) -> dict[str, tf.Tensor]:
    replacement = -1 if vocabulary.replacement_index is None else vocabulary.replacement_index
    special = [*(vocabulary.index(token) for token in _SPECIAL), replacement]
    return {
        TOKEN_LIST: _joined(vocabulary.tokens),
        REPLACEMENT_TOKEN: tf.constant([replacement], tf.int32),
        SPECIAL_TOKENS: tf.constant(special, tf.int32),
        ANNOTATION_NAMES: _joined(model.annotation_names),
    }


def _joined(texts: Sequence[str]) -> tf.Tensor:
    """Returns texts as UTF-8 with a zero byte between them, as uint8."""
    return tf.constant(list("\0".join(texts).encode("utf-8")), tf.uint8)
