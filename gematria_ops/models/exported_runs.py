"""Exported models, loaded from their files and run: for comparing them with the model that they were made from."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import tensorflow as tf
from google.protobuf import text_format
from numpy.typing import NDArray

from gematria_ops.encode.flat_feeds import Feed

Answers = dict[str, NDArray[np.generic]]
Run = Callable[[Feed], Answers]


def load_graph_def(path: Path, outputs: Sequence[str]) -> Run:
    """Loads a frozen graph in text form.

    Args:
        path: The file.
        outputs: Names of the tensors to answer with.
    """
    definition = text_format.Parse(path.read_text(encoding="utf-8"), tf.compat.v1.GraphDef())
    graph = tf.Graph()
    with graph.as_default():
        tf.import_graph_def(definition, name="")
    session = tf.compat.v1.Session(graph=graph)

    def run(feed: Feed) -> Answers:
        fetched = session.run({name: f"{name}:0" for name in outputs}, {f"{k}:0": value for k, value in feed.items()})
        return dict(fetched)

    return run


def load_saved_model(folder: Path) -> Run:
    """Loads the default signature of a SavedModel."""
    module = tf.saved_model.load(str(folder))
    signature = module.signatures["serving_default"]

    def run(feed: Feed) -> Answers:
        answers = signature(**{name: tf.constant(value) for name, value in feed.items()})
        # The module has to live as long as its signature.
        return {name: tensor.numpy() for name, tensor in answers.items()} if module is not None else {}

    return run


def load_tflite(path: Path) -> Run:
    """Loads a TensorFlow Lite model."""
    with warnings.catch_warnings():
        # A later TensorFlow will have the interpreter in a package of its own; this one's still works.
        warnings.filterwarnings("ignore", message=r"(?s).*tf\.lite\.Interpreter is deprecated", category=UserWarning)
        interpreter = tf.lite.Interpreter(model_path=str(path))
    inputs, outputs = interpreter.get_input_details(), interpreter.get_output_details()

    def run(feed: Feed) -> Answers:
        for detail in inputs:
            interpreter.resize_tensor_input(detail["index"], feed[detail["name"]].shape)
        interpreter.allocate_tensors()
        for detail in inputs:
            interpreter.set_tensor(detail["index"], feed[detail["name"]])
        interpreter.invoke()
        return {detail["name"]: interpreter.get_tensor(detail["index"]) for detail in outputs}

    return run
