"""What a person may ask of a sweep, and the plan that follows: every configuration, checked before anything trains."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import Field, model_validator

from gematria_ops.config import RunnerConfig
from gematria_ops.requests import Plan, TrainRequest, find_dataset
from ops_common.config import build_config, plain_values
from ops_common.errors import ConfigError
from ops_common.run_record import describe
from ops_common.search_request import SearchRequest
from ops_common.sweep import SweepDir

FIGURE = "validation_mape_percent"
"""What decides: the mean absolute percentage error on validation blocks, averaged over the tasks."""

_RESERVED = (
    *("action", "num_steps", "max_seconds"),
    *("input.", "tokens.file", "checkpoint.", "summary.", "output.", "distributed.", "validation.files"),
)


class SweepRequest(SearchRequest):
    """Which settings to search on which data set, and what becomes of the best."""

    config_file: str = Field(
        "config/gematria/ithemal.toml", min_length=1, description="Settings (TOML) that all configurations share."
    )
    space: dict[str, Any] = Field(
        {"optimizer.learning_rate": {"low": 0.0003, "high": 0.03, "scale": "log"}},
        description=SearchRequest.model_fields["space"].description,
    )
    dataset: str | None = Field(None, description="Name (or folder) of the data set. Empty: the newest one.")
    release_best: bool = Field(
        False, description="Train the best one anew, alone, and release it if it passes the gate."
    )
    train_conf: dict[str, Any] | None = Field(
        None, description="Further settings for that training, as gematria_train takes them. Empty: its defaults."
    )

    @model_validator(mode="after")
    def _check_training(self) -> SweepRequest:
        try:
            build_config(TrainRequest, self.train_conf or {}, where="train_conf")
        except ConfigError as error:
            raise ValueError(error.message) from None
        return self


def plan_sweep(values: Mapping[str, Any], *, project_root: Path, data_root: Path, run_dir: Path) -> Plan:
    """Check a request for a sweep, and write its plan into the folder of the run.

    Args:
        values: The request's fields.
        project_root: A relative configuration file is meant from here.
        data_root: Folder of all data sets.
        run_dir: Folder of this run.

    Returns:
        `run_dir`, `configurations` (labels of the first rung), `release_best`, and `train_conf`, to which the
        best configuration's overrides are added.

    Raises:
        ConfigError: A field is out of range, or a configuration has a wrong setting; the message names it.
        NoDatasetYet, DataError: There is no such data set.
    """
    request = build_config(SweepRequest, values, where="conf")
    dataset_dir = find_dataset(data_root, request.dataset)
    config_file = project_root / request.config_file
    fixed = list(request.overrides or ())
    base = RunnerConfig.from_toml(config_file, fixed)
    points = request.configurations(lambda overrides: RunnerConfig.from_toml(config_file, overrides), _RESERVED)
    plan = request.plan(points, FIGURE, dataset_dir=str(dataset_dir), config_file=str(config_file))
    SweepDir(run_dir).write_plan(plan)
    seeds = {"random_seed": base.random_seed, "sweep_seed": request.sweep_seed}
    describe(run_dir, "gematria_ops", config=plain_values(base), seeds=seeds, data_dir=dataset_dir)
    return {
        "run_dir": str(run_dir),
        "configurations": [point.label for point in points],
        "release_best": request.release_best,
        "train_conf": {
            "dataset": str(dataset_dir),
            "config_file": str(config_file),
            "training_steps": request.training_steps,
            **(request.train_conf or {}),
            "overrides": [*fixed, *((request.train_conf or {}).get("overrides") or ())],
        },
    }
