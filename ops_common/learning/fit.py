"""The one training loop: resume, step, report, validate, checkpoint, stop.

It reads downwards: ``fit`` is the loop, everything below it is a part that the loop names. What is trained is a
``Workload``; the batch of a step is a pure function of the step, and the checkpoint holds everything else that decides
what comes next. So a training that is killed at any moment and started again ends with the weights, bit for bit, of one
that was left alone (on one machine, with a seed).
"""

from __future__ import annotations

import logging
import math
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any, Protocol, TypeVar

import tensorflow as tf

from ops_common.artifacts import write_json
from ops_common.errors import ArtifactError, DataError
from ops_common.learning.checkpoints import CheckpointStore
from ops_common.learning.pace import Cadence, FitSummary, Meter, Timer
from ops_common.learning.stopping import stop_signals
from ops_common.metrics import append_metrics, drop_metrics_after
from ops_common.progress import Progress

logger = logging.getLogger(__name__)

NUM_BATCHES_AHEAD = 3
MAX_NAMED_SAMPLES = 5
DEFAULT_CADENCE = Cadence(steps=100, seconds=60)

Batch = TypeVar("Batch")


class StepOutcome(Protocol):
    """What a step has to tell the loop; the loss is from before the update."""

    @property
    def loss(self) -> float:
        """The loss that was minimised."""


Outcome = TypeVar("Outcome", bound=StepOutcome)


class Workload(Protocol[Batch, Outcome]):
    """What ``fit`` trains: a model with its data. Steps are counted by the updates done, from 0."""

    def variables_by_name(self) -> Mapping[str, tf.Variable]:
        """Return everything that decides what comes next, under its checkpoint name; with an int64 ``global_step``."""

    def make_batch(self, step: int) -> Batch:
        """Make the batch of the update after ``step`` updates: a pure function, called in a background thread."""

    def train_step(self, batch: Batch) -> Outcome:
        """Do one update, which also adds one to ``global_step``."""

    def num_samples(self, batch: Batch) -> int:
        """Return how many samples a batch has, for the rate."""

    def describe_samples(self, step: int, batch: Batch) -> Sequence[Mapping[str, Any]]:
        """Describe each sample of the batch of ``make_batch(step)``, for the error about a loss that is not finite.

        Returns:
            Of each sample what it is found by, as plain values that go into a JSON file.
        """

    def report(self, step: int, batch: Batch, outcome: Outcome) -> Mapping[str, float]:
        """Tell people about an update, the ``step``-th; returns what goes into the metrics file beside the loss."""


@dataclass(frozen=True, slots=True)
class Plan:
    """How long to train and how often to do what.

    Args:
        num_steps: Train until the global step is this; 0 or less: until interrupted.
        max_seconds: End after this many seconds in this process, as if the steps were done; 0: no limit.
        save: When to write a checkpoint. One is also written at the end, and on SIGINT and SIGTERM.
        report: When to report. The first and the last step are also reported.
        validate_steps: Validate every so many steps, and at the end; 0: never.
    """

    num_steps: int
    max_seconds: float = 0.0
    save: Cadence = DEFAULT_CADENCE
    report: Cadence = DEFAULT_CADENCE
    validate_steps: int = 0


def fit(
    workload: Workload[Batch, Outcome],
    plan: Plan,
    checkpoints: CheckpointStore | None = None,
    *,
    initialize: Callable[[], None] | None = None,
    validate: Callable[[int], Mapping[str, float]] | None = None,
    metrics_path: Path | None = None,
) -> FitSummary:
    """Train until the plan is fulfilled; see the file's head.

    Args:
        workload: What is trained.
        plan: How long, and how often to save, report and validate.
        checkpoints: Where the state is kept; training begins from the newest one there. None: nowhere.
        initialize: Called when there is no checkpoint to begin from, e.g. for a warm start.
        validate: Given the global step, returns figures on held-out data for the metrics file.
        metrics_path: Metrics file; records of steps that are now done again are dropped.

    Raises:
        Interrupted: SIGINT or SIGTERM came; the step was finished and a checkpoint written.
        DataError: The loss or a weight is not finite; the message names the batch, and the file beside the checkpoints
            (``non_finite_step_<n>.json``) that lists all its samples. The last checkpoint is sound.
        ConfigError, ArtifactError: The newest checkpoint is another model's; all are torn; the disk is full.
    """
    variables = workload.variables_by_name()
    saved_step = _start(variables, checkpoints, initialize, metrics_path)
    step = first_step = int(variables["global_step"])
    meter = Meter(first_step)
    saving, reporting = Timer(plan.save), Timer(plan.report)

    with stop_signals() as stop, _batches_ahead(workload, step) as batches, _progress(plan, step) as progress:
        while plan.num_steps <= 0 or step < plan.num_steps:
            batch = next(batches)
            outcome = workload.train_step(batch)
            step += 1
            _check_loss(workload, step, batch, outcome.loss, checkpoints)
            meter.add(step, workload.num_samples(batch), outcome.loss)
            progress.advance(note=f"loss {outcome.loss:.4g}")

            is_stopped = stop.signal is not None  # asked once a step, because it may change at any moment
            is_out_of_time = 0 < plan.max_seconds <= meter.wall_seconds
            is_last = step == plan.num_steps or is_out_of_time or is_stopped
            if reporting.is_due(step) or is_last or step == first_step + 1:
                told = workload.report(step, batch, outcome)
                _append(metrics_path, step, {"loss": outcome.loss, **meter.rates(), **told})
            if checkpoints is not None and (saving.is_due(step) or is_last):
                _check_weights(workload, step, batch, variables, checkpoints)
                checkpoints.save(variables, step)
                saved_step = step
            if validate is not None and _is_validation_due(plan, step, is_last) and not is_stopped:
                with meter.paused():
                    _append(metrics_path, step, validate(step))
            if is_last:
                break
        if stop.signal is not None:
            raise stop.as_error(step, saved_step)
    return meter.summary()


def _progress(plan: Plan, step: int) -> Progress:
    return Progress("train", max(plan.num_steps - step, 0) if plan.num_steps > 0 else None, "steps")


def _is_validation_due(plan: Plan, step: int, is_last: bool) -> bool:
    return plan.validate_steps > 0 and (is_last or step % plan.validate_steps == 0)


def _start(
    variables: Mapping[str, tf.Variable],
    checkpoints: CheckpointStore | None,
    initialize: Callable[[], None] | None,
    metrics_path: Path | None,
) -> int | None:
    """Restore the newest checkpoint, or else initialise; return the step of the checkpoint."""
    newest = checkpoints.latest() if checkpoints is not None else None
    if checkpoints is None or newest is None:
        if initialize is not None:
            initialize()
    else:
        checkpoints.restore(newest, variables)
        logger.info("training goes on from %s, global step %d", newest, int(variables["global_step"]))
    step = int(variables["global_step"])
    if metrics_path is not None:
        drop_metrics_after(metrics_path, step)
    return step if newest is not None else None


def _append(metrics_path: Path | None, step: int, values: Mapping[str, float]) -> None:
    if metrics_path is not None:
        append_metrics(metrics_path, step, values)


def _check_loss(
    workload: Workload[Batch, Any], step: int, batch: Batch, loss: float, checkpoints: CheckpointStore | None
) -> None:
    if not math.isfinite(loss):
        raise _not_finite(workload, step, batch, f"the loss of step {step} is {loss}", checkpoints)


def _check_weights(
    workload: Workload[Batch, Any],
    step: int,
    batch: Batch,
    variables: Mapping[str, tf.Variable],
    checkpoints: CheckpointStore,
) -> None:
    """Keep a weight that is not finite out of the checkpoints: a finite loss can have a gradient that is not."""
    for name, variable in variables.items():
        if variable.dtype.is_floating and not bool(tf.reduce_all(tf.math.is_finite(variable))):
            raise _not_finite(workload, step, batch, f"variable {name!r} is not finite after step {step}", checkpoints)


def _not_finite(
    workload: Workload[Batch, Any], step: int, batch: Batch, what: str, checkpoints: CheckpointStore | None
) -> DataError:
    samples = [dict(sample) for sample in workload.describe_samples(step - 1, batch)]
    named = ", ".join(_spell_sample(sample) for sample in samples[:MAX_NAMED_SAMPLES])
    more = f" and {len(samples) - MAX_NAMED_SAMPLES} more" if len(samples) > MAX_NAMED_SAMPLES else ""
    return DataError(
        f"{what}; its batch holds {named}{more}; {_write_samples(step, what, samples, checkpoints)}",
        "lower the learning rate, clip the gradients, or look at the labels of these samples; "
        "the last checkpoint is from before",
    )


def _write_samples(step: int, what: str, samples: list[dict[str, Any]], checkpoints: CheckpointStore | None) -> str:
    """Write all samples of a batch beside the checkpoints, or log them; say where they are."""
    if checkpoints is not None:
        path = checkpoints.folder / f"non_finite_step_{step}.json"
        try:
            write_json(path, {"step": step, "problem": what, "samples": samples})
        except ArtifactError as error:
            logger.error("%s", error)
        else:
            return f"all of them are in {path}"
    logger.error("%s; all samples of the batch: %s", what, ", ".join(_spell_sample(sample) for sample in samples))
    return "all of them are in the log"


def _spell_sample(sample: Mapping[str, Any]) -> str:
    return "(" + ", ".join(f"{key} {value}" for key, value in sample.items()) + ")"


@contextmanager
def _batches_ahead(workload: Workload[Batch, Any], step: int) -> Iterator[Iterator[Batch]]:
    """Make the batches of this and the next steps in one background thread, so that the trainer finds them ready."""
    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="batches") as executor:

        def batches() -> Iterator[Batch]:
            ahead: deque[Future[Batch]] = deque()
            for next_step in count(step):
                ahead.append(executor.submit(workload.make_batch, next_step))
                if len(ahead) > NUM_BATCHES_AHEAD:
                    yield ahead.popleft().result()

        try:
            yield batches()
        finally:
            executor.shutdown(wait=True, cancel_futures=True)
