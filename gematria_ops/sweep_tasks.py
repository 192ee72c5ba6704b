"""The steps of a sweep (`ops_common/sweep.py` says what one is):

train_configuration  a configuration, a rung   -> its error after the rung's steps
choose_survivors     a rung                    -> who trains on
report_sweep         all rungs                 -> reports/sweep.json and .html
sweep                all of that in one command, without Airflow
"""

from __future__ import annotations

import math
from pathlib import Path

from gematria_ops.dataset_settings import dataset_settings
from ops_common import sweep_steps
from ops_common.errors import DataError, NothingHeldOutError
from ops_common.rundir import RunDir
from ops_common.sweep import SweepPlan
from ops_common.sweep_steps import Result


def train_configuration(*, run_dir: str, configuration: str, rung: int) -> Result:
    """Train one configuration of a sweep to the steps of a rung, from where it stood, and note its error.

    A training that fails (an infinite loss, a batch too large for the memory) is noted as failed, with the reason.

    Args:
        run_dir: Folder of the sweep.
        configuration: Its label, or its number and a colon.
        rung: From 0.
    """
    return sweep_steps.train_one(run_dir, configuration, rung, _train)


def choose_survivors(*, run_dir: str, rung: int) -> Result:
    """Say which configurations of a sweep train on after a rung.

    Args:
        run_dir: Folder of the sweep.
        rung: The rung that has ended, from 0.
    """
    return sweep_steps.choose(run_dir, rung)


def report_sweep(*, run_dir: str) -> Result:
    """Write the table and the plot of a sweep.

    Args:
        run_dir: Folder of the sweep.
    """
    return sweep_steps.report(run_dir)


def _train(plan: SweepPlan, folder: Path, number: int, steps: int) -> float:
    """Train a configuration until it has done so many steps, and return the figure that decides."""
    from gematria_ops.config import RunnerConfig
    from gematria_ops.data.dataset import split_file
    from gematria_ops.training.train import train
    from ops_common.metrics import read_metrics

    run, dataset_dir = RunDir(folder), Path(plan.details["dataset_dir"])
    if not split_file(dataset_dir, "validation").stat().st_size:
        raise NothingHeldOutError(
            f"{dataset_dir} has no validation blocks to judge a training by",
            "import with a validation percentage above 0",
        )
    derived = dataset_settings(dataset_dir, run)
    chosen = [*plan.details["overrides"], *plan.configuration(number).overrides]
    config = RunnerConfig.from_toml(Path(plan.details["config_file"]), [*derived, *chosen, f"num_steps={steps}"])
    if not config.validation.every_steps:  # then at the end only: the sweep needs a figure
        every = config.validation.model_copy(update={"every_steps": steps})
        config = config.model_copy(update={"validation": every})
    train(config, metrics_path=run.metrics_path)
    records = read_metrics(run.metrics_path)
    found = [[v for k, v in record.items() if k.startswith(plan.figure)] for record in records]
    last: list[float] = next((errors for errors in reversed(found) if errors), [])
    if not last or not all(math.isfinite(error) for error in last):
        raise DataError(
            f"there is no finite {plan.figure} after {steps} steps", "are there validation blocks of all tasks?"
        )
    return sum(last) / len(last)


def sweep(
    *,
    run_dir: str,
    dataset_dir: str,
    config_file: str,
    space_file: str,
    overrides: list[str] | None = None,
    search: str = "random",
    num_configurations: int = 8,
    sweep_seed: int = 0,
    training_steps: int = 5_000,
    min_steps: int = 500,
    eta: int = 3,
) -> Result:
    """Search for good settings: train configurations one after the other, stop the worse ones early, report all.

    Args:
        run_dir: Folder of the sweep; a sweep that was interrupted goes on there.
        dataset_dir: Folder of a data set with a vocabulary.
        config_file: TOML file with the settings that all configurations share.
        space_file: TOML or JSON file: setting to a list of values, or to a range with low, high, scale, type and num.
        overrides: Settings that replace those of the file in all configurations, as section.key=value.
        search: grid or random.
        num_configurations: How many a random search draws.
        sweep_seed: Seed of a random search.
        training_steps: Steps of a whole training.
        min_steps: Fewest steps after which a training is stopped.
        eta: After a rung the best one of so many trains on, to so many times as many steps.
    """
    from gematria_ops.sweep_request import plan_sweep
    from ops_common.config import read_values

    here = Path.cwd()
    request = {
        "dataset": str(Path(dataset_dir).absolute()),
        "config_file": config_file,
        "overrides": overrides,
        "space": read_values(Path(space_file)),
        "search": search,
        "num_configurations": num_configurations,
        "sweep_seed": sweep_seed,
        "training_steps": training_steps,
        "min_steps": min_steps,
        "eta": eta,
    }
    places = {"run_dir": Path(run_dir), "project_root": here, "data_root": here}
    sweep_steps.plan_once(run_dir, request, lambda: plan_sweep(request, **places))
    return sweep_steps.run_all(run_dir, _train)
