"""What a setting changes, observed: the model that is built, the batches, the updates, and what stands on the disk.

Each function takes the settings of one command line, and a folder of its own, and returns a plain value to compare.
"""

from __future__ import annotations

import json
import logging
import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from unittest.mock import patch

import numpy as np
import tensorflow as tf

from gematria_ops.config import RunnerConfig
from gematria_ops.config.readiness import check_runner
from gematria_ops.data.dataset import read_blocks
from gematria_ops.encode.encoded_blocks import EncodedBlocks
from gematria_ops.encode.layouts import annotation_names
from gematria_ops.encode.loading import load_encoded_blocks, load_vocabulary
from gematria_ops.inference.predictor import Predictor, predict_files
from gematria_ops.models.factory import ThroughputModel, build_model
from gematria_ops.training.evaluation_loop import EvaluationSummary, evaluate_continuously
from gematria_ops.training.optimizers import Optimizer
from gematria_ops.training.train import _plan, train
from gematria_ops.training.workload import ModelTraining, Validation
from ops_common.errors import ConfigError, DataError
from ops_common.learning.pace import Cadence, Timer
from ops_common.metrics import read_metrics
from tests.gematria.event_files import read_scalars

Observe = Callable[[RunnerConfig, Path], object]


class Anything:
    """Equal to everything: what is compared is only that the two observations differ."""

    def __eq__(self, other: object) -> bool:
        return True

    __hash__ = object.__hash__


ANYTHING = Anything()


@dataclass(frozen=True)
class Effect:
    """What one flag changes.

    Attributes:
        arguments: The flag with a value that is not its default, and what has to be given with it. "{files}" and
            "{tmp}" are folders: of the prepared files, and of this one command line.
        observe: What is looked at.
        before: What is seen without the arguments.
        after: What is seen with them.
        base: Further arguments, in both cases.
        program: Whose flag it is.
    """

    arguments: tuple[str, ...]
    observe: Observe
    before: object = ANYTHING
    after: object = ANYTHING
    base: tuple[str, ...] = ()
    program: str = "run_granite_model"

    @property
    def flag(self) -> str:
        """The name of the flag."""
        return re.sub("^--(no(?=gematria))?", "", self.arguments[0]).partition("=")[0]


def model(config: RunnerConfig) -> ThroughputModel:
    return build_model(config, load_vocabulary(config), annotation_names(config))


def shape(name: str) -> Observe:
    """Observe the shape of a variable; None if there is none of this name."""

    def observe(config: RunnerConfig, folder: Path) -> object:
        variable = model(config).variables_by_name().get(name)
        return None if variable is None else tuple(variable.shape)

    return observe


def first_weights(config: RunnerConfig, folder: Path) -> object:
    return next(iter(model(config).variables_by_name().values())).numpy().tolist()


def task_names(config: RunnerConfig, folder: Path) -> object:
    return model(config).task_names


def says_the_same_without_network(config: RunnerConfig, folder: Path) -> object:
    """Answer whether the model predicts the same for all blocks when its update functions give nothing but zeros."""
    built = model(config)
    for name, variable in built.variables_by_name().items():
        if name.startswith("graph_network/"):
            variable.assign(tf.zeros_like(variable))
    output = Predictor(built, load_vocabulary(config)).predict_encoded(blocks(config)).output
    return bool(np.ptp(output) < 1e-5)


def blocks(config: RunnerConfig) -> EncodedBlocks:
    return load_encoded_blocks(config, config.input.files, load_vocabulary(config))


def num_blocks(config: RunnerConfig, folder: Path) -> object:
    """Return the number of blocks, or the unknown token that kept them from being read."""
    try:
        return blocks(config).num_blocks
    except DataError as error:
        return re.findall("'DIV'", error.message)[0]


def first_label(config: RunnerConfig, folder: Path) -> object:
    return float(blocks(config).labels[0, 0])


def training(config: RunnerConfig) -> ModelTraining:
    return ModelTraining(config, load_vocabulary(config), lambda: blocks(config))


def batch(look: Callable[..., object]) -> Observe:
    """Observe something of the first batch."""
    return lambda config, folder: look(training(config).make_batch(0))


def first_indices(config: RunnerConfig, folder: Path) -> object:
    found = training(config)
    return [sample["index"] for sample in found.describe_samples(0, found.make_batch(0))]


def is_loss(formula: Callable[[np.ndarray, np.ndarray], np.ndarray]) -> Observe:
    """Observe whether the first update minimises the mean of a formula of errors and labels, [B, 1] each."""

    def observe(config: RunnerConfig, folder: Path) -> object:
        found = training(config)
        given = found.make_batch(0)
        outcome = found.train_step(given)
        wanted = formula(outcome.output - given.expected, given.expected).mean()
        return bool(np.isclose(outcome.loss, wanted, rtol=1e-4))

    return observe


def first_output(config: RunnerConfig, folder: Path) -> object:
    found = training(config)
    return found.train_step(found.make_batch(0)).output.tolist()


def has_adam_slots(config: RunnerConfig, folder: Path) -> object:
    return any("Adam" in name for name in training(config).variables_by_name())


def learning_rate_at(step: int) -> Observe:
    return lambda config, folder: round(float(Optimizer(config.optimizer, {}).learning_rate_at(step)), 6)


def first_update(config: RunnerConfig) -> dict[str, float]:
    """Return by how much the first update changes each variable: the norm of the difference."""
    found = training(config)
    variables = found.model.variables_by_name()
    before = {name: variable.numpy() for name, variable in variables.items()}
    found.train_step(found.make_batch(0))
    return {name: float(np.linalg.norm(variable.numpy() - before[name])) for name, variable in variables.items()}


def largest_update_is_small(config: RunnerConfig, folder: Path) -> object:
    return max(first_update(config).values()) < 1.001e-3


def updated_variables(config: RunnerConfig, folder: Path) -> object:
    return [name for name, size in first_update(config).items() if size > 0]


def due_after(cadence: Callable[[RunnerConfig], Cadence]) -> Observe:
    """Observe after how many seconds something is due, by a clock of ours."""

    def observe(config: RunnerConfig, folder: Path) -> object:
        with patch("ops_common.learning.pace.time.monotonic", return_value=0.0) as now:
            timer = Timer(cadence(config))
            for second in range(1, 1000):
                now.return_value = float(second)
                if timer.is_due(1):
                    return second
        return None

    return observe


save_due = due_after(lambda config: _plan(config).save)
report_due = due_after(lambda config: _plan(config).report)


def num_steps(config: RunnerConfig, folder: Path) -> object:
    return train(config).num_steps


def saved_steps(config: RunnerConfig, folder: Path) -> object:
    train(config)
    return sorted(int(path.stem.rpartition("-")[2]) for path in folder.rglob("model.ckpt-*.index"))


def summarized_steps(config: RunnerConfig, folder: Path) -> object:
    train(config)
    return [step for step, _ in read_scalars(folder / "summaries").get("overall_loss", [])]


def summarized_ranks(config: RunnerConfig, folder: Path) -> object:
    train(config)
    found = (re.fullmatch(r"absolute_error_(\d+)p_default", tag) for tag in read_scalars(folder / "summaries"))
    return sorted(int(match[1]) for match in found if match)


def validated_steps(config: RunnerConfig, folder: Path) -> object:
    train(config, metrics_path=folder / "metrics.jsonl")
    records = read_metrics(folder / "metrics.jsonl")
    return [record["step"] for record in records if "validation_mape_percent_default" in record]


def num_validated(config: RunnerConfig, folder: Path) -> object:
    told: list[logging.LogRecord] = []
    handler = logging.Handler()
    handler.emit = told.append  # type: ignore[method-assign]
    log = logging.getLogger("gematria_ops.training.workload")
    log.addHandler(handler)
    level = log.level
    log.setLevel(logging.INFO)
    try:
        Validation(config, model(config), load_vocabulary(config))(1)
    finally:
        log.removeHandler(handler)
        log.setLevel(level)
    return int(re.findall(r"(\d+) held-out blocks", told[-1].getMessage())[0])


def warm_start_from(config: RunnerConfig, folder: Path) -> object:
    train(config)
    report = folder / "model/warm_start.json"
    return Path(json.loads(report.read_text())["checkpoint"]).name if report.exists() else None


def edge_items(config: RunnerConfig, folder: Path) -> object:
    train(config)
    return np.get_printoptions()["edgeitems"]


def logs_devices(config: RunnerConfig, folder: Path) -> object:
    train(config)
    try:
        return tf.debugging.get_log_device_placement()
    finally:
        tf.debugging.set_log_device_placement(False)


def refusal(config: RunnerConfig, folder: Path) -> object:
    try:
        check_runner(config)
    except ConfigError as error:
        return error.message
    return ""


def restored_step(config: RunnerConfig, folder: Path) -> object:
    """Return the step of the checkpoint whose weights predict."""
    restored = Predictor.from_checkpoint(config).model.variables_by_name()
    for prefix in sorted(Path(config.checkpoint.file).parent.glob("model.ckpt-*.index")):
        stored = tf.train.load_checkpoint(str(prefix.with_suffix("")))
        if all(np.array_equal(stored.get_tensor(name), value) for name, value in restored.items()):
            return int(prefix.stem.rpartition("-")[2])
    return None


def source_name(config: RunnerConfig, folder: Path) -> object:
    return Predictor.from_checkpoint(config).source_name(0)


def predicted_files(config: RunnerConfig, folder: Path) -> object:
    predict_files(config)
    return sorted(path.name for path in folder.iterdir())


def prefixes_sum_up(config: RunnerConfig, folder: Path) -> object:
    """Answer whether the prefix predictions of a block of several instructions are shares that sum up to the whole."""
    predict_files(config)
    predicted = (proto.inverse_throughputs[-1] for proto in read_blocks(config.output.file))
    entry = next(entry for entry in predicted if len(entry.prefix_inverse_throughputs) > 1)
    shares = [prefix.inverse_throughput_cycles[0] for prefix in entry.prefix_inverse_throughputs]
    return bool(np.isclose(sum(shares), entry.inverse_throughput_cycles[0], rtol=1e-4))


def _evaluate(config: RunnerConfig) -> tuple[EvaluationSummary, float]:
    """Evaluate a checkpoint that is touched, and so is new, whenever a second passes; return the seconds as well."""
    clock = 0.0

    def wait(seconds: float) -> None:
        nonlocal clock
        clock += seconds
        for path in Path(config.checkpoint.directory).glob("model.ckpt-*"):
            os.utime(path, ns=(0, int(clock * 1e9)))

    return evaluate_continuously(config, now=lambda: clock, wait=wait), clock


def evaluated_steps(config: RunnerConfig, folder: Path) -> object:
    return _evaluate(config)[0].steps


def seconds_of_evaluation(config: RunnerConfig, folder: Path) -> object:
    return _evaluate(config)[1]
