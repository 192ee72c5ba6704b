"""`compress`: the three tables of a saved model as codebooks, and the frozen graph that is served (spec. 12.2)."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from fastnode_ops.config import CodebookConfig, ExpressionConfig
from fastnode_ops.models.accuracy import Hits, add_hits, count_hits
from fastnode_ops.models.codebook import Codebook, train_codebook
from fastnode_ops.models.decoders import PRODUCTION_TABLE
from fastnode_ops.models.embeddings import SUBTOKEN_TABLE, TYPE_TABLE
from fastnode_ops.models.export import read_saved_weights, write_frozen_graph
from fastnode_ops.models.serving import ServingModel
from fastnode_ops.samples.batch import TrainingBatch
from fastnode_ops.samples.metainfo import MetaInfo
from ops_common.errors import ArtifactError, GateError
from ops_common.seeding import derived_seed

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class TableReport:
    """What became of a table.

    Attributes:
        name: Of the variable.
        num_rows: V.
        depth: D.
        num_bytes: Before.
        num_compressed_bytes: After; as before when the table is kept as it is.
        relative_error: |decoded - table| / |table| of the codes that are shipped.
        is_compressed: Whether it is: a table whose codebooks would be larger than itself is kept as it is.
    """

    name: str
    num_rows: int
    depth: int
    num_bytes: int
    num_compressed_bytes: int
    relative_error: float
    is_compressed: bool

    @property
    def ratio(self) -> float:
        """How many times smaller it became."""
        return self.num_bytes / self.num_compressed_bytes

    def as_text(self) -> str:
        """Return one line for people."""
        what = f"{self.name} ({self.num_rows:,} x {self.depth}): {self.num_bytes:,} bytes"
        if not self.is_compressed:
            return f"{what}, kept as it is: codebooks would be larger"
        return f"{what} to {self.num_compressed_bytes:,}, {self.ratio:.1f} times, error {self.relative_error:.3f}"


@dataclass(frozen=True, slots=True)
class CompressionReport:
    """What compression did to a model.

    Attributes:
        tables: What became of each table.
        accuracies: Of each name of the summaries (`name_accuracy`, ..., `accuracy/<task>`) the value before and after;
            empty without held-out batches.
    """

    tables: tuple[TableReport, ...]
    accuracies: Mapping[str, tuple[float, float]]

    def as_values(self) -> dict[str, Any]:
        """Return it as plain values, for JSON."""
        tables = {report.name: {**asdict(report), "ratio": report.ratio} for report in self.tables}
        accuracies = {name: {"before": one, "after": other} for name, (one, other) in self.accuracies.items()}
        return {"tables": tables, "accuracies": accuracies}


def compress(
    config: ExpressionConfig,
    saved_model: Path,
    output: Path,
    models_dir: Path,
    *,
    max_epochs: int | None = None,
    train: bool = True,
    batches: Sequence[TrainingBatch] = (),
) -> CompressionReport:
    """Write the frozen graph with compressed tables.

    Args:
        config: All settings; those of the model as it was trained.
        saved_model: Folder of the trained model.
        output: The frozen graph.
        models_dir: Codebooks are kept in `<models_dir>/<variable>/`, curves in `<models_dir>/tensorboard/`.
        max_epochs: At most so many rounds per table; None: as the settings say.
        train: False: take the codebooks that are there.
        batches: Held-out batches to compare the accuracy on.

    Returns:
        What became of each table, and of the accuracy.

    Raises:
        ArtifactError: There is no saved model, or the stored codebooks are of another table.
        ConfigError: There are more codebooks than columns.
        GateError: A table is not reproduced well enough; nothing is written.
    """
    weights = read_saved_weights(saved_model)
    sizes = _sizes(config.codebook)
    reports, codebooks = [], {}
    for name, (num_books, num_entries) in sizes.items():
        table = weights[name]
        if 4 * num_books * num_entries * table.shape[1] + len(table) * num_books >= table.nbytes:
            reports.append(_report(name, table, None))
            logger.info("%s", reports[-1].as_text())
            continue
        folder = models_dir / name.replace("/", "_")
        if train:
            rounds = config.codebook.max_epochs if max_epochs is None else max_epochs
            seed = derived_seed(config.train.seed, "codebook", name)
            curve = _Curve(models_dir / "tensorboard" / name.replace("/", "_"))
            found = train_codebook(table, num_books, num_entries, max_rounds=rounds, seed=seed, report=curve)
            found.save(folder)
        else:
            found = _stored(folder, table)
        codebooks[name] = found
        reports.append(_report(name, table, found))
        logger.info("%s", reports[-1].as_text())
    _check_errors(reports, config.codebook.max_relative_error)
    write_frozen_graph(output, config.model, weights, codebooks)
    return CompressionReport(tuple(reports), _accuracies(config, weights, output, batches) if batches else {})


def graph_accuracies(graph: Path, batches: Sequence[TrainingBatch]) -> dict[str, float]:
    """Return the accuracies of a frozen graph, fed as it is when it serves.

    Args:
        graph: The frozen graph.
        batches: Sound batches.
    """
    served = ServingModel(graph, MetaInfo(name_subtoken_index={}, type_subtoken_index={}))
    totals: dict[str, Hits] = {}
    for batch in batches:
        add_hits(totals, count_hits(batch, *served.probabilities(batch)))
    served.close()
    return {name: hits.share for name, hits in totals.items()}


def _accuracies(
    config: ExpressionConfig,
    weights: Mapping[str, npt.NDArray[np.float32]],
    output: Path,
    batches: Sequence[TrainingBatch],
) -> dict[str, tuple[float, float]]:
    with TemporaryDirectory() as folder:
        write_frozen_graph(Path(folder) / "whole.pb", config.model, weights)
        before = graph_accuracies(Path(folder) / "whole.pb", batches)
    after = graph_accuracies(output, batches)
    return {name: (before[name], after[name]) for name in before}


class _Curve:
    """Writes the error after each round for TensorBoard."""

    def __init__(self, folder: Path) -> None:
        self._writer = tf.summary.create_file_writer(str(folder))

    def __call__(self, round_index: int, error: float) -> None:
        with self._writer.as_default(step=round_index):
            tf.summary.scalar("relative_error", error)
        self._writer.flush()


def _sizes(config: CodebookConfig) -> dict[str, tuple[int, int]]:
    return {
        TYPE_TABLE: (config.type_books, config.type_entries),
        SUBTOKEN_TABLE: (config.subtoken_books, config.subtoken_entries),
        PRODUCTION_TABLE: (config.production_books, config.production_entries),
    }


def _stored(folder: Path, table: npt.NDArray[np.float32]) -> Codebook:
    found = Codebook.load(folder)
    shape = len(found.codes), found.codebooks.shape[1]
    if shape != table.shape:
        raise ArtifactError(
            f"the codebooks in {folder} are of a table of shape {shape}, not {table.shape}", "train them again"
        )
    return found


def _report(name: str, table: npt.NDArray[np.float32], found: Codebook | None) -> TableReport:
    num_rows, depth = table.shape
    return TableReport(
        name,
        num_rows,
        depth,
        num_bytes=table.nbytes,
        num_compressed_bytes=table.nbytes if found is None else found.num_bytes,
        relative_error=0.0 if found is None else found.relative_error(table),
        is_compressed=found is not None,
    )


def _check_errors(reports: Sequence[TableReport], limit: float) -> None:
    for report in reports:
        if report.relative_error > limit:
            raise GateError(
                f"{report.name} is reproduced with a relative error of {report.relative_error:.3f}, over {limit}",
                "take more codebooks or entries, or raise codebook.max_relative_error",
            )
