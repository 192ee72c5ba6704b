"""Training of a model, from settings to checkpoints and a bundle.

files -> labelled blocks -> encoded once -> model, loss, optimiser -> ops_common.learning.fit -> bundle
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tensorflow as tf

from gematria_ops.config import RunnerConfig
from gematria_ops.config.readiness import check_runner
from gematria_ops.encode.encoded_blocks import EncodedBlocks
from gematria_ops.encode.loading import BlockLoader
from gematria_ops.models.bundle import Bundle, save_bundle
from gematria_ops.models.threads import use_one_thread_per_operation
from gematria_ops.training.profiler import start_profiler
from gematria_ops.training.starting_point import copy_resume_folder
from gematria_ops.training.workload import ModelTraining, Validation
from ops_common.learning.checkpoints import CheckpointStore
from ops_common.learning.fit import Plan, fit
from ops_common.learning.pace import Cadence, FitSummary
from ops_common.metrics import read_metrics

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class TrainSummary:
    """What a training did. Rates leave out the first step, which compiles, and validation."""

    global_step: int
    num_steps: int
    num_blocks: int
    num_dropped: Mapping[str, int]
    final_loss: float
    blocks_per_second: float
    blocks_per_cpu_second: float
    seconds_to_first_step: float
    wall_seconds: float
    cpu_seconds: float

    def as_text(self) -> str:
        """Return one line for people."""
        if not self.num_steps:
            return f"nothing to do: the global step is {self.global_step} already"
        return (
            f"global step {self.global_step} after {self.num_steps} steps on {self.num_blocks} blocks, "
            f"{self.blocks_per_second:,.0f} blocks/s, loss {self.final_loss:.6g}, "
            f"first step after {self.seconds_to_first_step:.1f} s"
        )


def train(
    config: RunnerConfig,
    *,
    metrics_path: Path | None = None,
    bundle_dir: Path | None = None,
    blocks: BlockLoader | None = None,
) -> TrainSummary:
    """Train until the settings' step, going on from the newest checkpoint of the checkpoint folder.

    Args:
        config: All settings.
        metrics_path: Metrics file; none: no metrics are kept.
        bundle_dir: Folder of the finished model: weights, vocabulary and settings; none: checkpoints only.
        blocks: A loader of these settings that was started earlier, before this module was imported: TensorFlow needs
            seconds to load, and the input is read meanwhile. None: it is started here.

    Raises:
        ConfigError: A setting cannot be used, or the newest checkpoint belongs to another model or vocabulary.
        DataError: The input is damaged, a task has no label, a token is unknown, or the loss became infinite.
        ArtifactError: A checkpoint cannot be written, or none of those that are there is whole.
        Interrupted: SIGINT or SIGTERM came; a checkpoint was written.
    """
    started = time.monotonic()
    check_runner(config)
    use_one_thread_per_operation()
    np.set_printoptions(edgeitems=config.summary.numpy_print_edgeitems)
    tf.debugging.set_log_device_placement(config.distributed.log_device_placement)
    start_profiler(config.summary)
    copy_resume_folder(config.checkpoint)

    with BlockLoader(config) if blocks is None else nullcontext(blocks) as loader:
        vocabulary = loader.vocabulary
        training = ModelTraining(config, vocabulary, loader.load)
    checkpoints = None
    if config.checkpoint.directory:
        folder = Path(config.checkpoint.directory)
        checkpoints = CheckpointStore(folder, training.identity(), config.checkpoint.max_to_keep)
    validation = Validation(config, training.model, vocabulary) if config.validation.files else None
    before_fit = time.monotonic() - started
    summary = fit(
        training,
        _plan(config),
        checkpoints,
        initialize=training.warm_start,
        validate=validation,
        metrics_path=metrics_path,
    )
    if bundle_dir is not None:
        save_bundle(bundle_dir, Bundle(training.model, vocabulary, config, summary.global_step))
    if not summary.num_steps and metrics_path is not None:
        # The steps were done by a run that was stopped before its bundle stood; the last of them was reported.
        losses = [record["loss"] for record in read_metrics(metrics_path) if "loss" in record]
        summary.final_loss = losses[-1] if losses else summary.final_loss
    return _summarize(summary, training.encoded, before_fit)


def _plan(config: RunnerConfig) -> Plan:
    return Plan(
        num_steps=config.num_steps,
        max_seconds=config.max_seconds,
        save=Cadence(config.checkpoint.save_steps, config.checkpoint.save_seconds),
        report=Cadence(config.summary.save_steps, config.summary.save_seconds),
        validate_steps=config.validation.every_steps,
    )


def _summarize(summary: FitSummary, encoded: EncodedBlocks, before_fit: float) -> TrainSummary:
    return TrainSummary(
        global_step=summary.global_step,
        num_steps=summary.num_steps,
        num_blocks=encoded.num_blocks,
        num_dropped=encoded.dropped,
        final_loss=summary.final_loss,
        blocks_per_second=summary.samples_per_second,
        blocks_per_cpu_second=summary.samples_per_cpu_second,
        seconds_to_first_step=before_fit + summary.seconds_to_first_step,
        wall_seconds=before_fit + summary.wall_seconds,
        cpu_seconds=summary.cpu_seconds,
    )
