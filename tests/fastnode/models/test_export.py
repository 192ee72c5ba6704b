"""The exported graph under its names: does it answer as the network does, and is a torn file refused?"""

from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from fastnode_ops.config import ModelConfig
from fastnode_ops.models import tensor_names as names
from fastnode_ops.models.export import read_saved_weights, write_frozen_graph, write_saved_model, write_weights
from fastnode_ops.models.serving import GRAPH_NAME, METAINFO_NAME, UNCOMPRESSED_NAME, ServingModel
from fastnode_ops.samples.metainfo import MetaInfo
from ops_common.errors import ArtifactError
from tests.fastnode.batches import Sizes, make_batch
from tests.fastnode.models import reference
from tests.fastnode.models.test_expression import CHOICES, make_model, weights_of

pytestmark = pytest.mark.tf

METAINFO = MetaInfo(name_subtoken_index={"a": 0}, type_subtoken_index={"b": 0})


def write_folder(folder: Path, choices: dict[str, object]) -> tuple[ModelConfig, dict[str, np.ndarray]]:
    model = make_model(**choices)
    weights = weights_of(model)
    serve = folder / "serve"
    write_frozen_graph(serve / GRAPH_NAME, model.config, weights)
    METAINFO.write(serve / METAINFO_NAME)
    return model.config, weights


@pytest.mark.parametrize("choices", CHOICES[:-2], ids=str)
def test_the_frozen_graph_answers_as_plain_numpy(choices: dict[str, object], tmp_path: Path) -> None:
    config, weights = write_folder(tmp_path, choices)
    served = ServingModel.load(tmp_path / "serve")
    assert served.depth == 12
    for seed in range(2):
        batch = make_batch(seed)
        name, production, _ = reference.forward(weights, config, batch)
        states = served.context_states(batch.context_graph)
        expected = reference.context_states(weights, config, batch.context_graph)
        np.testing.assert_allclose(states, expected, rtol=1e-5, atol=1e-5)
        expanded = served.expansion_states(states, batch.expansion_graph)
        np.testing.assert_allclose(
            expanded, reference.expansion_states(weights, config, batch.expansion_graph, expected), rtol=1e-5, atol=1e-5
        )
        of_names, of_targets = served.probabilities(batch)
        np.testing.assert_allclose(of_names, by_sample(name, batch.infer_name.usages.sample_ids), rtol=1e-4, atol=1e-5)
        samples = batch.infer_production.decoder_targets.sample_ids
        np.testing.assert_allclose(of_targets, by_sample(production, samples), rtol=1e-4, atol=1e-5)


def by_sample(logits: np.ndarray, samples: np.ndarray) -> np.ndarray:
    return np.concatenate([reference.softmax(logits[samples == sample]) for sample in range(samples.max() + 1)])


def test_one_part_is_answered_without_the_other(tmp_path: Path) -> None:
    write_folder(tmp_path, {})
    served = ServingModel.load(tmp_path / "serve")
    batch = make_batch(1, Sizes(num_name=0))
    of_names, of_targets = served.probabilities(batch)
    assert len(of_names) == 0
    assert len(of_targets) == len(batch.infer_production.decoder_targets)


def test_a_graph_without_edges_is_answered(tmp_path: Path) -> None:
    config, weights = write_folder(tmp_path, {})
    batch = make_batch(1)
    batch.context_graph.edges.clear()
    states = ServingModel.load(tmp_path / "serve").context_states(batch.context_graph)
    expected = reference.context_states(weights, config, batch.context_graph)
    np.testing.assert_allclose(states, expected, rtol=1e-5, atol=1e-6)


def test_the_names_are_those_of_the_specification(tmp_path: Path) -> None:
    write_folder(tmp_path, {})
    graph = tf.compat.v1.GraphDef.FromString((tmp_path / "serve" / GRAPH_NAME).read_bytes())
    found = {node.name: node for node in graph.node}
    placeholders = {name for name, node in found.items() if node.op.startswith("Placeholder")}
    edges = [f"{kind}_{way}" for kind in ("ast_child", "next_token", "data_flow", "scope") for way in DIRECTIONS]
    ours = "test/expansion_graph/test_placeholders/context_graph_nodes"  # optional: who feeds the embeddings needs none
    assert found[ours].op == "PlaceholderWithDefault"
    assert placeholders - {ours} == {
        *(f"context_graph/placeholders/edges/{key}" for key in edges),
        *lists("context_graph/placeholders/nodes/types", "context_graph/placeholders/nodes/subtokens"),
        *(f"test/expansion_graph/placeholders/{key}" for key in edges),
        "test/expansion_graph/placeholders/context_to_expansion",
        "test/expansion_graph/placeholders/lookup_to_expansion",
        *lists("test/expansion_graph/placeholders/types", "test/expansion_graph/placeholders/subtokens"),
        "test/expansion_graph/test_placeholders/context_node_embeddings",
        "test/infer_name/placeholders/prediction_nodes",
        *lists("test/infer_name/placeholders/types", "test/infer_name/placeholders/subtokens"),
        *lists("test/infer_name/name_encoder/placeholders/usages"),
        "test/infer_production/placeholders/prediction_nodes",
        *lists("test/infer_production/placeholders/decoder_targets"),
        *lists("test/infer_production/placeholders/context_tokens"),
        *lists("test/infer_production/scope_encoder/placeholders/variable_node_ids"),
    }
    assert {
        "context_graph/final_node_states",
        "test/expansion_graph/graph/node_states",
        "test/infer_name/prediction/pred",
        "test/infer_production/prediction/pred",
    } <= found.keys()


DIRECTIONS = ("forward", "backward")


def lists(*prefixes: str) -> list[str]:
    return [f"{prefix}_{part}" for prefix in prefixes for part in ("sample_ids", "indices")]


def test_the_same_weights_give_the_same_bytes(tmp_path: Path) -> None:
    for folder in ("one", "two"):
        write_folder(tmp_path / folder, {})
    one, two = ((tmp_path / folder / "serve" / GRAPH_NAME).read_bytes() for folder in ("one", "two"))
    assert one == two


def test_the_saved_model_has_three_signatures_and_named_variables(tmp_path: Path) -> None:
    model, batch = make_model(), make_batch(1)
    weights = weights_of(model)
    for _ in range(2):  # the second time in place of the first
        write_saved_model(tmp_path / "saved_model", model.config, weights)
    found = read_saved_weights(tmp_path / "saved_model")
    assert found.keys() == weights.keys()
    assert all(np.array_equal(found[name], weights[name]) for name in weights)
    signatures = tf.saved_model.load(str(tmp_path / "saved_model")).signatures
    assert set(signatures) == {"serving_default", "context_graph", "decode"}
    feeds = dict.fromkeys(signatures["context_graph"].structured_input_signature[1], np.zeros((0, 2), np.int32))
    feeds |= names.context_feeds(batch.context_graph)
    answer = signatures["context_graph"](**{name: tf.constant(value) for name, value in feeds.items()})
    expected = reference.context_states(weights, model.config, batch.context_graph)
    np.testing.assert_allclose(answer[names.FINAL_STATES], expected, rtol=1e-5, atol=1e-5)


def test_the_uncompressed_graph_stands_in_the_parent_folder(tmp_path: Path) -> None:
    model = make_model()
    write_frozen_graph(tmp_path / UNCOMPRESSED_NAME, model.config, weights_of(model))
    METAINFO.write(tmp_path / "serve" / METAINFO_NAME)
    assert ServingModel.load(tmp_path / "serve", compressed=False).metainfo == METAINFO
    with pytest.raises(ArtifactError, match=r"expr_model\.frozen\.pb: No such file"):
        ServingModel.load(tmp_path / "serve")


def test_a_file_that_is_no_graph_of_ours_is_refused(tmp_path: Path) -> None:
    METAINFO.write(tmp_path / METAINFO_NAME)
    (tmp_path / GRAPH_NAME).write_bytes(b"\xff\xfe no graph")
    with pytest.raises(ArtifactError, match="is not a frozen graph"):
        ServingModel.load(tmp_path)
    (tmp_path / GRAPH_NAME).write_bytes(b"")
    with pytest.raises(ArtifactError, match="has no tensor context_graph/final_node_states"):
        ServingModel.load(tmp_path)


def test_a_folder_without_a_saved_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="cannot read the saved model"):
        read_saved_weights(tmp_path)


def test_plain_arrays_are_read_by_numpy(tmp_path: Path) -> None:
    weights = weights_of(make_model())
    write_weights(tmp_path / "weights.npz", weights)
    with np.load(tmp_path / "weights.npz") as found:
        assert all(np.array_equal(found[name], weights[name]) for name in weights)
