"""Run exported models with TensorFlow alone: `run_exported.py <export folder> ...`; no import of this repository.

Each folder has feed.npz beside the export's files; answers.npz is written there, one array a format and output.
"""

import json
import sys
from pathlib import Path

import numpy as np
import tensorflow as tf
from google.protobuf import text_format


def run_graph(path, feed, outputs):
    definition = text_format.Parse(path.read_text(), tf.compat.v1.GraphDef())
    kinds = {node.op for node in definition.node}
    kinds |= {node.op for function in definition.library.function for node in function.node_def}
    assert not kinds & {"VarHandleOp", "VariableV2", "ReadVariableOp"}, kinds
    with tf.Graph().as_default() as graph:
        tf.import_graph_def(definition, name="")
        with tf.compat.v1.Session(graph=graph) as session:
            return session.run(
                {name: f"{name}:0" for name in outputs}, {f"{name}:0": value for name, value in feed.items()}
            )


def run_saved_model(path, feed, outputs):
    module = tf.saved_model.load(str(path))
    answers = module.signatures["serving_default"](**{name: tf.constant(value) for name, value in feed.items()})
    assert set(answers) == set(outputs)
    plain = {name.rpartition(".")[2].removesuffix("_tensor"): tf.constant(value) for name, value in feed.items()}
    convenient = module.signatures["predict"](**plain)
    assert np.array_equal(convenient["cycles_per_iteration"], answers["ModelBase.output_tensor"])
    if "cycles_of_instructions" in convenient:
        assert np.array_equal(convenient["cycles_of_instructions"], answers["ModelBase.output_tensor_deltas"])
    return {name: tensor.numpy() for name, tensor in answers.items()}


def run_tflite(path, feed, outputs):
    interpreter = tf.lite.Interpreter(model_path=str(path))
    operations = {detail["op_name"] for detail in interpreter._get_ops_details()}
    assert not [name for name in operations if "Flex" in name or "CUSTOM" in name.upper()], operations
    details = {detail["name"]: detail for detail in interpreter.get_input_details()}
    assert list(details) == list(feed)
    for name, value in feed.items():
        assert details[name]["dtype"] == value.dtype
        interpreter.resize_tensor_input(details[name]["index"], value.shape)
    interpreter.allocate_tensors()
    for name, value in feed.items():
        interpreter.set_tensor(details[name]["index"], value)
    interpreter.invoke()
    assert [detail["name"] for detail in interpreter.get_output_details()] == outputs
    return {detail["name"]: interpreter.get_tensor(detail["index"]) for detail in interpreter.get_output_details()}


RUNS = {
    "model.pbtxt": run_graph,
    "saved_model": run_saved_model,
    "model.tflite": run_tflite,
    "model_quantized.tflite": run_tflite,
}

for text in sys.argv[1:]:
    folder = Path(text)
    manifest = json.loads((folder / "manifest.json").read_text())
    with np.load(folder / "feed.npz") as stored:
        feed = {item["name"]: stored[item["name"]] for item in manifest["inputs"]}
    collected = {}
    for file, run in RUNS.items():
        for output, values in run(folder / file, feed, manifest["outputs"]).items():
            collected[f"{file} {output}"] = values
    np.savez(folder / "answers.npz", **collected)
assert not [name for name in sys.modules if name.partition(".")[0] in {"gematria_ops", "ops_common"}]
