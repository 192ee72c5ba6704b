"""What an action needs before it can begin, and what this version refuses: each with the flag's name and a way out.

A setting that would have no effect is refused here or warned about; none is ignored in silence.
"""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable
from typing import Any

from gematria_ops.config.choices import Action, LearningRateScheduleType, MatmulPrecision, RnnType
from gematria_ops.config.runner import GraniteRunnerConfig, RunnerConfig, spell
from ops_common.config import walk_settings
from ops_common.errors import ConfigError

logger = logging.getLogger(__name__)

SCHEDULES_WITH_RATE = (
    LearningRateScheduleType.EXPONENTIAL,
    LearningRateScheduleType.INVERSE_TIME,
    LearningRateScheduleType.NATURAL_EXP,
)

_LATER: list[tuple[str, Callable[[RunnerConfig], bool], str]] = [
    ("distributed.num_replicas", lambda config: config.distributed.num_replicas > 1, "train with one worker"),
    (
        "distributed.num_replicas_to_aggregate",
        lambda config: config.distributed.num_replicas_to_aggregate > 1,
        "train with one worker, and a larger --gematria_max_blocks_in_batch",
    ),
    ("distributed.ps_tasks", lambda config: config.distributed.ps_tasks > 0, "train without parameter servers"),
    ("distributed.task_index", lambda config: config.distributed.task_index > 0, "start the chief (0) only"),
    ("distributed.master", lambda config: bool(config.distributed.master), "train in this process"),
]

_NOT_FOR_SEQUENCES: list[tuple[str, Callable[[RunnerConfig], bool], str]] = [
    (
        "tokens.annotation_names_file",
        lambda config: bool(config.tokens.annotation_names_file),
        "sequence models do not read instruction annotations; leave it out",
    ),
    (
        "matmul_precision",
        lambda config: config.matmul_precision is not MatmulPrecision.FLOAT32,
        "sequence models compute in FLOAT32: their products are too small to gain by less",
    ),
    (
        "optimizer.trained_variables",
        lambda config: bool(config.optimizer.trained_variables),
        "sequence models have no groups of variables; leave it out to train everything",
    ),
]


def check_runner(config: RunnerConfig) -> None:
    """Check that the runner can do what it is told; warn about what has no effect.

    Raises:
        ConfigError: The action needs a file that was not named, or a feature is not there; the message names the
            setting and its flag.
    """
    for key, is_used, advice in _LATER:
        if is_used(config):
            raise ConfigError(f"{spell(key)}: training by several workers is not available yet", hint=advice)
    if not isinstance(config, GraniteRunnerConfig):
        for key, is_used, advice in _NOT_FOR_SEQUENCES:
            if is_used(config):
                raise ConfigError(f"{spell(key)} cannot be used with a sequence model", hint=advice)
    _check_files(config)
    _warn(config)


def _check_files(config: RunnerConfig) -> None:
    needed: dict[str, object] = {"tokens.file": config.tokens.file}
    if config.action is Action.EXPORT_GRAPH_DEF:
        needed |= {"output.graph_def_file": config.output.graph_def_file}
    else:
        needed |= {"input.files": config.input.files}
    checkpoint = config.checkpoint
    if config.action is Action.PREDICT:
        needed |= {"output.file": config.output.file, "checkpoint.file": checkpoint.file}
    elif config.action is Action.EVAL and config.summary.eval_whole_file:
        needed |= {"checkpoint.directory": checkpoint.directory or checkpoint.file}
    elif config.action is Action.EVAL:
        needed |= {"checkpoint.directory": checkpoint.directory, "summary.directory": config.summary.directory}
    for key, value in needed.items():
        if not value:
            raise ConfigError(f"{spell(key)} is required for the action {config.action.value}")


# Settings that mean something only beside others: each with what they lack.
_WITHOUT_EFFECT: list[tuple[str, Callable[[RunnerConfig], bool], str]] = [
    (
        "optimizer.decay_steps",
        lambda config: config.optimizer.learning_rate_schedule is LearningRateScheduleType.NONE,
        f"without {spell('optimizer.learning_rate_schedule')}",
    ),
    (
        "optimizer.decay_rate",
        lambda config: config.optimizer.learning_rate_schedule not in SCHEDULES_WITH_RATE,
        f"unless {spell('optimizer.learning_rate_schedule')} is EXPONENTIAL, INVERSE_TIME or NATURAL_EXP",
    ),
    (
        "optimizer.grad_clip_norm",
        lambda config: (config.optimizer.grad_clip_norm or 0) < 0,
        "when it is negative: gradients are not clipped",
    ),
    (
        "checkpoint.load_global_step",
        lambda config: not (config.checkpoint.warmstart_file or config.checkpoint.warmstart_dir),
        f"without {spell('checkpoint.warmstart_file')} or {spell('checkpoint.warmstart_dir')}",
    ),
    (
        "output.graph_def_file",
        lambda config: config.action is not Action.EXPORT_GRAPH_DEF,
        "except for the action export_graph_def",
    ),
    (
        "summary.tf_profiler_port",
        lambda config: not config.summary.run_tf_profiler,
        f"without {spell('summary.run_tf_profiler')}",
    ),
    (
        "summary.run_tf_profiler",
        lambda config: config.action not in (Action.TRAIN, Action.EVAL),
        "except while training and evaluating",
    ),
    *[
        (f"model.{name}", lambda config: config.model.rnn_type is RnnType.NONE, f"without {spell('model.rnn_type')}")
        for name in ("rnn_output_size", "rnn_bidirectional", "rnn_dropout")
    ],
]


def settings_without_effect(config: RunnerConfig) -> list[tuple[str, str]]:
    """Return the settings that were changed and mean nothing beside the others, each with the reason."""
    changed = {item.key for item in walk_settings(type(config)) if _value(config, item.key) != item.field.default}
    return [(key, reason) for key, is_idle, reason in _WITHOUT_EFFECT if key in changed and is_idle(config)]


def behaviour_notes() -> dict[str, str]:
    """Return of settings when they are refused or have no effect, and why; for the table of flags."""
    notes = {key: f"refused: training by several workers is not available; {advice}" for key, _, advice in _LATER}
    notes |= {key: f"run_sequence_model refuses it: {advice}" for key, _, advice in _NOT_FOR_SEQUENCES}
    return notes | {key: f"warning: no effect {reason}" for key, _, reason in _WITHOUT_EFFECT}


def _value(config: RunnerConfig, key: str) -> Any:
    return functools.reduce(getattr, key.split("."), config)


def _warn(config: RunnerConfig) -> None:
    for key, reason in settings_without_effect(config):
        logger.warning("%s has no effect %s", spell(key), reason)
    if not config.distributed.synchronous:
        logger.warning("%s has no effect with one worker", spell("distributed.synchronous"))
    if config.action is Action.TRAIN and not config.checkpoint.directory:
        logger.warning("%s is not set: nothing of this training is kept", spell("checkpoint.directory"))
