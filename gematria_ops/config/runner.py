"""``RunnerConfig``: all sections together, and the rules that hold between settings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, model_validator

from gematria_ops.config import sections
from gematria_ops.config.choices import Action, LearningRateScheduleType, MatmulPrecision
from gematria_ops.config.graph_sections import GraniteConfig
from ops_common.config import Section, build_config, fingerprint, load_config, read_toml, setting, walk_settings
from ops_common.errors import ConfigError

AnyModelConfig = sections.ModelConfig | GraniteConfig


class RunnerConfig(Section):
    """Everything that a run of the trainer or the predictor is told."""

    action: Action = setting(Action.TRAIN, "gematria_action", "What to do.")
    num_steps: int = setting(
        10_000, "gematria_training_num_epochs", "Train until the global step is N; 0 or less: until interrupted."
    )
    random_seed: int = setting(
        123_456_789, "gematria_random_seed", "Seed of weights and batches; negative: different every time."
    )
    max_seconds: Annotated[float, Field(ge=0)] = setting(
        0.0, "gematria_training_max_seconds", "(ours) End the training after this many seconds; 0: no limit."
    )
    matmul_precision: MatmulPrecision = setting(
        MatmulPrecision.FLOAT32,
        "gematria_matmul_precision",
        "(ours) Precision of a graph model's matrix products in training; BFLOAT16 is faster on many processors.",
    )

    model: sections.ModelConfig = sections.ModelConfig()
    loss: sections.LossConfig = sections.LossConfig()
    optimizer: sections.OptimizerConfig = sections.OptimizerConfig()
    tokens: sections.TokensConfig = sections.TokensConfig()
    input: sections.InputConfig = sections.InputConfig()
    batch: sections.BatchConfig = sections.BatchConfig()
    checkpoint: sections.CheckpointConfig = sections.CheckpointConfig()
    summary: sections.SummaryConfig = sections.SummaryConfig()
    validation: sections.ValidationConfig = sections.ValidationConfig()
    distributed: sections.DistributedConfig = sections.DistributedConfig()
    output: sections.OutputConfig = sections.OutputConfig()

    @classmethod
    def from_toml(cls, path: Path | None, overrides: Sequence[str] = ()) -> RunnerConfig:
        """Read a TOML file (None: the defaults) and apply ``section.key=value`` overrides.

        Raises:
            ConfigError: Names the file, the dotted key, and the nearest known key of an unknown one.
        """
        values = read_toml(path) if path is not None else {}
        kind = next((text for text in reversed(overrides) if text.startswith("model.kind=")), None)
        if kind is not None:
            values = {**values, "model": {**values.get("model", {}), "kind": kind.partition("=")[2].strip('" ')}}
        return load_config(_class_of(values), path, overrides)

    def fingerprint(self) -> str:
        """Return the SHA-256 of all settings; equal settings have equal fingerprints, however they were given."""
        return fingerprint(self)

    def task_names(self) -> tuple[str, ...]:
        """Return the names of the tasks: as given, or ``default``, or ``task_1``, ``task_2``, ... one per filter."""
        if self.input.task_names:
            return self.input.task_names
        num_filters = len(self.input.source_filters)
        return ("default",) if num_filters <= 1 else tuple(f"task_{i + 1}" for i in range(num_filters))

    @model_validator(mode="after")
    def _check_rules(self) -> RunnerConfig:
        for rule in (
            self._check_tasks,
            self._check_optimizer,
            self._check_tokens,
            self._check_starting_point,
            self._check_evaluation,
        ):
            rule()
        return self

    def _check_tasks(self) -> None:
        names, filters = self.input.task_names, self.input.source_filters
        # Upstream looks at neither for the export, which reads no data.
        if self.action is not Action.EXPORT_GRAPH_DEF and names and len(names) != len(filters):
            raise ValueError(
                f"{spell('input.task_names')} and {spell('input.source_filters')} go together, one name per "
                f"filter: {len(names)} names, {len(filters)} filters"
            )

    def _check_optimizer(self) -> None:
        schedule = self.optimizer.learning_rate_schedule
        if schedule is not LearningRateScheduleType.NONE and self.optimizer.decay_steps == 0:
            raise ValueError(
                f"{spell('optimizer.learning_rate_schedule')} {schedule.name} needs {spell('optimizer.decay_steps')} "
                "greater than 0"
            )

    def _check_tokens(self) -> None:
        tokens = self.tokens
        if tokens.out_of_vocabulary_injection_probability > 0 and not tokens.out_of_vocabulary_replacement_token:
            raise ValueError(
                f"{spell('tokens.out_of_vocabulary_injection_probability')} is greater than 0 and "
                f"{spell('tokens.out_of_vocabulary_replacement_token')} is empty: there is nothing to inject"
            )

    def _check_starting_point(self) -> None:
        checkpoint = self.checkpoint
        if checkpoint.warmstart_file and checkpoint.warmstart_dir:
            raise ValueError(
                f"{spell('checkpoint.warmstart_file')} and {spell('checkpoint.warmstart_dir')} exclude each other"
            )
        if bool(checkpoint.resume_from_dir) != bool(checkpoint.resume_to_dir):
            raise ValueError(
                f"{spell('checkpoint.resume_from_dir')} and {spell('checkpoint.resume_to_dir')} "
                "are given both or neither"
            )

    def _check_evaluation(self) -> None:
        if self.summary.eval_whole_file and self.summary.eval_max_evaluations:
            raise ValueError(
                f"{spell('summary.eval_whole_file')} and {spell('summary.eval_max_evaluations')} exclude each other: "
                "the whole file is evaluated once"
            )


class GraniteRunnerConfig(RunnerConfig):
    """The same for the graph models."""

    model: GraniteConfig = GraniteConfig()  # type: ignore[assignment]  # the sections differ, what is done with them not


def runner_config(values: Mapping[str, Any], where: str = "settings") -> RunnerConfig:
    """Build the settings from nested values, those of a graph model where ``model.kind`` says so.

    Raises:
        ConfigError: A key is unknown, or a value is out of range.
    """
    return build_config(_class_of(values), values, where=where)


def _class_of(values: Mapping[str, Any]) -> type[RunnerConfig]:
    model = values.get("model", {})
    kind = model.get("kind") if isinstance(model, Mapping) else None
    return GraniteRunnerConfig if kind == "graph" else RunnerConfig


def spell(key: str) -> str:
    """Return a setting's two names, as in ``batch.max_blocks (--gematria_max_blocks_in_batch)``."""
    flag = FLAGS_BY_KEY.get(key)
    if flag is None:
        raise ConfigError(f"there is no setting {key!r}")
    return f"{key} (--{flag})"


FLAGS_BY_KEY = {
    item.key: item.flag.name
    for config in (RunnerConfig, GraniteRunnerConfig)
    for item in walk_settings(config)
    if item.flag is not None
}
