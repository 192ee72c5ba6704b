"""The formats that a model is exported to, all made from one traced function (`exported_graph.py`).

GraphDef, frozen           weights are constants; text or binary
GraphDef with variables    one VarHandleOp a variable, under its name in a checkpoint, without a value
TensorFlow Lite            from the frozen graph, so that its tensors have the very same names
SavedModel                 weights are variables
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import tensorflow as tf
from google.protobuf import text_format
from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2
from tensorflow.python.util import deprecation

from gematria_ops.models.exported_graph import OUTPUT, OUTPUT_DELTAS, input_specs, output_names
from gematria_ops.models.factory import ThroughputModel

PLAIN_SIGNATURE = "predict"


def frozen_graph(model: ThroughputModel, function: Any) -> tf.compat.v1.GraphDef:
    """Returns the inference graph with weights as constants.

    Args:
        model: The model.
        function: Its traced function; see `exported_graph.exported_function`.
    """
    frozen = convert_variables_to_constants_v2(function, lower_control_flow=False)
    return _pruned(frozen.graph.as_graph_def(), model)


def graph_with_variables(model: ThroughputModel, function: Any) -> tf.compat.v1.GraphDef:
    """Returns the inference graph with variables, as TensorFlow 1 exported it: whoever loads it gives them values."""
    variables = model.variables_by_name()
    names = {id(variable.handle): name for name, variable in variables.items()}
    handles = {placeholder.op.name: names[id(handle)] for handle, placeholder in function.graph.captures}
    graph = function.graph.as_graph_def()
    for node in graph.node:
        if node.name in handles:
            name = handles[node.name]
            node.CopyFrom(_handle_node(name, variables[name]))
        node.input[:] = [_renamed(text, handles) for text in node.input]
    return _pruned(graph, model)


def as_text(graph: tf.compat.v1.GraphDef) -> str:
    """Returns a graph in protocol buffers' text format."""
    return str(text_format.MessageToString(graph))


def tflite_model(model: ThroughputModel, graph: tf.compat.v1.GraphDef, *, quantize: bool = False) -> bytes:
    """Converts a frozen graph to TensorFlow Lite, with built-in operations only.

    Args:
        model: The model.
        graph: Its frozen graph.
        quantize: Dynamic range: large weights become 8-bit integers, activations stay float32.
    """
    with TemporaryDirectory() as folder:
        path = Path(folder) / "graph.pb"
        path.write_bytes(graph.SerializeToString())
        inputs = [spec.name for spec in input_specs(model)]
        # The converter for frozen graphs is the one that keeps the names of tensors.
        converter = tf.compat.v1.lite.TFLiteConverter.from_frozen_graph(str(path), inputs, list(output_names(model)))
        converter.optimizations = [tf.lite.Optimize.DEFAULT] if quantize else []
        return bytes(converter.convert())


def write_saved_model(model: ThroughputModel, function: Any, folder: Path) -> None:
    """Writes a SavedModel with two signatures.

    `serving_default` has the tensors of the other formats. `predict` is for callers in Python: its arguments have the
    last parts of those names (`node_features`, ...), its outputs are `cycles_per_iteration` and, for seq2seq models,
    `cycles_of_instructions`.
    """
    specs = input_specs(model)
    plain = [tf.TensorSpec(spec.shape, spec.dtype, plain_name(spec.name)) for spec in specs]

    def predict(*tensors: tf.Tensor) -> dict[str, tf.Tensor]:
        answer = function(*tensors)
        outputs = {"cycles_per_iteration": answer[OUTPUT]}
        return outputs | ({"cycles_of_instructions": answer[OUTPUT_DELTAS]} if OUTPUT_DELTAS in answer else {})

    module = tf.Module()
    module.weights = list(model.variables_by_name().values())  # a SavedModel holds what hangs on its module
    signatures = {
        "serving_default": function,
        PLAIN_SIGNATURE: tf.function(predict, input_signature=plain, autograph=False),
    }
    with _without_remarks():
        tf.saved_model.save(module, str(folder), signatures=signatures)


def plain_name(name: str) -> str:
    """Returns the last part of a tensor's name: `GnnModelBase.senders` gives `senders`."""
    return name.rpartition(".")[2].removesuffix("_tensor")


@contextmanager
def _without_remarks() -> Iterator[None]:
    """Leaves out what TensorFlow says of dots in names; the signatures have them all the same."""
    loggers = {logger: logger.level for logger in (logging.getLogger("absl"), tf.get_logger())}
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        for logger, level in loggers.items():
            logger.setLevel(level)


def _pruned(graph: tf.compat.v1.GraphDef, model: ThroughputModel) -> tf.compat.v1.GraphDef:
    with deprecation.silence():
        return tf.compat.v1.graph_util.extract_sub_graph(graph, list(output_names(model)))


def _handle_node(name: str, variable: tf.Variable) -> tf.compat.v1.NodeDef:
    node = tf.compat.v1.NodeDef(name=name, op="VarHandleOp")
    node.attr["dtype"].type = variable.dtype.as_datatype_enum
    node.attr["shape"].shape.CopyFrom(variable.shape.as_proto())
    node.attr["shared_name"].s = name.encode()
    return node


def _renamed(edge: str, names: dict[str, str]) -> str:
    """Renames the node of an edge, which is written `name`, `name:output` or `^name`."""
    mark = "^" if edge.startswith("^") else ""
    node, colon, output = edge.removeprefix("^").partition(":")
    return f"{mark}{names.get(node, node)}{colon}{output}"
