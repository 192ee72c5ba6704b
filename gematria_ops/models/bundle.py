"""A bundle: one folder that holds everything prediction needs.

weights.data-00000-of-00001, weights.index   weights only, TensorFlow's name-based format
tokens.txt                                   the vocabulary, structural tokens included, in index order
config.json                                  the settings of the training
manifest.json                                written last: SHA-256 of the others, step, names of tasks and annotations
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import tensorflow as tf

from gematria_ops.blocks.vocabulary import Vocabulary
from gematria_ops.config import RunnerConfig, runner_config
from gematria_ops.models.factory import ThroughputModel, build_model
from ops_common.artifacts import (
    MANIFEST_NAME,
    atomic_folder,
    read_json,
    verify_manifest,
    write_json,
    write_manifest,
)
from ops_common.config import plain_values
from ops_common.errors import ArtifactError
from ops_common.learning.checkpoints import DATA_SUFFIX, INDEX_SUFFIX, restore_matching, write_variables

WEIGHTS_NAME = "weights"
TOKENS_NAME = "tokens.txt"
CONFIG_NAME = "config.json"


@dataclass(frozen=True)
class Bundle:
    """A model as it was saved.

    Attributes:
        model: The network with its trained weights.
        vocabulary: The tokens it knows, with the replacement for unknown ones.
        config: The settings of its training.
        global_step: Updates behind the weights.
    """

    model: ThroughputModel
    vocabulary: Vocabulary
    config: RunnerConfig
    global_step: int


def save_bundle(folder: Path, bundle: Bundle) -> None:
    """Write a bundle; the folder appears only when it is whole. One that stands there is replaced.

    Raises:
        ArtifactError: The disk is full or the folder cannot be written.
    """
    with atomic_folder(folder, replace=True) as temporary:
        write_variables(temporary / WEIGHTS_NAME, bundle.model.variables_by_name())
        bundle.vocabulary.save(temporary / TOKENS_NAME)
        write_json(temporary / CONFIG_NAME, plain_values(without_paths(bundle.config)))
        files = [f"{WEIGHTS_NAME}{DATA_SUFFIX}", f"{WEIGHTS_NAME}{INDEX_SUFFIX}", TOKENS_NAME, CONFIG_NAME]
        write_manifest(
            temporary,
            files,
            kind="gematria bundle",
            global_step=bundle.global_step,
            task_names=list(bundle.config.task_names()),
            annotation_names=list(bundle.model.annotation_names),
        )


def without_paths(config: RunnerConfig) -> RunnerConfig:
    """Return the settings without the folders and files of the machine that trained; they mean nothing elsewhere."""
    cleared = {
        "tokens": {"file": None, "annotation_names_file": None},
        "input": {"files": ()},
        "validation": {"files": ()},
        "checkpoint": {
            "directory": "",
            "file": "",
            "warmstart_file": None,
            "warmstart_dir": None,
            "resume_from_dir": None,
            "resume_to_dir": None,
        },
        "summary": {"directory": ""},
        "output": {"file": "", "graph_def_file": None},
    }
    sections = {name: getattr(config, name).model_copy(update=values) for name, values in cleared.items()}
    return config.model_copy(update=sections)


def load_bundle(folder: Path) -> Bundle:
    """Read a bundle and build its model, with every weight.

    Raises:
        ArtifactError: The folder is no bundle, a file is not the one that was written, or the weights are not those of
            the model that its settings describe; the first difference is named.
        ConfigError: The settings hold something that this version does not know.
    """
    manifest = verify_manifest(folder)
    if manifest.get("kind") != "gematria bundle":
        raise ArtifactError(f"{folder / MANIFEST_NAME} is not the manifest of a model bundle", "give a bundle's folder")
    config = runner_config(read_json(folder / CONFIG_NAME), where=str(folder / CONFIG_NAME))
    replacement = config.tokens.out_of_vocabulary_replacement_token
    vocabulary = Vocabulary.from_file(folder / TOKENS_NAME, replacement)
    model = build_model(config, vocabulary, [str(name) for name in manifest.get("annotation_names", ())])
    restored = restore_matching(folder / WEIGHTS_NAME, model.variables_by_name())
    stored = tf.train.load_checkpoint(str(folder / WEIGHTS_NAME)).get_variable_to_shape_map()
    surplus = {name: "the model has no such variable" for name in sorted({*stored} - {*restored.loaded})}
    for name, reason in {**surplus, **restored.skipped}.items():
        raise ArtifactError(f"the weights in {folder} are not those of its settings: {name}: {reason}")
    return Bundle(model, vocabulary, config, int(manifest["global_step"]))
