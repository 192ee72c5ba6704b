"""From a trained model and a data set to a finished evaluation on disk: the entry of the task `evaluate_model`.

evaluate_bundle     bundle -> predictor, then
evaluate_dataset      training part  -> baselines, and what "seen in training" means     (recording, baselines)
                      held-out part  -> predictions beside the labels                    (recording, predictor)
                      both           -> evaluation.json, .html, .md and the predictions  (evaluation, report)
"""

from __future__ import annotations

import importlib.metadata
import logging
import os
import platform
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from gematria_ops.config import AnyModelConfig, GraniteConfig, RnnType, RunnerConfig
from gematria_ops.data.dataset import read_labelled_blocks, split_file
from gematria_ops.data.merging import REPORT_NAME
from gematria_ops.data.selecting import selection_for_evaluation
from gematria_ops.data.splitting import TRAIN
from gematria_ops.formats.applications_csv import read_applications
from gematria_ops.formats.protos.throughput_pb2 import BasicBlockWithThroughputProto
from gematria_ops.inference import baselines as baseline_models
from gematria_ops.inference.evaluation import EvaluationSettings, HeldOutBlocks, evaluate
from gematria_ops.inference.evaluation_report import (
    DatasetDescription,
    EvaluationReport,
    ModelDescription,
    Provenance,
)
from gematria_ops.inference.learning_curve import learning_curves
from gematria_ops.inference.metrics import FloatArray
from gematria_ops.inference.predictions_file import PREDICTIONS_NAME, BlockPredictions, write_predictions
from gematria_ops.inference.recording import BlockRecorder, InstructionNumbers, RecordedBlocks
from gematria_ops.inference.report import ReportFiles, write_reports
from gematria_ops.inference.slicing import Cut, application_cut, category_cuts
from ops_common.artifacts import MANIFEST_NAME, read_json, read_manifest, sha256_file
from ops_common.config import plain_values
from ops_common.errors import ConfigError
from ops_common.metrics import read_metrics
from ops_common.progress import Progress

# Sources whose name begins so are computed; a report must not let them pass for measurements.
_ANALYTICAL_METHODS = ("llvm-mca", "llvm_mca", "llvm_sim", "iaca", "uica", "osaca")

logger = logging.getLogger(__name__)

# Hands every block on, in order, with the K predictions appended to its throughputs; an unpredicted one as it came.
Predict = Callable[[Iterable[BasicBlockWithThroughputProto]], Iterator[BasicBlockWithThroughputProto]]


@dataclass(frozen=True)
class JudgedModel:
    """A model to be evaluated.

    Attributes:
        description: For the report.
        config: The settings it was trained with; they say what its labels are.
        predict: Its predictions.
        num_unpredicted: Blocks that it handed on without a prediction so far, by reason; grows as it predicts.
    """

    description: ModelDescription
    config: RunnerConfig
    predict: Predict
    num_unpredicted: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Evaluation:
    """A finished evaluation.

    Attributes:
        report: All figures.
        files: Where its forms stand.
        predictions_file: The predictions and labels of every block, NumPy's format.
    """

    report: EvaluationReport
    files: ReportFiles
    predictions_file: Path


def evaluate_bundle(
    bundle_dir: Path,
    dataset_dir: Path,
    split: str,
    reports_dir: Path,
    metrics_path: Path | None = None,
    settings: EvaluationSettings | None = None,
    applications_file: Path | None = None,
) -> Evaluation:
    """Evaluates a bundle on a held-out part of a data set and writes the reports; see `evaluate_dataset`.

    Raises:
        ArtifactError: The bundle is not whole.
    """
    started = time.monotonic()
    from gematria_ops.inference.predictor import Predictor
    from gematria_ops.models.bundle import load_bundle

    bundle = load_bundle(bundle_dir)
    output, limits = bundle.config.output, bundle.config.batch
    predictor = Predictor(bundle.model, bundle.vocabulary, model_name=output.model_name or "")
    description = ModelDescription(
        name=output.model_name or short_name(bundle.config),
        global_step=bundle.global_step,
        num_parameters=sum(int(np.prod(v.shape)) for v in bundle.model.variables_by_name().values()),
        sha256=sha256_file(bundle_dir / MANIFEST_NAME),
    )
    logger.info("bundle loaded in %.1f s", time.monotonic() - started)

    def predict(blocks: Iterable[BasicBlockWithThroughputProto]) -> Iterator[BasicBlockWithThroughputProto]:
        # Blocks over the limit pass through unpredicted, as they will in use; the report counts them.
        return predictor.predict_protos(blocks, max_instructions_in_batch=limits.max_instructions)

    judged = JudgedModel(description, bundle.config, predict, predictor.num_unpredicted)
    return evaluate_dataset(judged, dataset_dir, split, reports_dir, metrics_path, settings, applications_file)


def short_name(config: RunnerConfig) -> str:
    """Names a model without a name by its kind and sizes, shorter than the automatic name of its predictions."""
    model: AnyModelConfig = config.model
    if isinstance(model, GraniteConfig):
        kind = "GRANITE" if model.rnn_type is RnnType.NONE else f"GRANITE + {model.rnn_type.name}"
        rounds = model.num_message_passing_iterations
        return f"{kind}, size {model.node_embedding_size}, {rounds} rounds{', seq2seq' if model.seq2seq else ''}"
    sizes = (model.token_embedding_size, model.instruction_embedding_size, model.block_embedding_size)
    size = str(sizes[0]) if len(set(sizes)) == 1 else "/".join(map(str, sizes))
    kind = "Hierarchical LSTM, bidirectional" if model.bidirectional else "Hierarchical LSTM"
    return f"{kind}, size {size}{', seq2seq' if model.seq2seq else ''}"


def evaluate_dataset(
    model: JudgedModel,
    dataset_dir: Path,
    split: str,
    reports_dir: Path,
    metrics_path: Path | None = None,
    settings: EvaluationSettings | None = None,
    applications_file: Path | None = None,
) -> Evaluation:
    """Evaluates a model on a held-out part of a data set and writes the reports.

    Args:
        model: What is evaluated.
        dataset_dir: Folder that import-bhive has written.
        split: validation or test.
        reports_dir: Where the reports go.
        metrics_path: The training's metrics file, for the learning curve; None or missing: no curve.
        settings: Seed and sizes of the evaluation.
        applications_file: Which application each block is from, see `read_applications`; None: no such parts.

    Raises:
        ConfigError: The part is the training part, or there is no such part.
        DataError: A file is damaged, a task of the model has no label in it, or the applications are of other blocks.
    """
    if split == TRAIN:
        raise ConfigError("a model cannot be judged on the blocks it was trained on", "evaluate on validation or test")
    started = time.monotonic()
    settings = settings or EvaluationSettings()
    task_names = model.config.task_names()
    numbers = InstructionNumbers()
    trained, _ = _read_training_part(model.config, split_file(dataset_dir, TRAIN), numbers)
    held_out, predictions, dropped = _predict_part(model, split_file(dataset_dir, split), numbers)
    blocks = _as_held_out(held_out, trained, _cuts(held_out, applications_file))
    report = evaluate(
        predictions,
        blocks,
        task_names,
        baselines=_baseline_predictions(trained, held_out, numbers),
        dataset=DatasetDescription(
            name=dataset_dir.name,
            split=split,
            num_blocks=held_out.num_blocks,
            num_training_blocks=trained.num_blocks,
            sha256=read_manifest(dataset_dir / MANIFEST_NAME)["files"][f"{split}.tfrecord"]["sha256"],
            label_note=label_note(held_out.sources),
            dropped=dict(dropped),
        ),
        model=model.description,
        provenance=_provenance(model.config, dataset_dir),
        sources=held_out.sources,
        learning_curves=learning_curves(read_metrics(metrics_path), task_names) if metrics_path else (),
        settings=settings,
    )
    seconds = round(time.monotonic() - started, 2)
    provenance = report.provenance.model_copy(update={"evaluation_seconds": seconds})
    report = report.model_copy(update={"provenance": provenance, "unpredicted": dict(model.num_unpredicted)})
    kept = _predictions_to_keep(task_names, held_out, blocks, predictions)
    predictions_file = write_predictions(reports_dir / PREDICTIONS_NAME, kept)
    return Evaluation(report, write_reports(report, reports_dir), predictions_file)


def label_note(sources: Iterable[str]) -> str:
    """Says what the labels are, as far as the names of their sources tell ("method: specification")."""
    named = [source for source in dict.fromkeys(sources) if source]
    computed = [source for source in named if source.split(":")[0].strip().lower() in _ANALYTICAL_METHODS]
    if computed:
        return (
            f"The labels of {', '.join(computed)} are the output of an analytical model, not measurements: the errors "
            "say how well this model imitates that one."
        )
    return (
        f"The labels are those of the data set's {'source' if len(named) == 1 else 'sources'} {', '.join(named)}; "
        "how they were obtained is the data set's affair."
        if named
        else ""
    )


def _read_blocks(config: RunnerConfig, path: Path, dropped: Counter[str]) -> Iterator[BasicBlockWithThroughputProto]:
    """Reads blocks with the labels that the model was trained for, nothing drawn at random."""
    return read_labelled_blocks(
        [path],
        config.input.source_filters,
        config.task_names(),
        selection_for_evaluation(config.input.throughput_selection),
        config.input.scaling,
        drop_counts=dropped,
    )


def _read_training_part(
    config: RunnerConfig, path: Path, numbers: InstructionNumbers
) -> tuple[RecordedBlocks, Counter[str]]:
    recorder = BlockRecorder(len(config.task_names()), numbers)
    dropped: Counter[str] = Counter()
    with Progress("read training part", _num_blocks(path), "blocks") as progress:
        for block in _read_blocks(config, path, dropped):
            recorder.add(block)
            progress.advance()
    return recorder.finish(), dropped


def _predict_part(
    model: JudgedModel, path: Path, numbers: InstructionNumbers
) -> tuple[RecordedBlocks, FloatArray, Counter[str]]:
    """Predicts the blocks of a file; float64 [B, K] cycles per iteration, NaN where the model gave nothing."""
    num_tasks = len(model.config.task_names())
    recorder = BlockRecorder(num_tasks, numbers, keep_texts=True)
    dropped: Counter[str] = Counter()
    num_entries_before: deque[int] = deque()

    def offered() -> Iterator[BasicBlockWithThroughputProto]:
        for block in recorder.watch(_read_blocks(model.config, path, dropped)):
            num_entries_before.append(len(block.inverse_throughputs))
            yield block

    rows: list[list[float]] = []
    with Progress("predict", _num_blocks(path), "blocks") as progress:
        for block in model.predict(offered()):
            added = block.inverse_throughputs[num_entries_before.popleft() :]
            values = [entry.inverse_throughput_cycles[0] for entry in added]
            rows.append(values if len(values) == num_tasks else [np.nan] * num_tasks)
            progress.advance()
    if num_entries_before:
        num_offered = len(rows) + len(num_entries_before)
        raise RuntimeError(f"the predictor was offered {num_offered} blocks and handed on {len(rows)}")
    return recorder.finish(), np.array(rows, dtype=np.float64).reshape(len(rows), num_tasks), dropped


def _num_blocks(path: Path) -> int | None:
    """Looks up how many blocks a part of a data set has, for the progress display; None when nothing says so."""
    by_split = _import_report(path.parent).get("blocks_by_split", {})
    number = by_split.get(path.stem)
    return number if isinstance(number, int) else None


def _import_report(dataset_dir: Path) -> dict[str, Any]:
    """Reads what the import said of the data set; empty when it said nothing."""
    path = dataset_dir / REPORT_NAME
    return dict(read_json(path)) if path.is_file() else {}


def _cuts(blocks: RecordedBlocks, applications_file: Path | None) -> list[Cut]:
    """By what the held-out blocks are cut into parts besides their length, label and what training had seen."""
    cuts: list[Cut] = [*category_cuts(blocks.category_numbers, blocks.block_offsets)]
    if applications_file is not None:
        applications = read_applications(applications_file, blocks.machine_codes)
        cuts.append(application_cut(applications, applications_file.name))
    return cuts


def _as_held_out(blocks: RecordedBlocks, trained: RecordedBlocks, cuts: list[Cut]) -> HeldOutBlocks:
    seen = set(trained.token_sequences)
    return HeldOutBlocks(
        labels=blocks.labels,
        mask=blocks.mask,
        num_instructions=blocks.num_instructions,
        fingerprints=blocks.fingerprints,
        machine_codes=blocks.machine_codes,
        assembly=blocks.assembly.__getitem__,
        seen_in_training=np.array([key in seen for key in blocks.token_sequences], dtype=np.bool_),
        token_sequences=blocks.token_sequences,
        cuts=cuts,
    )


def _baseline_predictions(
    trained: RecordedBlocks, held_out: RecordedBlocks, numbers: InstructionNumbers
) -> Mapping[str, FloatArray]:
    """Fits every baseline on the training part and predicts the held-out blocks, float64 [B, K] each."""
    labels, mask = trained.labels, trained.mask
    num_blocks, num_mnemonics = held_out.num_blocks, numbers.num_mnemonics
    counts = baseline_models.instruction_counts(trained.mnemonic_ids, trained.block_offsets, num_mnemonics)
    asked = baseline_models.instruction_counts(held_out.mnemonic_ids, held_out.block_offsets, num_mnemonics)
    return {
        "median": baseline_models.fit_median(labels, mask).predict(num_blocks),
        "best_constant": baseline_models.fit_best_constant(labels, mask).predict(num_blocks),
        "linear": baseline_models.fit_linear(counts, labels, mask).predict(asked),
    }


def _predictions_to_keep(
    task_names: tuple[str, ...], recorded: RecordedBlocks, blocks: HeldOutBlocks, predictions: FloatArray
) -> BlockPredictions:
    """What a later comparison of two models on the same blocks needs."""
    numbers: dict[bytes, int] = {}
    return BlockPredictions(
        predictions=predictions,
        labels=recorded.labels,
        mask=recorded.mask,
        fingerprints=recorded.fingerprints,
        task_names=task_names,
        sources=tuple(recorded.sources),
        machine_codes=recorded.machine_codes,
        token_sequence_ids=[numbers.setdefault(key, len(numbers)) for key in recorded.token_sequences],
        cuts=blocks.cuts_of_blocks(),
    )


def _provenance(config: RunnerConfig, dataset_dir: Path) -> Provenance:
    digests = {"Data set manifest": sha256_file(dataset_dir / MANIFEST_NAME)}
    canonicalizer = _import_report(dataset_dir).get("canonicalizer_version", "")
    tokens_file = dataset_dir / "tokens.txt"
    if tokens_file.is_file():
        digests["tokens.txt"] = sha256_file(tokens_file)
    return Provenance(
        evaluated_at=datetime.now(UTC).isoformat(timespec="seconds"),
        seed=0,
        num_resamples=0,
        digests=digests,
        versions=_versions() | ({"canonical form": canonicalizer} if canonicalizer else {}),
        machine=f"{platform.machine()}, {os.cpu_count()} cores",
        config=plain_values(config),
    )


def _versions() -> dict[str, str]:
    found = {"python": platform.python_version()}
    for title, distributions in {"tensorflow": ("tensorflow-cpu", "tensorflow"), "numpy": ("numpy",)}.items():
        for distribution in distributions:
            try:
                found[title] = importlib.metadata.version(distribution)
            except importlib.metadata.PackageNotFoundError:
                continue
            break
    return found
