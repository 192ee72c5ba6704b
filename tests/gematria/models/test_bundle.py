"""A bundle gives back the model that was saved, or says what is wrong with it."""

from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from numpy.testing import assert_array_equal

from gematria_ops.config import RunnerConfig
from gematria_ops.encode.sequence_batch import make_batch
from gematria_ops.models.bundle import Bundle, load_bundle, save_bundle
from gematria_ops.models.ithemal import Ithemal
from ops_common.artifacts import read_json, write_json, write_manifest
from ops_common.errors import ArtifactError, ConfigError
from ops_common.learning.checkpoints import write_variables
from tests.gematria.encode.block_examples import random_encoded, vocabulary

pytestmark = pytest.mark.tf

FILES = ["weights.data-00000-of-00001", "weights.index", "tokens.txt", "config.json", "README.md"]
SETTINGS = (
    "model.token_embedding_size=4",
    "model.instruction_embedding_size=4",
    "model.block_embedding_size=4",
    "model.task_output_layers=3",
    "input.files=/data/some.tfrecord",
    "checkpoint.directory=/runs/one",
)


@pytest.fixture
def bundle() -> Bundle:
    config = RunnerConfig.from_toml(None, SETTINGS)
    words = vocabulary("_UNKNOWN_")
    return Bundle(Ithemal(config.model, len(words), config.task_names(), 3), words, config, 1200)


@pytest.fixture
def folder(bundle: Bundle, tmp_path: Path) -> Path:
    save_bundle(tmp_path / "bundle", bundle)
    return tmp_path / "bundle"


def sign_again(folder: Path) -> None:
    """Make the manifest agree with changed files, so that only the content is wrong."""
    manifest = read_json(folder / "manifest.json")
    write_manifest(folder, FILES, **{key: value for key, value in manifest.items() if key != "files"})


def test_saved_and_loaded(bundle: Bundle, folder: Path) -> None:
    loaded = load_bundle(folder)
    assert loaded.global_step == 1200
    assert loaded.vocabulary == bundle.vocabulary
    assert loaded.config.model == bundle.config.model
    variables = loaded.model.variables_by_name()
    for name, variable in bundle.model.variables_by_name().items():
        assert_array_equal(variables[name], variable)
    batch = make_batch(random_encoded(5, 1, seed=1), np.arange(5))
    assert_array_equal(loaded.model(batch.inputs).output, bundle.model(batch.inputs).output)


def test_weights_are_listed_by_name(bundle: Bundle, folder: Path) -> None:
    stored = tf.train.load_checkpoint(str(folder / "weights")).get_variable_to_shape_map()
    assert stored == {name: list(value.shape) for name, value in bundle.model.variables_by_name().items()}


def test_nothing_of_the_machine_stands_in_it(folder: Path) -> None:
    text = (folder / "config.json").read_text(encoding="utf-8")
    assert "/data" not in text
    assert "/runs" not in text


def test_a_bundle_replaces_another(bundle: Bundle, folder: Path) -> None:
    next(iter(bundle.model.variables_by_name().values())).assign_add(tf.ones([len(bundle.vocabulary), 4]))
    save_bundle(folder, bundle)
    assert_array_equal(
        load_bundle(folder).model.variables_by_name()["token_embedding/table"],
        bundle.model.variables_by_name()["token_embedding/table"],
    )
    assert sorted(path.name for path in folder.iterdir()) == sorted([*FILES, "manifest.json"])


@pytest.mark.parametrize("name", FILES)
def test_a_damaged_or_missing_file_is_named(folder: Path, name: str) -> None:
    path = folder / name
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    with pytest.raises(ArtifactError, match=name):
        load_bundle(folder)
    path.unlink()
    with pytest.raises(ArtifactError, match=f"{name} is missing"):
        load_bundle(folder)


def test_a_missing_variable_is_named(bundle: Bundle, folder: Path) -> None:
    variables = bundle.model.variables_by_name()
    variables.pop("block_lstm/bias")
    write_variables(folder / "weights", variables)
    sign_again(folder)
    with pytest.raises(ArtifactError, match=r"not those of its settings: block_lstm/bias: it has no variable"):
        load_bundle(folder)


def test_a_surplus_variable_is_named(bundle: Bundle, folder: Path) -> None:
    write_variables(folder / "weights", {**bundle.model.variables_by_name(), "block_lstm/peephole": tf.Variable([1.0])})
    sign_again(folder)
    with pytest.raises(ArtifactError, match=r"block_lstm/peephole: the model has no such variable"):
        load_bundle(folder)


def test_another_vocabulary_is_refused(folder: Path) -> None:
    tokens = folder / "tokens.txt"
    tokens.write_text(tokens.read_text(encoding="utf-8") + "ZMM31\n", encoding="utf-8")
    sign_again(folder)
    with pytest.raises(ArtifactError, match=r"token_embedding/table: .* has shape \[15, 4\] in it, \[16, 4\] here"):
        load_bundle(folder)


def test_settings_of_another_model_are_refused(folder: Path) -> None:
    settings = read_json(folder / "config.json")
    settings["model"]["block_embedding_size"] = 8
    write_json(folder / "config.json", settings)
    sign_again(folder)
    with pytest.raises(ArtifactError, match="block_lstm/bias"):
        load_bundle(folder)
    settings["model"]["surprise"] = 1
    write_json(folder / "config.json", settings)
    sign_again(folder)
    with pytest.raises(ConfigError, match="surprise"):
        load_bundle(folder)


def test_another_folder_is_no_bundle(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="does not exist"):
        load_bundle(tmp_path)
    (tmp_path / "tokens.txt").write_text("RAX\n", encoding="utf-8")
    write_manifest(tmp_path, ["tokens.txt"])
    with pytest.raises(ArtifactError, match="is not the manifest of a model bundle"):
        load_bundle(tmp_path)
