"""The steps around a release: functions as in `tasks.py`, which are commands and Airflow tasks.

check_release     evaluation, thresholds, released model -> release.json, and pass or an error   (release_gate.py)
release_model     a model that passed and was uploaded   -> the released one         (ops_common/run_releases.py)
roll_back_model   an earlier model                       -> the released one again   (ops_common/run_releases.py)
releases          the history of a destination           -> a table                  (ops_common/release_table.py)
"""

from __future__ import annotations

import logging
from pathlib import Path

LOG = logging.getLogger(__name__)

Result = dict[str, str | int | float | bool]


def check_release(
    *,
    run_dir: str,
    max_mape_percent: float,
    require_better_than_baselines: bool = True,
    destination: str = "",
    compare_with_released: bool = True,
    dataset_dir: str = "",
    split: str = "validation",
    max_mape_increase_points: float = 2.0,
    confidence: float = 0.95,
    num_resamples: int = 1000,
    seed: int = 0,
) -> Result:
    """Check the evaluation against thresholds and the released model; fail with every number that did not pass.

    What was found stands in release.json of the run, whether it passed or not.

    Args:
        run_dir: Folder of an evaluated run.
        max_mape_percent: Highest mean absolute percentage error allowed for any task, in percent.
        require_better_than_baselines: Also require a lower error than every baseline, for every task.
        destination: Where models are published, for the one that is released there; empty: compare with none.
        compare_with_released: Compare with the model that is released at the destination.
        dataset_dir: Folder of the data set, to evaluate the released model when it was evaluated on other blocks.
        split: Part of the data set that this model was evaluated on.
        max_mape_increase_points: Most that the upper end of the interval of (this error - released model's) may be.
        confidence: Share of the resampled differences that the interval holds, 0.5 to 1.
        num_resamples: Resamples of the paired bootstrap.
        seed: Seed of the bootstrap.
    """
    from gematria_ops.release_gate import Thresholds, pass_gate
    from ops_common.release_record import interval_figures

    thresholds = Thresholds(
        max_mape_percent=max_mape_percent,
        require_better_than_baselines=require_better_than_baselines,
        max_mape_increase_points=max_mape_increase_points,
        confidence=confidence,
        num_resamples=num_resamples,
        seed=seed,
    )
    verdict, record = pass_gate(
        Path(run_dir),
        thresholds,
        destination=destination if compare_with_released else "",
        dataset_dir=Path(dataset_dir) if dataset_dir else None,
        split=split,
    )
    assert verdict.worst_mape_percent is not None  # a task without a figure does not pass
    return {
        "passed": verdict.passed,
        "worst_task": verdict.worst_task,
        "worst_mape_percent": round(verdict.worst_mape_percent, 3),
        "compared_with": record.compared_with,
        **interval_figures(record),
    }


def release_model(*, run_dir: str, destination: str, model_uri: str = "") -> Result:
    """Make an uploaded model the released one of its destination; another one is released by nothing else.

    Args:
        run_dir: Folder of a run that passed its release check, and whose model is uploaded.
        destination: Where models are published, e.g. s3://models/gematria.
        model_uri: The upload, as upload-model reports it; empty: the run's own at the destination.
    """
    from ops_common.run_releases import release_run

    run = Path(run_dir)
    done = release_run(run, destination, _prefix(model_uri) or f"{destination.rstrip('/')}/{run.name}")
    return {"model_uri": done.model_uri, "replaced": done.replaced, "entry": done.entry, "at": done.at}


def roll_back_model(
    *,
    destination: str,
    to: str = "previous",
    why: str = "",
    by: str = "",
    request: str = "",
    runs_dirs: list[str] | None = None,
) -> Result:
    """Make an earlier model the released one again, after every file of it was read and compared.

    Args:
        destination: Where models are published, e.g. s3://models/gematria.
        to: "previous", or the URI of a model that was released there before (see `releases`).
        why: What was wrong, for the history.
        by: Who wants it; empty: the user of this machine.
        request: Name of this roll back; done again under the same name it changes nothing. Empty: a new one.
        runs_dirs: Folders of runs, where release.json of the run that is rolled back shall say so.
    """
    from ops_common.run_releases import roll_back_runs

    done = roll_back_runs(
        destination,
        "gematria",
        to=to if to == "previous" else _prefix(to),
        why=why,
        by=by,
        request=request,
        runs_dirs=[Path(name) for name in runs_dirs or ()],
    )
    return {"model_uri": done.model_uri, "rolled_back": done.replaced, "entry": done.entry, "at": done.at}


def releases(*, destination: str) -> Result:
    """List what was released and rolled back at a destination, newest first.

    Args:
        destination: Where models are published, e.g. s3://models/gematria.
    """
    from ops_common.release_table import show_releases

    return show_releases(destination)


def _prefix(uri: str) -> str:
    """The prefix of a model's upload, from whichever of its URIs."""
    return uri.rstrip("/").removesuffix("/manifest.json").removesuffix("/bundle")
