"""The action export_graph_def: frozen with a checkpoint, with variables without one, refused for another model's."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from google.protobuf import text_format
from numpy.testing import assert_allclose

from gematria_ops.blocks.vocabulary import Vocabulary
from gematria_ops.encode.flat_feeds import make_feed
from gematria_ops.inference.exporting import export_graph_def
from gematria_ops.inference.predictor import Predictor
from gematria_ops.models.bundle import Bundle
from gematria_ops.models.exported_graph import OUTPUT, input_specs, output_names
from gematria_ops.models.factory import model_identity
from ops_common.errors import ArtifactError, ConfigError
from ops_common.learning.checkpoints import CheckpointStore
from tests.gematria.exported_models import KINDS, encode, make_bundle, real_blocks, vocabulary_of

pytestmark = pytest.mark.tf

BLOCKS = real_blocks(12)
NAMES = ("sequence, seq2seq", "graph, annotations", "graph, GRU, seq2seq, both ways")


def prepare(name: str, folder: Path) -> Bundle:
    """A model with its checkpoint and its files of names; the settings name them all."""
    words = vocabulary_of(BLOCKS)
    words.save(folder / "tokens.txt")
    files = [f"tokens.file={folder / 'tokens.txt'}", f"output.graph_def_file={folder / 'graph.pbtxt'}"]
    annotations = KINDS[name].annotations
    if annotations:
        (folder / "names.txt").write_text("\n".join(annotations), encoding="utf-8")
        files.append(f"tokens.annotation_names_file={folder / 'names.txt'}")
    bundle = make_bundle(KINDS[name], words, "action=export_graph_def", *files)
    config, model = bundle.config, bundle.model
    identity = model_identity(config.model, config.task_names(), words, model.annotation_names)
    CheckpointStore(folder / "checkpoints", identity).save(model.variables_by_name(), 7)
    return bundle


def checkpointed(bundle: Bundle, folder: Path) -> Bundle:
    section = bundle.config.checkpoint.model_copy(update={"file": str(folder / "checkpoints" / "model.ckpt-7")})
    config = bundle.config.model_copy(update={"checkpoint": section})
    return Bundle(bundle.model, bundle.vocabulary, config, bundle.global_step)


def read_graph(folder: Path) -> tf.compat.v1.GraphDef:
    return text_format.Parse((folder / "graph.pbtxt").read_text(encoding="utf-8"), tf.compat.v1.GraphDef())


def operations(graph: tf.compat.v1.GraphDef) -> set[str]:
    inside = {node.op for function in graph.library.function for node in function.node_def}
    return inside | {node.op for node in graph.node}


class Expected:
    """What a graph has to answer."""

    def __init__(self, bundle: Bundle) -> None:
        encoded = encode(bundle.model, bundle.vocabulary, BLOCKS)
        feed = make_feed(encoded, np.arange(len(BLOCKS)), bundle.model.config, bundle.model.annotation_names)
        self._feed = {f"{name}:0": value for name, value in feed.items()}
        self._output = Predictor(bundle.model, bundle.vocabulary).predict_encoded(encoded).output

    def check(self, session: tf.compat.v1.Session) -> None:
        assert_allclose(session.run(f"{OUTPUT}:0", self._feed), self._output, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", NAMES)
def test_with_a_checkpoint_the_weights_are_constants(name: str, tmp_path: Path) -> None:
    bundle = checkpointed(prepare(name, tmp_path), tmp_path)
    expected = Expected(bundle)
    told = export_graph_def(bundle.config)
    assert "model.ckpt-7 as constants" in told
    definition = read_graph(tmp_path)
    assert not [op for op in operations(definition) if "Var" in op]
    placeholders = {node.name: node.attr["dtype"].type for node in definition.node if node.op == "Placeholder"}
    assert placeholders == {spec.name: spec.dtype.as_datatype_enum for spec in input_specs(bundle.model)}
    assert set(output_names(bundle.model)) <= {node.name for node in definition.node}
    with tf.Graph().as_default() as graph:
        tf.import_graph_def(definition, name="")
        with tf.compat.v1.Session(graph=graph) as session:
            expected.check(session)


@pytest.mark.parametrize("name", NAMES)
def test_without_one_a_checkpoint_fills_the_variables_by_their_names(name: str, tmp_path: Path) -> None:
    bundle = prepare(name, tmp_path)
    expected = Expected(bundle)
    assert "variables without values" in export_graph_def(bundle.config)
    definition = read_graph(tmp_path)
    stored = tf.train.load_checkpoint(str(tmp_path / "checkpoints" / "model.ckpt-7"))
    with tf.Graph().as_default() as graph:
        tf.import_graph_def(definition, name="")
        handles = {node.name: node.outputs[0] for node in graph.get_operations() if node.type == "VarHandleOp"}
        # What is made of edges in the last round is read by nobody; a norm of it is left out.
        left_out = bundle.model.variables_by_name().keys() - handles.keys()
        assert all(variable.startswith("graph_network/norm_1/") for variable in left_out)
        fill = [
            tf.raw_ops.AssignVariableOp(resource=handle, value=stored.get_tensor(variable))
            for variable, handle in handles.items()
        ]
        with tf.compat.v1.Session(graph=graph) as session:
            # The operation that runs first tells which one: a gather says "not found", a read "uninitialised".
            with pytest.raises((tf.errors.FailedPreconditionError, tf.errors.NotFoundError)):
                expected.check(session)
            session.run(fill)
            expected.check(session)


def test_the_checkpoint_of_another_model_is_refused(tmp_path: Path) -> None:
    bundle = checkpointed(prepare("graph, annotations", tmp_path), tmp_path)
    model = bundle.config.model.model_copy(update={"use_sent_edges": True})
    with pytest.raises(ConfigError, match=r"another model: model\.use_sent_edges was False, now True"):
        export_graph_def(bundle.config.model_copy(update={"model": model}))
    Vocabulary(bundle.vocabulary.tokens[1:]).save(tmp_path / "tokens.txt")
    with pytest.raises(ConfigError, match=r"belongs to another model: vocabulary\."):
        export_graph_def(bundle.config)
    checkpoint = bundle.config.checkpoint.model_copy(update={"file": str(tmp_path / "model.ckpt-8")})
    bundle.vocabulary.save(tmp_path / "tokens.txt")
    with pytest.raises(ArtifactError, match="No checkpoint was found at"):
        export_graph_def(bundle.config.model_copy(update={"checkpoint": checkpoint}))
    assert not (tmp_path / "graph.pbtxt").exists()


@pytest.mark.slow
def test_as_a_program(tmp_path: Path) -> None:
    """Without an input file, which the export does not read; a mistake is one message and the code of a setting."""
    prepare("sequence", tmp_path)
    command = [
        sys.executable,
        "-m",
        "gematria_ops.run_sequence_model",
        "--gematria_action=export_graph_def",
        f"--gematria_tokens_file={tmp_path / 'tokens.txt'}",
        "--gematria_out_of_vocabulary_replacement_token=_UNKNOWN_",
        "--gematria_token_embedding_size=8",
        "--gematria_instruction_embedding_size=8",
        "--gematria_output_layers=5",
        f"--gematria_checkpoint_file={tmp_path / 'checkpoints' / 'model.ckpt-7'}",
        f"--gematria_graph_def_file={tmp_path / 'graph.pbtxt'}",
    ]
    refused = subprocess.run(command, capture_output=True, text=True, check=False)
    assert refused.returncode == 3
    assert "model.block_embedding_size was 8, now 256" in refused.stderr
    assert "Traceback" not in refused.stderr
    done = subprocess.run([*command, "--gematria_block_embedding_size=8"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "as constants, written to" in done.stderr
    assert not [op for op in operations(read_graph(tmp_path)) if "Var" in op]
