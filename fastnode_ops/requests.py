"""What a person may ask of the completion model's workflows: the fields of the forms, their limits, what follows.

A field is a variable of the Makefile (specification 2.1) in lower case, or says where the result goes and when it is
good enough. The first task of each workflow turns a request into a plan: absolute paths and settings, every choice
made. So a wrong value ends a run before anything was done, with the name of the field and what is allowed.
"""

from __future__ import annotations

import json
import sysconfig
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, field_validator, model_validator

from fastnode_ops.config import ExpressionConfig
from fastnode_ops.pipeline_dir import PipelineDir
from ops_common.artifacts import write_text
from ops_common.config import Section, build_config, load_config
from ops_common.errors import DataError
from ops_common.pod_request import PodField
from ops_common.release_request import ReleaseChoices

Plan = dict[str, Any]
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,199}$")]
Weight = Annotated[float, Field(ge=0, le=1_000_000)]
Package = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_.]{0,199}$")]

DRY_RUN_STEPS = DRY_RUN_EPOCHS = 10
STANDARD_LIBRARY, INSTALLED = "stdlib", "site-packages"
"""Sources by name: the code of the interpreter, and of the packages that are installed beside it."""

_PLACE = r"^(s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9](/\S*)?|/\S*)$"
_URL = r"^https?://[^\s/]+(/\S*)?$"
_PACKAGES_FILE = "packagelist.txt"
_RESOLVED = "results/resolve_request.record.json"
_KEPT = ("corpus_dir", "config_file", "overrides", "model_name", "packages_file", "codebook_max_epochs")
"""What a continuation takes from the run that it continues."""

_EVERYTHING_PASSES = {
    "max_recall_drop": 1.0,
    "min_margin_over_popularity": -1.0,
    "min_situations": 1,
    "min_answered_share": 0.0,
    "pin": False,
    "release": False,
}
"""What a dry run replaces: its model is as good as untrained."""


class NoRunYet(DataError):
    """The newest finished run was asked for, and there is none."""


class TrainingChoices(Section):
    """How long to train, how to validate, when the result is good enough, and where it goes."""

    steps: int = Field(1_000_000, ge=1, le=100_000_000, description="Updates of the training.")
    dry_run: bool = Field(
        False,
        description=f"Does it work? At most {DRY_RUN_STEPS} steps and {DRY_RUN_EPOCHS} epochs; every model passes "
        "the gate, and none is released or pinned.",
    )
    server: str | None = Field(
        None, pattern=_URL, description="Graph data server that runs already. Empty: the run starts its own."
    )
    server_workers: int = Field(1, ge=1, le=256, description="Processes of the run's own graph data server.")
    num_validate_samples: int = Field(1_000, ge=1, le=1_000_000, description="Most files that a validation asks about.")
    rundb: str | None = Field(
        None, pattern=_PLACE, description="Where run records go, s3:// or a folder. Empty: the deployment's own place."
    )
    max_recall_drop: float = Field(
        0.05,
        ge=0,
        le=1,
        description="Release gate: most that top-1 recall, top-5 recall and reciprocal rank may lie below the released "
        "model's, at the lower end of the interval; 1: do not compare.",
    )
    min_margin_over_popularity: float = Field(
        0.0,
        ge=-1,
        le=1,
        description="Release gate: least that top-1 recall must lie above popularity's; -1: no matter.",
    )
    min_situations: int = Field(
        50, ge=1, le=1_000_000, description="Release gate: fewest situations that a verdict may stand on."
    )
    min_answered_share: float = Field(
        0.2, ge=0, le=1, description="Release gate: smallest share of situations that the model answers."
    )
    destination: str | None = Field(
        None,
        pattern=_PLACE,
        description="Where models are published, s3://bucket/prefix or a folder; %t becomes the time. Empty: the "
        "deployment's own place.",
    )
    pin: bool = Field(True, description="Pin the model in the product's checkout and rebuild its datadeps.")
    checkout: str | None = Field(
        None, min_length=1, description="Folder of the product's checkout. Empty: the deployment's own."
    )
    pod: PodField = None


class ReleaseRequest(ReleaseChoices, TrainingChoices):
    """What every training of a completion model is asked."""


class StandaloneRequest(ReleaseRequest):
    """What to learn from, and with which settings."""

    model_name: Name = Field("pythonexpr", description="Names the summaries and the run records.")
    corpus: Name | None = Field(
        None, description="Name of the corpus among the deployment's data sets. Empty: `python`."
    )
    sources: list[str] = Field(
        [STANDARD_LIBRARY],
        min_length=1,
        max_length=1_000,
        description=f"What the corpus is made of, once: folders and archives of code, from the checkout's root, or "
        f"`{STANDARD_LIBRARY}`, `{INSTALLED}`.",
    )
    max_files: int = Field(0, ge=0, le=10_000_000, description="Most files of the corpus; 0: all.")
    num_workers: int = Field(2, ge=1, le=256, description="Processes that build the corpus.")
    packages: list[Package] | None = Field(None, description="Packages to learn. Empty: as packages_file says.")
    packages_file: str | None = Field(
        None, min_length=1, description="Packages to learn, one a line. Empty: all that occur in the corpus."
    )
    config_file: str = Field(
        "config/fastnode/expression.toml", min_length=1, description="Settings (TOML), from the checkout's root."
    )
    batch: int | None = Field(
        None, ge=1, le=1_000, description="Training batches per response of the server. Empty: as in config_file."
    )
    max_samples: int | None = Field(
        None, ge=1, le=10_000, description="Graph samples per training batch, about. Empty: as in config_file."
    )
    attr_proportion: Weight | None = Field(None, description="Weight of attributes. Empty: as in config_file.")
    attr_base_proportion: Weight | None = Field(None, description="Weight of their bases. Empty: as in config_file.")
    call_proportion: Weight | None = Field(None, description="Weight of calls. Empty: as in config_file.")
    arg_type_proportion: Weight | None = Field(None, description="Weight of argument kinds. Empty: as in config_file.")
    kwarg_name_proportion: Weight | None = Field(None, description="Weight of keywords. Empty: as in config_file.")
    arg_placeholder_proportion: Weight | None = Field(
        None, description="Weight of arguments left open. Empty: as in config_file."
    )
    codebook_max_epochs: int | None = Field(
        None, ge=1, le=1_000_000, description="Epochs of the compression. Empty: as in config_file."
    )
    overrides: list[str] | None = Field(
        None, max_length=1_000, description="Further settings of config_file to replace, each as section.key=value."
    )

    @field_validator("overrides")
    @classmethod
    def _look_like_settings(cls, values: list[str] | None) -> list[str] | None:
        for value in values or ():
            if "=" not in value:
                raise ValueError(f"{value!r} is not section.key=value")
        return values

    @model_validator(mode="after")
    def _check_together(self) -> StandaloneRequest:
        if self.packages and self.packages_file:
            raise ValueError("packages and packages_file say the same thing: give one of them")
        return self


class ContinueRequest(ReleaseRequest):
    """Which finished training to continue; `steps` is the number of further updates."""

    run: str | None = Field(
        None, min_length=1, max_length=300, description="Run of pythonexpr_standalone. Empty: the newest finished one."
    )


def plan_standalone(
    values: Mapping[str, Any],
    *,
    project_root: Path,
    data_root: Path,
    run_dir: Path,
    destination: str,
    rundb: str,
    checkout: Path,
) -> Plan:
    """Check a request for a new model and make every choice that it leaves open.

    Packages that are listed in the request are written to the run's folder, where every later step reads them.

    Args:
        values: The request's fields.
        project_root: Relative files are meant from here.
        data_root: Folder of all corpora.
        run_dir: Folder of this run: the pipeline's folder.
        destination: Where models are published when the request does not say.
        rundb: Where run records go when the request does not say.
        checkout: The product's checkout when the request does not say.

    Returns:
        The arguments of the tasks.

    Raises:
        ConfigError: A field is unknown or out of range, or the settings that follow are wrong.
        DataError: A file or folder does not exist.
    """
    request = build_config(StandaloneRequest, values, where="conf")
    config_file = project_root / request.config_file
    overrides = _overrides(request)
    load_config(ExpressionConfig, config_file, overrides)  # fails here, not after an hour of preparations
    return {
        **_release_plan(request, project_root, destination, rundb, checkout),
        "work_dir": str(run_dir),
        "model_name": request.model_name,
        "corpus_dir": str(data_root / (request.corpus or "python")),
        "sources": [str(source_path(name, project_root)) for name in request.sources],
        "max_files": request.max_files,
        "num_workers": request.num_workers,
        "packages_file": _packages_file(request, project_root, run_dir),
        "config_file": str(config_file),
        "overrides": overrides,
        "codebook_max_epochs": _epochs(request),
    }


def plan_continuation(
    values: Mapping[str, Any],
    *,
    project_root: Path,
    runs_root: Path,
    destination: str,
    rundb: str,
    checkout: Path,
) -> Plan:
    """Check a request to continue a training, and find the run.

    Args:
        values: The request's fields; `run` is the name of a folder.
        project_root: Relative files are meant from here.
        runs_root: Folder of the runs that trained models.
        destination: Where models are published when the request does not say.
        rundb: Where run records go when the request does not say.
        checkout: The product's checkout when the request does not say.

    Returns:
        The arguments of the tasks; corpus and settings are those of the run that is continued.

    Raises:
        ConfigError: A field is unknown or out of range.
        NoRunYet: The newest run was asked for, and none has finished.
        DataError: The run that was named has not finished, or does not say how it was made.
    """
    request = build_config(ContinueRequest, values, where="conf")
    folder = _finished_run(runs_root, request.run)
    try:
        made = json.loads((folder / _RESOLVED).read_bytes())["result"]
        kept = {name: made[name] for name in _KEPT}
    except (OSError, ValueError, KeyError, TypeError):
        raise DataError(
            f"conf: run: {folder} does not say how it was made ({_RESOLVED})", "choose another run"
        ) from None
    if request.dry_run:
        kept["codebook_max_epochs"] = DRY_RUN_EPOCHS
    return {**_release_plan(request, project_root, destination, rundb, checkout), **kept, "work_dir": str(folder)}


def _release_plan(
    request: ReleaseRequest, project_root: Path, destination: str, rundb: str, default_checkout: Path
) -> Plan:
    checkout = project_root / request.checkout if request.checkout else default_checkout
    if request.pin and request.checkout and not checkout.is_dir():
        raise DataError(
            f"conf: checkout: {checkout} is not a folder", "give the product's checkout, or set pin to false"
        )
    kept = request.model_dump(
        include={
            "server_workers",
            "num_validate_samples",
            "max_recall_drop",
            "min_margin_over_popularity",
            "min_situations",
            "min_answered_share",
            "pin",
        }
    )
    kept |= request.release_choices()
    if request.dry_run:
        kept |= _EVERYTHING_PASSES
    return {
        **kept,
        "steps": min(request.steps, DRY_RUN_STEPS) if request.dry_run else request.steps,
        "server": request.server or "",
        "rundb": request.rundb or rundb,
        "destination": request.destination or destination,
        "pod": request.pod or {},
        "checkout_dir": str(checkout) if kept["pin"] or checkout.is_dir() else "",
    }


def _overrides(request: StandaloneRequest) -> list[str]:
    """The request's settings as overrides of the configuration file; its free-form ones win, being more explicit."""
    names = ("attr", "attr_base", "call", "arg_type", "kwarg_name", "arg_placeholder")
    values = {
        "train.batches_per_response": request.batch,
        "samples.max_samples": request.max_samples,
        **{f"samples.{name}_proportion": getattr(request, f"{name}_proportion") for name in names},
        "codebook.max_epochs": request.codebook_max_epochs,
    }
    given = [f"{key}={json.dumps(value)}" for key, value in values.items() if value is not None]
    return [*given, *(request.overrides or ())]


def _epochs(request: StandaloneRequest) -> int:
    """Most epochs of the compression; 0: as the settings say."""
    asked = request.codebook_max_epochs or 0
    return min(asked or DRY_RUN_EPOCHS, DRY_RUN_EPOCHS) if request.dry_run else asked


def source_path(name: str, project_root: Path) -> Path:
    """Where a source of a corpus stands.

    Args:
        name: A folder or archive, or one of the two names.
        project_root: Relative paths are meant from here.

    Raises:
        DataError: There is nothing.
    """
    by_name = {STANDARD_LIBRARY: "stdlib", INSTALLED: "purelib"}
    path = Path(sysconfig.get_path(by_name[name])) if name in by_name else project_root / name
    if not path.exists():
        raise DataError(f"conf: sources: {path} does not exist", "paths start at the checkout's root, or are absolute")
    return path


def _packages_file(request: StandaloneRequest, project_root: Path, run_dir: Path) -> str:
    if request.packages:
        path = run_dir / _PACKAGES_FILE
        write_text(path, "".join(f"{name}\n" for name in request.packages))
        return str(path)
    if not request.packages_file:
        return ""
    path = project_root / request.packages_file
    if not path.is_file():
        raise DataError(
            f"conf: packages_file: {path} does not exist", "paths start at the checkout's root, or are absolute"
        )
    return str(path)


def _finished_run(runs_root: Path, name: str | None) -> Path:
    """The folder of a run that has trained a model: by name, or the newest."""
    finished = {path: _trained_at(path) for path in sorted(runs_root.glob("*")) if _trained_at(path)}
    if name:
        folder = runs_root / name
        if folder not in finished:
            known = ", ".join(path.name for path in finished) or "none"
            raise DataError(f"conf: run: {folder} has not trained a model", f"runs in {runs_root} that have: {known}")
        return folder
    newest = max(finished, key=lambda path: finished[path], default=None)
    if newest is None:
        raise NoRunYet(f"no run in {runs_root} has trained a model yet", "run the DAG pythonexpr_standalone first")
    return newest


def _trained_at(folder: Path) -> float:
    model = PipelineDir(folder).frozen_model
    return model.stat().st_mtime if model.is_file() else 0.0
