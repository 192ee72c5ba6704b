"""Completions by an exported network: it takes what a buffer gives, and its answers are those of plain NumPy."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from fastnode_ops.analysis.analysis import analyse
from fastnode_ops.config import GraphConfig, ModelConfig
from fastnode_ops.inference.completer import Completer
from fastnode_ops.models.export import write_frozen_graph
from fastnode_ops.models.expression import Expression
from fastnode_ops.models.inputs import Vocabulary
from fastnode_ops.models.serving import GRAPH_NAME, METAINFO_NAME
from fastnode_ops.pipeline_dir import GRAPH_CONFIG_NAME
from fastnode_ops.samples.assembly import assemble
from fastnode_ops.samples.drawing import rng
from fastnode_ops.samples.making import make_sample
from fastnode_ops.samples.metainfo import CallInfo, FunctionInfo, MetaInfo
from fastnode_ops.symbols.store import SymbolStore
from ops_common.artifacts import write_json
from ops_common.errors import ArtifactError, ConfigError
from tests.fastnode.models import reference
from tests.fastnode.sample_world import KEYWORDS, PATTERNS, make_world

pytestmark = pytest.mark.tf

SOURCE = b"import os, shutil\ndef f(path, text):\n    x = os.path.join(path, text)\n    shutil.copyfile(x, path)\n"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("serve")


@pytest.fixture(scope="module")
def served(symbols: SymbolStore, folder: Path) -> tuple[Completer, Expression]:
    world = make_world(symbols)
    analysis = analyse(SOURCE, symbols)
    make_sample("attr", analysis, "os.path.join", rng(0), world.context)
    make_sample("call", analysis, "shutil.copyfile", rng(0), world.context)
    metainfo = MetaInfo(
        call=CallInfo(infos={name: FunctionInfo(kwarg_names=words) for name, words in KEYWORDS.items()}),
        name_subtoken_index=dict(world.names),
        type_subtoken_index=dict(world.types),
        production_index=world.context.productions,
    )
    model = Expression(ModelConfig(type_depth=5, subtoken_depth=7), Vocabulary.of(metainfo), seed=3)
    weights = {name: variable.numpy() for name, variable in model.variables_by_name().items()}
    write_frozen_graph(folder / GRAPH_NAME, model.config, weights)
    metainfo.write(folder / METAINFO_NAME)
    resources = SimpleNamespace(symbols=symbols, calls=SimpleNamespace(pattern=PATTERNS.get))
    return Completer.load(folder, resources), model


def test_attributes(served: tuple[Completer, Expression]) -> None:
    completer, model = served
    cursor = SOURCE.index(b"join")
    found = completer.attributes(SOURCE, cursor)
    sample, names = completer.attribute_sample(SOURCE, cursor)
    weights = {name: variable.numpy() for name, variable in model.variables_by_name().items()}
    batch = assemble([sample])
    expected = reference.softmax(reference.forward(weights, model.config, batch)[1])
    assert {one.identifier for one in found} == set(names)
    np.testing.assert_allclose(
        [one.score for one in found], sorted(expected.tolist(), reverse=True), rtol=1e-4, atol=1e-6
    )
    assert found[0].identifier == names[int(np.argmax(expected))]


def test_completions_see_as_much_as_the_training_did(
    served: tuple[Completer, Expression], folder: Path, symbols: SymbolStore, tmp_path: Path
) -> None:
    completer, _ = served
    for path in folder.iterdir():
        (tmp_path / path.name).symlink_to(path)
    write_json(tmp_path / GRAPH_CONFIG_NAME, GraphConfig(max_hops=1).model_dump())
    resources = SimpleNamespace(symbols=symbols, calls=SimpleNamespace(pattern=PATTERNS.get))
    narrow = Completer.load(tmp_path, resources)
    cursor = SOURCE.index(b"join")
    near, far = (one.attribute_sample(SOURCE, cursor)[0].graph for one in (narrow, completer))
    assert len(near.subtokens) < len(far.subtokens)
    write_json(tmp_path / GRAPH_CONFIG_NAME, {"max_hop": 1})
    with pytest.raises(ConfigError, match="unknown setting 'max_hop'"):
        Completer.load(tmp_path, resources)


def test_calls(served: tuple[Completer, Expression]) -> None:
    completer, _ = served
    found = completer.calls(SOURCE, SOURCE.index(b"x, path"))
    assert sum(call.score for call in found) == pytest.approx(1)
    assert {argument.value for call in found for argument in call.arguments} <= {"", "path", "text", "x"}
    assert any(call.arguments for call in found)


def test_a_folder_without_a_model_is_named(served: tuple[Completer, Expression], tmp_path: Path) -> None:
    resources = SimpleNamespace(symbols=None, calls=SimpleNamespace(pattern=PATTERNS.get))
    with pytest.raises(ArtifactError, match="metainfo-inference"):
        Completer.load(tmp_path, resources)
