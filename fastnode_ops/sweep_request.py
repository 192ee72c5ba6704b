"""What a person may ask of a sweep of the completion model, and the plan that follows."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import Field, model_validator

from fastnode_ops.config import ExpressionConfig
from fastnode_ops.requests import Plan, StandaloneRequest, plan_standalone
from ops_common.config import build_config, load_config
from ops_common.errors import ConfigError
from ops_common.search_request import SearchRequest
from ops_common.sweep import Configuration, SweepDir, SweepPlan

FIGURE = "validation_loss"
"""What decides: the mean loss over the held-out batches. Losses of another kind or margin cannot be compared."""

_RESERVED = ("train.checkpoint_", "train.summary_steps", "model.loss", "model.margin", "codebook.")


class ExpressionSweepRequest(SearchRequest):
    """Which settings to search on which corpus, and what becomes of the best."""

    config_file: str = Field(
        "config/fastnode/expression.toml", min_length=1, description="Settings (TOML) that all configurations share."
    )
    space: dict[str, Any] = Field(
        {"train.learning_rate": {"low": 0.00001, "high": 0.01, "scale": "log"}},
        description=SearchRequest.model_fields["space"].description,
    )
    train_conf: dict[str, Any] = Field(
        {},
        description="How the trainings get their samples, and how the best is released, as pythonexpr_standalone takes "
        'it: for example {"corpus": "python", "require_approval": true}.',
    )
    release_best: bool = Field(
        False, description="Train the best one anew, alone, and release it if it passes the gate."
    )

    @model_validator(mode="after")
    def _check_training(self) -> ExpressionSweepRequest:
        for name in ("steps", "config_file"):
            if name in self.train_conf:
                raise ValueError(f"train_conf: {name} is a field of the sweep itself")
        try:
            build_config(StandaloneRequest, self.train_conf, where="train_conf")
        except ConfigError as error:
            raise ValueError(error.message) from None
        return self


def plan_search(values: Mapping[str, Any], *, run_dir: Path, project_root: Path, corpus_dir: Path) -> SweepPlan:
    """Check a request for a search on a corpus that is there, and write its plan.

    Args:
        values: The request's fields.
        run_dir: Folder of the sweep.
        project_root: A relative configuration file is meant from here.
        corpus_dir: The corpus.

    Raises:
        ConfigError: A field is out of range, or a configuration has a wrong setting; the message names it.
    """
    request = build_config(ExpressionSweepRequest, values, where="request")
    config_file = project_root / request.config_file
    plan = request.plan(_points(request, config_file), FIGURE, corpus_dir=str(corpus_dir), config_file=str(config_file))
    SweepDir(run_dir).write_plan(plan)
    return plan


def _points(request: ExpressionSweepRequest, config_file: Path) -> list[Configuration]:
    return request.configurations(lambda given: load_config(ExpressionConfig, config_file, given), _RESERVED)


def plan_sweep(values: Mapping[str, Any], *, run_dir: Path, project_root: Path, **places: Any) -> Plan:
    """Check a request for a sweep, and write its plan into the folder of the run.

    Args:
        values: The request's fields.
        run_dir: Folder of this run: corpus, metainfo and server are found from here, as in a training.
        project_root: Relative files are meant from here.
        **places: Further arguments of `plan_standalone`.

    Returns:
        The plan of a training, and `configurations` (labels of the first rung), `release_best`, `train_conf`.

    Raises:
        ConfigError: A field is out of range, or a configuration has a wrong setting; the message names it.
        DataError: A file or folder does not exist.
    """
    request = build_config(ExpressionSweepRequest, values, where="conf")
    config_file = project_root / request.config_file
    points = _points(request, config_file)
    fixed = list(request.overrides or ())
    training = {
        **request.train_conf,
        "config_file": request.config_file,
        "steps": request.training_steps,
        "overrides": [*fixed, *(request.train_conf.get("overrides") or ())],
    }
    planned = plan_standalone(training, run_dir=run_dir, project_root=project_root, **places)
    shared = planned["overrides"]  # those of the training's own fields, such as batch, among them
    asked = request.model_copy(update={"overrides": shared})
    plan = asked.plan(points, FIGURE, corpus_dir=planned["corpus_dir"], config_file=str(config_file))
    SweepDir(run_dir).write_plan(plan)
    return {
        **planned,
        "run_dir": str(run_dir),
        "configurations": [point.label for point in points],
        "release_best": request.release_best,
        "train_conf": training,
    }
