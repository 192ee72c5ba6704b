"""A bundle: one folder that holds everything prediction needs.

weights.data-00000-of-00001, weights.index   weights only, TensorFlow's name-based format
tokens.txt                                   the vocabulary, structural tokens included, in index order
config.json                                  the settings of the training
README.md                                    what the folder is, for whoever has nothing but it
manifest.json                                written last: SHA-256 of the others, step, and what `describe_model` tells
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tensorflow as tf

from gematria_ops.blocks.opcode_table import opcode_table_version
from gematria_ops.blocks.vocabulary import Vocabulary
from gematria_ops.config import GraniteConfig, RunnerConfig, runner_config
from gematria_ops.models.factory import ThroughputModel, build_model
from ops_common.artifacts import (
    MANIFEST_NAME,
    atomic_folder,
    read_json,
    verify_manifest,
    write_json,
    write_manifest,
    write_text,
)
from ops_common.config import plain_values
from ops_common.errors import ArtifactError
from ops_common.learning.checkpoints import DATA_SUFFIX, INDEX_SUFFIX, restore_matching, write_variables

WEIGHTS_NAME = "weights"
TOKENS_NAME = "tokens.txt"
CONFIG_NAME = "config.json"
README_NAME = "README.md"
BUNDLE_KIND = "gematria bundle"
FORMAT_VERSION = 1


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
        details = describe_model(bundle.model, bundle.vocabulary)
        write_text(temporary / README_NAME, _readme(bundle, details))
        files = [f"{WEIGHTS_NAME}{DATA_SUFFIX}", f"{WEIGHTS_NAME}{INDEX_SUFFIX}", TOKENS_NAME, CONFIG_NAME, README_NAME]
        write_manifest(
            temporary,
            files,
            kind=BUNDLE_KIND,
            format_version=FORMAT_VERSION,
            global_step=bundle.global_step,
            **details,
        )


def describe_model(model: ThroughputModel, vocabulary: Vocabulary) -> dict[str, Any]:
    """Return what whoever uses a model has to know about it, as plain values for a manifest."""
    return {
        "model_kind": "graph" if isinstance(model.config, GraniteConfig) else "sequence",
        "task_names": list(model.task_names),
        "annotation_names": list(model.annotation_names),
        "seq2seq": model.config.seq2seq,
        "unit": "cycles per iteration",
        "canonical_form": opcode_table_version(),
        "num_tokens": len(vocabulary),
        "replacement_token": vocabulary.replacement_token,
    }


def _readme(bundle: Bundle, details: Mapping[str, Any]) -> str:
    replacement, annotations = details["replacement_token"], details["annotation_names"]
    unknown = f"counts as `{replacement}`" if replacement else "cannot be predicted"
    return f"""# Throughput model of x86-64 basic blocks

A {details["model_kind"]} model after {bundle.global_step:,} training steps. It answers in cycles per iteration.

| | |
|---|---|
| answers for | {", ".join(details["task_names"])} |
| instructions | in the canonical form of {details["canonical_form"]} |
| annotations that it reads | {", ".join(annotations) or "none"} |
| `weights.*` | weights by name; `tf.train.load_checkpoint` reads them |
| `tokens.txt` | the vocabulary in index order; a block with another token {unknown} |
| `config.json` | settings of the training; those under `model` make the network |
| `manifest.json` | SHA-256 of these files, and what is said here for programs |

With the package `gematria_ops`, from this folder:

```python
from pathlib import Path
from gematria_ops.inference.predictor import Predictor

predictor = Predictor.from_bundle(Path("."))
answers = predictor.predict_protos(blocks)  # BasicBlockWithThroughputProto messages, given back with throughputs
```

`python -m gematria_ops export-model` makes files of it for TensorFlow or TensorFlow Lite alone.
"""


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
    if manifest.get("kind") != BUNDLE_KIND:
        raise ArtifactError(f"{folder / MANIFEST_NAME} is not the manifest of a model bundle", "give a bundle's folder")
    if manifest.get("format_version", FORMAT_VERSION) != FORMAT_VERSION:
        raise ArtifactError(
            f"{folder} is a bundle of format {manifest['format_version']}, this version reads format {FORMAT_VERSION}",
            "use the version of the package that wrote it, or train the model again",
        )
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
