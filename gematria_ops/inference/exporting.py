"""From a bundle to the formats that others run: written, loaded again, compared with the model, then signed.

    <folder>/model.pbtxt              frozen GraphDef, text                        format graph_def
    <folder>/saved_model/             SavedModel                                   format saved_model
    <folder>/model.tflite             TensorFlow Lite, float32                     format tflite
    <folder>/model_quantized.tflite   TensorFlow Lite, weights in 8 bits           format tflite_quantized
    <folder>/tokens.txt               the vocabulary, in index order
    <folder>/README.md                what the tensors are
    <folder>/manifest.json            written last: SHA-256 of the others, the tensors, how far each format is off

Nothing appears unless every format of full precision answers as the model does.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from gematria_ops.config import RunnerConfig
from gematria_ops.encode.layouts import annotation_names
from gematria_ops.encode.loading import load_vocabulary
from gematria_ops.inference.export_check import FormatCheck, compare, encode_first, judge
from gematria_ops.inference.predictor import Predictor
from gematria_ops.models.bundle import TOKENS_NAME, describe_model
from gematria_ops.models.export_formats import (
    as_text,
    frozen_graph,
    graph_with_variables,
    tflite_model,
    write_saved_model,
)
from gematria_ops.models.exported_graph import exported_function, input_specs, output_names
from gematria_ops.models.exported_runs import Run, load_graph_def, load_saved_model, load_tflite
from gematria_ops.models.factory import ThroughputModel, build_model
from ops_common.artifacts import MANIFEST_NAME, atomic_folder, read_manifest, sha256_file, write_manifest, write_text
from ops_common.errors import ArtifactError, ConfigError

EXPORT_KIND = "gematria export"
_FILES = {
    "graph_def": "model.pbtxt",
    "saved_model": "saved_model",
    "tflite": "model.tflite",
    "tflite_quantized": "model_quantized.tflite",
}
FORMATS = tuple(_FILES)
_LOSSY = "tflite_quantized"


@dataclass(frozen=True)
class ExportSummary:
    """What an export left.

    Attributes:
        folder: Where it stands.
        checks: For each format, how far it is off.
        num_skipped: Blocks of the file that were not compared, by reason.
        size_bytes: For each format, the size of its files.
    """

    folder: Path
    checks: Mapping[str, FormatCheck]
    num_skipped: Mapping[str, int]
    size_bytes: Mapping[str, int]


def export_graph_def(config: RunnerConfig) -> str:
    """Write `output.graph_def_file`, with the weights of `checkpoint.file` as constants.

    Without a checkpoint the graph has variables without values, under their names in checkpoints.

    Returns:
        A line for people.

    Raises:
        ConfigError: The checkpoint belongs to another model.
        ArtifactError: There is no such checkpoint, or the file cannot be written.
    """
    path = Path(config.output.graph_def_file or "")
    if config.checkpoint.file:
        predictor = Predictor.from_checkpoint(config)
        model = predictor.model
        graph = frozen_graph(model, exported_function(model, predictor.vocabulary))
        told = f"weights of {config.checkpoint.file} as constants"
    else:
        vocabulary = load_vocabulary(config)
        model = build_model(config, vocabulary, annotation_names(config))
        graph = graph_with_variables(model, exported_function(model, vocabulary))
        told = "variables without values: no checkpoint was given"
    write_text(path, as_text(graph))
    return f"graph of {len(graph.node)} nodes, {told}, written to {path}"


def export_bundle(
    bundle_dir: Path, output_dir: Path, blocks_file: Path, *, formats: Sequence[str] = FORMATS, num_blocks: int = 100
) -> ExportSummary:
    """Export a bundle, and compare each format with the model on some blocks.

    Args:
        bundle_dir: The bundle.
        output_dir: The folder to make; one that holds an earlier export is replaced.
        blocks_file: TFRecord file of blocks.
        formats: What to make; see the top of this file.
        num_blocks: Compare on the first blocks of the file, this many.

    Raises:
        ConfigError: A format is not known.
        ArtifactError: The bundle is damaged, or the folder holds something else.
        DataError: The file holds no block that the model can predict.
        GateError: A format of full precision answers otherwise than the model; nothing is written then.
    """
    _check_request(formats, num_blocks, output_dir)
    predictor = Predictor.from_bundle(bundle_dir)
    encoded = encode_first(predictor, blocks_file, num_blocks)
    expected = predictor.predict_encoded(encoded)
    with atomic_folder(output_dir, replace=True) as folder:
        _write_formats(predictor, formats, folder)
        checks = {}
        for name in formats:
            run = _load(name, folder / _FILES[name], predictor.model)
            checks[name] = compare(run, encoded, expected, predictor.model)
            judge(name, checks[name], has_limit=name != _LOSSY)
        sizes = {name: sum(path.stat().st_size for path in _files_of(folder / _FILES[name])) for name in formats}
        predictor.vocabulary.save(folder / TOKENS_NAME)
        details = _describe(predictor, bundle_dir, checks)
        write_text(folder / "README.md", _readme(details, formats))
        files = [path.relative_to(folder).as_posix() for path in _files_of(folder)]
        write_manifest(folder, files, kind=EXPORT_KIND, format_version=1, **details)
    return ExportSummary(output_dir, checks, encoded.dropped, sizes)


def _check_request(formats: Sequence[str], num_blocks: int, output_dir: Path) -> None:
    unknown = [name for name in formats if name not in _FILES]
    if unknown or not formats:
        raise ConfigError(
            f"there is no export format {unknown[0] if unknown else ''!r}", f"choose of {', '.join(FORMATS)}"
        )
    if num_blocks < 1:
        raise ConfigError(f"{num_blocks} blocks cannot be compared", "compare on at least one block")
    if output_dir.exists() and any(output_dir.iterdir() if output_dir.is_dir() else [output_dir]):
        manifest = read_manifest(output_dir / MANIFEST_NAME) if (output_dir / MANIFEST_NAME).exists() else {}
        if manifest.get("kind") != EXPORT_KIND:
            raise ArtifactError(f"{output_dir} holds something else than an export", "choose another folder")


def _write_formats(predictor: Predictor, formats: Sequence[str], folder: Path) -> None:
    model = predictor.model
    function = exported_function(model, predictor.vocabulary)
    graph = frozen_graph(model, function)
    writers: dict[str, Callable[[Path], object]] = {
        "graph_def": lambda path: write_text(path, as_text(graph)),
        "saved_model": lambda path: write_saved_model(model, function, path),
        "tflite": lambda path: path.write_bytes(tflite_model(model, graph)),
        "tflite_quantized": lambda path: path.write_bytes(tflite_model(model, graph, quantize=True)),
    }
    for name in formats:
        writers[name](folder / _FILES[name])


def _load(name: str, path: Path, model: ThroughputModel) -> Run:
    if name == "graph_def":
        return load_graph_def(path, output_names(model))
    return load_saved_model(path) if name == "saved_model" else load_tflite(path)


def _files_of(path: Path) -> list[Path]:
    return [path] if path.is_file() else sorted(item for item in path.rglob("*") if item.is_file())


def _describe(predictor: Predictor, bundle_dir: Path, checks: Mapping[str, FormatCheck]) -> dict[str, Any]:
    model = predictor.model
    manifest = read_manifest(bundle_dir / MANIFEST_NAME)
    return {
        **describe_model(model, predictor.vocabulary),
        "global_step": manifest["global_step"],
        "bundle_manifest_sha256": sha256_file(bundle_dir / MANIFEST_NAME),
        "inputs": [
            {"name": spec.name, "dtype": spec.dtype.name, "shape": spec.shape.as_list()} for spec in input_specs(model)
        ],
        "outputs": list(output_names(model)),
        "checks": {name: asdict(check) for name, check in checks.items()},
    }


def _readme(details: Mapping[str, Any], formats: Sequence[str]) -> str:
    inputs = [f"| `{item['name']}` | {item['dtype']} | {item['shape']} |" for item in details["inputs"]]
    checks = details["checks"]
    files = [f"| `{_FILES[name]}` | {name} | {checks[name]['max_relative_difference']:.1e} |" for name in formats]
    lines = [
        "# Exported throughput model",
        "",
        f"A {details['model_kind']} model of x86-64 basic blocks, after {details['global_step']:,} training steps.",
        f"It answers in cycles per iteration, one column for each of: {', '.join(details['task_names'])}.",
        f"Instructions have to be in the canonical form of {details['canonical_form']}.",
        "A token's number is its line in `tokens.txt`, counted from 0.",
        "",
        "| file | format | largest relative difference from the model |",
        "|---|---|---|",
        *files,
        "",
        "| input | type | shape (None: open) |",
        "|---|---|---|",
        *inputs,
        "",
        "Outputs, in this order: " + ", ".join(f"`{name}`" for name in details["outputs"]) + ".",
        "",
        "`manifest.json` says the same for programs, with the SHA-256 of every file.",
        "",
    ]
    return "\n".join(lines)
