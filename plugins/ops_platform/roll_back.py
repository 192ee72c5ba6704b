"""The request to go back to an earlier model: the fields of its form, and the first task of its workflow."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from airflow.sdk import get_current_context, task
from pydantic import Field, StringConstraints

from ops_common.config import Section, build_config
from ops_common.errors import DataError
from ops_common.release_record import Family
from ops_common.releases import PREVIOUS
from ops_platform import settings
from ops_platform.requests import RESOLVING, TRAIN_DAG, resolve_once
from ops_platform.run_folders import STANDALONE_DAG

Text = Annotated[str, StringConstraints(max_length=500, pattern=r"^[^\x00-\x1f]*$")]

_PLACE = r"^(s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9](/\S*)?|/\S*)$"
_RUNS_OF: Mapping[Family, tuple[str, ...]] = {
    "gematria": (TRAIN_DAG,),
    "pythonexpr": (STANDALONE_DAG, "pythonexpr_continue", "pythonexpr_distributed"),
}
"""The workflows whose runs release models."""


class RollBackRequest(Section):
    """Which model is to be released again, and why."""

    family: Family = Field("gematria", description="Which models: throughput (gematria) or completion (pythonexpr).")
    to: str = Field(
        PREVIOUS,
        pattern=rf"^{PREVIOUS}$|{_PLACE}",
        max_length=2_000,
        description=f"`{PREVIOUS}`: the model that the released one replaced; or the URI of a model that was released.",
    )
    why: Text = Field("", description="What is wrong with the released model, for the history.")
    destination: str | None = Field(
        None, pattern=_PLACE, description="Where the models are published. Empty: the deployment's own place."
    )
    pin: bool = Field(
        True, description="Completion model: pin it in the product's checkout, and rebuild its datadeps, too."
    )
    checkout: str | None = Field(
        None, min_length=1, description="Folder of the product's checkout. Empty: the deployment's own."
    )
    require_approval: bool = Field(False, description="Wait for another person's approval first.")
    approval_hours: float = Field(
        12.0, ge=0.01, le=720, description="Hours that the approval may take; after that nothing is changed."
    )


@task(task_id="resolve_request", multiple_outputs=True, **RESOLVING)
def resolve_roll_back() -> dict[str, Any]:
    """Check what was asked for, and say of which place."""
    context = get_current_context()

    def plan(values: Mapping[str, Any], folder: Path) -> dict[str, Any]:
        by = str(getattr(context["dag_run"], "triggering_user_name", None) or "")
        return plan_roll_back(values, settings.load(), folder, by)

    return resolve_once(context, dict(context["params"]), plan)


def plan_roll_back(values: Mapping[str, Any], config: settings.Settings, folder: Path, by: str) -> dict[str, Any]:
    """Check a request to roll back, and make every choice that it leaves open.

    Args:
        values: The request's fields.
        config: The deployment's settings.
        folder: Folder of this run.
        by: Who has triggered it.

    Returns:
        The arguments of both families' `roll_back_model`, and which of them is meant.

    Raises:
        ConfigError: A field is unknown or out of range.
        DataError: The checkout that was named is no folder.
    """
    request = build_config(RollBackRequest, values, where="conf")
    is_completion = request.family == "pythonexpr"
    checkout = config.project_root / request.checkout if request.checkout else config.checkout
    if is_completion and request.pin and request.checkout and not checkout.is_dir():
        raise DataError(
            f"conf: checkout: {checkout} is not a folder", "give the product's checkout, or set pin to false"
        )
    is_pinned = is_completion and request.pin and checkout.is_dir()
    own = config.expression_destination if is_completion else config.destination
    return {
        **request.model_dump(include={"family", "to", "why", "require_approval", "approval_hours"}),
        "run_dir": str(folder),
        "destination": request.destination or own,
        "by": by,
        "request": folder.name,
        "checkout_dir": str(checkout) if is_pinned else "",
        "runs_dirs": [str(config.runs_root / name) for name in _RUNS_OF[request.family]],
        "is_gematria": not is_completion,
        "is_pythonexpr": is_completion,
        "is_pinned": is_pinned,
    }
