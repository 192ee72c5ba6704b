"""The one training loop: resume, step, report, validate, checkpoint, stop.

It reads downwards: ``fit`` is the loop, everything below it is a part that the loop names. What is trained is a
``Workload``; the batch of a step is a pure function of the step, and the checkpoint holds everything else that decides
what comes next. So a training that is killed at any moment and started again ends with the weights, bit for bit, of one
that was left alone (on one machine, with a seed).
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

import tensorflow as tf

from ops_common.artifacts import write_json
from ops_common.errors import ArtifactError, ConfigError, DataError
from ops_common.learning.ahead import batches_ahead
from ops_common.learning.checkpoints import CheckpointStore
from ops_common.learning.pace import Cadence, FitSummary, Meter, Timer
from ops_common.learning.stopping import stop_signals
from ops_common.metrics import append_metrics, drop_metrics_after
from ops_common.progress import Progress

logger = logging.getLogger(__name__)

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


class Peers(Protocol):
    """Other processes that do the same updates at the same time, and have to begin and end with this one."""

    @property
    def num(self) -> int:
        """How many processes there are, this one included."""

    def agree(self, numbers: Sequence[float]) -> list[float]:
        """Return the sum of each number over all processes; each of them has to ask."""


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

    def is_over(self, seconds: float) -> bool:
        """Tell whether the time is up, whatever the steps."""
        return 0 < self.max_seconds <= seconds


def fit(
    workload: Workload[Batch, Outcome],
    plan: Plan,
    checkpoints: CheckpointStore | None = None,
    *,
    initialize: Callable[[], None] | None = None,
    validate: Callable[[int], Mapping[str, float]] | None = None,
    metrics_path: Path | None = None,
    peers: Peers | None = None,
    end_making: Callable[[], None] | None = None,
) -> FitSummary:
    """Train until the plan is fulfilled; see the file's head.

    Args:
        workload: What is trained.
        plan: How long, and how often to save, report and validate.
        checkpoints: Where the state is kept; training begins from the newest one there. None: nowhere.
        initialize: Called when there is no checkpoint to begin from, e.g. for a warm start.
        validate: Given the global step, returns figures on held-out data for the metrics file.
        metrics_path: Metrics file; records of steps that are now done again are dropped.
        peers: Processes that train together with this one; None: it is alone.
        end_making: Called when no more batches are needed; given, a wait for a batch hears signals and saves.

    Raises:
        Interrupted: SIGINT or SIGTERM came, here or to a peer; the step was finished and a checkpoint written.
        DataError: The loss or a weight is not finite; ``non_finite_step_<n>.json`` lists the samples of the batch.
        ConfigError, ArtifactError: The newest checkpoint is another model's; all are torn; the disk is full.
    """
    variables = workload.variables_by_name()
    saver = _Saver(workload, variables, checkpoints, _start(variables, checkpoints, initialize, metrics_path, peers))
    step = first_step = int(variables["global_step"])
    meter, saving, reporting, is_stopped = Meter(first_step), Timer(plan.save), Timer(plan.report), False
    with (
        stop_signals() as stop,
        batches_ahead(workload.make_batch, _steps(plan, step), stop, end_making) as batches,
        _progress(plan, step) as progress,
    ):
        for batch in batches:
            if batch is None:  # it is long in coming
                saver.save_rest(step)
                continue
            step += 1
            outcome = _update(workload, step, batch, checkpoints, meter)
            saver.trained(batch)
            progress.advance(note=f"loss {outcome.loss:.4g}")
            is_stopped, is_out_of_time = _agreed(peers, stop.signal is not None, plan.is_over(meter.wall_seconds))
            is_last = step == plan.num_steps or is_out_of_time or is_stopped
            if reporting.is_due(step) or is_last or step == first_step + 1:
                values = {"loss": outcome.loss, **meter.rates(), **workload.report(step, batch, outcome)}
                _append(metrics_path, step, values)
            if saving.is_due(step) or is_last:
                saver.save_rest(step)
            if _is_validation_due(plan, step, is_last) and not is_stopped:
                _validate(validate, step, meter, metrics_path)
            if is_last:
                break
        if is_stopped or stop.signal is not None:
            saver.save_rest(step)
            raise stop.as_error(step, saver.saved_step)
    return meter.summary()


def _update(
    workload: Workload[Batch, Outcome], step: int, batch: Batch, checkpoints: CheckpointStore | None, meter: Meter
) -> Outcome:
    """Do one step, make sure that its loss is a number, and count it."""
    outcome = workload.train_step(batch)
    _check_loss(workload, step, batch, outcome.loss, checkpoints)
    meter.add(step, workload.num_samples(batch), outcome.loss)
    return outcome


def _validate(
    validate: Callable[[int], Mapping[str, float]] | None, step: int, meter: Meter, metrics_path: Path | None
) -> None:
    if validate is not None:
        with meter.paused():
            _append(metrics_path, step, validate(step))


class _Saver(Generic[Batch]):
    """Writes the checkpoints of a training.

    Args:
        workload: What is trained.
        variables: Its variables.
        checkpoints: Where they are kept; None: nowhere.
        saved_step: Step of the newest checkpoint; None: there is none.
    """

    def __init__(
        self,
        workload: Workload[Batch, Any],
        variables: Mapping[str, tf.Variable],
        checkpoints: CheckpointStore | None,
        saved_step: int | None,
    ) -> None:
        self.saved_step = saved_step
        self._workload, self._variables, self._checkpoints = workload, variables, checkpoints
        self._batch: Batch | None = None

    def trained(self, batch: Batch) -> None:
        """Take note of the batch of the last update."""
        self._batch = batch

    def save_rest(self, step: int) -> None:
        """Write the checkpoint of a step when it holds more than the newest one."""
        if self._checkpoints is None or self._batch is None or step == self.saved_step:
            return
        _check_weights(self._workload, step, self._batch, self._variables, self._checkpoints)
        self._checkpoints.save(self._variables, step)
        self.saved_step = step


def _steps(plan: Plan, step: int) -> Iterable[int]:
    return range(step, plan.num_steps) if plan.num_steps > 0 else count(step)


def _check_same_step(peers: Peers | None, step: int) -> None:
    """Make sure that all processes begin from the same checkpoint."""
    if peers is not None and peers.agree([step])[0] != peers.num * step:
        raise ConfigError(
            f"the workers begin from different checkpoints, this one from step {step}",
            "give all of them the same checkpoint folder, on a disk that they share",
        )


def _agreed(peers: Peers | None, *wishes: bool) -> list[bool]:
    """Tell of each wish whether this process or any other has it."""
    return list(wishes) if peers is None else [count > 0 for count in peers.agree(wishes)]


def _progress(plan: Plan, step: int) -> Progress:
    return Progress("train", max(plan.num_steps - step, 0) if plan.num_steps > 0 else None, "steps")


def _is_validation_due(plan: Plan, step: int, is_last: bool) -> bool:
    return plan.validate_steps > 0 and (is_last or step % plan.validate_steps == 0)


def _start(
    variables: Mapping[str, tf.Variable],
    checkpoints: CheckpointStore | None,
    initialize: Callable[[], None] | None,
    metrics_path: Path | None,
    peers: Peers | None,
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
    _check_same_step(peers, step)
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
