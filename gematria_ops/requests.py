"""What a person may ask of the Gematria workflows: the fields of the forms, their limits, and what follows from them.

A request is what comes in by the form, `airflow dags trigger --conf`, or another workflow. A plan is what the tasks
get: absolute paths and settings, every choice made. The first task of each workflow turns one into the other, so a
wrong value ends a run before anything was done, with the name of the field and what is allowed.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from ops_common.config import Section, build_config
from ops_common.errors import ConfigError, DataError
from ops_common.pod_request import PodField
from ops_common.release_request import ReleaseChoices

Plan = dict[str, Any]
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$")]
Percent = Annotated[int, Field(ge=0, le=50)]
EvenSize = Annotated[int, Field(ge=2, le=4096, multiple_of=2)]

_VOCABULARY = "tokens.txt"
S3_PLACE = r"^s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9](/[^\s]*)?$"
SAMPLE_FILE = "tests/data/bhive/sample_{}.csv"
_SAMPLED = ("ivb", "hsw", "skl")


class NoDatasetYet(DataError):
    """The newest data set was asked for, and there is none."""


class TrainingChoices(Section):
    """What to train, how long, when the result is good enough, and where it goes."""

    dataset: str | None = Field(None, description="Name (or folder) of the data set. Empty: the newest one.")
    config_file: str = Field(
        "config/gematria/ithemal.toml",
        min_length=1,
        description="Experiment settings (TOML), from the checkout's root.",
    )
    training_steps: int | None = Field(
        None, ge=1, le=100_000_000, description="Train until this global step. Empty: as in config_file."
    )
    max_minutes: float | None = Field(
        None,
        ge=0.05,
        le=20_160,
        description="End the training after this many minutes, whichever comes first. Empty: no limit.",
    )
    learning_rate: float | None = Field(
        None, ge=1e-8, le=10, description="Initial learning rate. Empty: as in config_file."
    )
    max_blocks_in_batch: int | None = Field(
        None, ge=1, le=100_000, description="Basic blocks in one batch. Empty: as in config_file."
    )
    token_embedding_size: int | None = Field(
        None, ge=1, le=4096, description="Size of a token's embedding. Empty: as in config_file."
    )
    instruction_embedding_size: EvenSize | None = Field(
        None, description="Size of an instruction's embedding, even. Empty: as in config_file."
    )
    block_embedding_size: EvenSize | None = Field(
        None, description="Size of a block's embedding, even. Empty: as in config_file."
    )
    random_seed: int | None = Field(
        None,
        ge=-1,
        le=2**31 - 1,
        description="Seed of weights and batches; -1: another one each time. Empty: as in config_file.",
    )
    overrides: list[str] | None = Field(
        None, description="Further settings of config_file to replace, each as section.key=value."
    )
    evaluation_split: Literal["validation", "test"] = Field(
        "validation", description="Held-out part of the data set that the model is evaluated on."
    )
    max_mape_percent: float = Field(
        25.0,
        ge=0.01,
        le=1000,
        description="Release gate: highest mean absolute percentage error of any microarchitecture.",
    )
    require_better_than_baselines: bool = Field(
        True, description="Release gate: the error must also be lower than that of every baseline."
    )
    compare_with_released: bool = Field(
        True, description="Release gate: compare with the released model, on the same held-out blocks."
    )
    max_mape_increase_points: float = Field(
        2.0,
        ge=-100,
        le=1000,
        description="Release gate: most that the error may lie above the released model's, in percentage points, at "
        "the upper end of the interval. Below 0: it must be better.",
    )
    destination: str | None = Field(
        None,
        pattern=S3_PLACE,
        description="Where the model is published, s3://bucket/prefix. Empty: the deployment's own place.",
    )
    pod: PodField = None

    @field_validator("overrides")
    @classmethod
    def _look_like_settings(cls, values: list[str] | None) -> list[str] | None:
        for value in values or ():
            if "=" not in value:
                raise ValueError(f"{value!r} is not section.key=value")
        return values


class TrainRequest(ReleaseChoices, TrainingChoices):
    """All that a training is asked."""


class ImportRequest(Section):
    """Which measurements to import, and how they are shared out."""

    csv_files: list[str] = Field(
        [SAMPLE_FILE.format(name) for name in _SAMPLED],
        min_length=1,
        description="BHive CSV files, one per microarchitecture, plain or .gz, from the checkout's root.",
    )
    source_names: list[str] = Field(
        [f"llvm-mca: {name}" for name in _SAMPLED],
        min_length=1,
        description="Throughput source of each file, in the same order.",
    )
    dataset: Name | None = Field(
        None, description="Name of the data set: letters, digits, '.', '_', '-'. Empty: named after the run."
    )
    throughput_scaling: float = Field(
        0.01,
        ge=1e-9,
        le=1_000_000,
        description="Multiplies every value; 0.01 turns cycles per 100 iterations into cycles.",
    )
    validation_percent: Percent = Field(10, description="Blocks held out for validation, in percent.")
    test_percent: Percent = Field(10, description="Blocks held out for the final test, in percent.")
    max_rejected_share: float = Field(
        0.01, ge=0, le=1, description="Fail when a larger share of the rows is unusable (0 to 1)."
    )
    num_workers: int = Field(2, ge=1, le=256, description="Processes that decode.")
    train_conf: dict[str, Any] | None = Field(
        None, description="Settings for the training that follows, as gematria_train takes them. Empty: its defaults."
    )

    @model_validator(mode="after")
    def _check_together(self) -> ImportRequest:
        if len(self.csv_files) != len(self.source_names):
            raise ValueError(
                f"csv_files and source_names go together, one name for each file: "
                f"{len(self.csv_files)} files, {len(self.source_names)} names"
            )
        repeated = sorted({name for name in self.source_names if self.source_names.count(name) > 1})
        if repeated:
            raise ValueError(f"source_names: each name once, repeated: {', '.join(repeated)}")
        if self.train_conf is not None:
            try:
                build_config(TrainRequest, self.train_conf, where="train_conf")
            except ConfigError as error:
                raise ValueError(str(error)) from None
        return self


def plan_import(values: Mapping[str, Any], *, project_root: Path, data_root: Path, run_name: str) -> Plan:
    """Check an import request and make every choice that it leaves open.

    Args:
        values: The request's fields.
        project_root: Relative files are meant from here.
        data_root: Folder of all data sets.
        run_name: Name of the run, for a data set without one.

    Returns:
        The arguments of `tasks.import_bhive`, and `train_conf`.

    Raises:
        ConfigError: A field is unknown or out of range, or fields contradict each other.
        DataError: A file does not exist.
    """
    request = build_config(ImportRequest, values, where="conf")
    files = [project_root / name for name in request.csv_files]
    for file in files:
        if not file.is_file():
            raise DataError(
                f"conf: csv_files: {file} does not exist", "paths start at the checkout's root, or are absolute"
            )
    plan = request.model_dump(exclude={"dataset"})
    return {
        **plan,
        "csv_files": [str(file) for file in files],
        "dataset_dir": str(data_root / (request.dataset or run_name)),
    }


def plan_training(
    values: Mapping[str, Any], *, project_root: Path, data_root: Path, run_dir: Path, destination: str
) -> Plan:
    """Check a training request and make every choice that it leaves open.

    Args:
        values: The request's fields.
        project_root: A relative configuration file is meant from here.
        data_root: Folder of all data sets.
        run_dir: Folder of this run.
        destination: Where models are published when the request does not say.

    Returns:
        `dataset_dir, run_dir, config_file, overrides, split, destination, pod` and the choices of the release.

    Raises:
        ConfigError: A field is unknown or out of range, or the settings that follow are wrong.
        NoDatasetYet: The newest data set was asked for, and there is none.
        DataError: The data set that was named does not exist.
    """
    from gematria_ops.config import RunnerConfig

    request = build_config(TrainRequest, values, where="conf")
    dataset_dir = find_dataset(data_root, request.dataset)
    config_file = project_root / request.config_file
    overrides = _overrides(request)
    RunnerConfig.from_toml(config_file, overrides)  # fails here, not after the worker has loaded TensorFlow
    return {
        "dataset_dir": str(dataset_dir),
        "run_dir": str(run_dir),
        "config_file": str(config_file),
        "overrides": overrides,
        "split": request.evaluation_split,
        "max_mape_percent": request.max_mape_percent,
        "require_better_than_baselines": request.require_better_than_baselines,
        "compare_with_released": request.compare_with_released,
        "max_mape_increase_points": request.max_mape_increase_points,
        **request.release_choices(),
        "destination": request.destination or destination,
        "pod": request.pod or {},
    }


def find_dataset(data_root: Path, name: str | None) -> Path:
    """The folder of a data set with a vocabulary: by name, by path, or the newest when there is no name.

    Raises:
        NoDatasetYet: The newest was asked for, and there is none.
        DataError: The one that was named does not exist, or its import has not finished.
    """
    if name:
        folder = data_root / name
        if not _is_complete(folder):
            known = ", ".join(path.name for path in _complete_datasets(data_root)) or "none"
            raise DataError(f"conf: dataset: {folder} is not a finished data set", f"data sets in {data_root}: {known}")
        return folder
    newest = max(_complete_datasets(data_root), key=_finished_at, default=None)
    if newest is None:
        raise NoDatasetYet(f"there is no data set in {data_root} yet", "run the DAG gematria_import first")
    return newest


def _overrides(request: TrainRequest) -> list[str]:
    """The request's settings as overrides of the configuration file; its free-form ones win, being more explicit."""
    values = {
        "num_steps": request.training_steps,
        "max_seconds": request.max_minutes and request.max_minutes * 60,
        "random_seed": request.random_seed,
        "optimizer.learning_rate": request.learning_rate,
        "batch.max_blocks": request.max_blocks_in_batch,
        "model.token_embedding_size": request.token_embedding_size,
        "model.instruction_embedding_size": request.instruction_embedding_size,
        "model.block_embedding_size": request.block_embedding_size,
    }
    given = [f"{key}={json.dumps(value)}" for key, value in values.items() if value is not None]
    return [*given, *(request.overrides or ())]


def _complete_datasets(data_root: Path) -> list[Path]:
    return sorted(path for path in data_root.glob("*") if _is_complete(path))


def _is_complete(folder: Path) -> bool:
    """Whether a data set has its vocabulary, which its manifest lists as soon as it is whole."""
    try:
        return _VOCABULARY in json.loads((folder / "manifest.json").read_bytes())["files"]
    except (OSError, ValueError, KeyError, TypeError):
        return False


def _finished_at(folder: Path) -> float:
    return (folder / _VOCABULARY).stat().st_mtime
