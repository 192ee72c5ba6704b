"""The steps of a sweep of the completion model (`ops_common/sweep.py` says what one is):

train_configuration  a configuration, a rung   -> its loss on held-out batches after the rung's steps
choose_survivors     a rung                    -> who trains on
report_sweep         all rungs                 -> reports/sweep.json and .html
sweep                all of that in one command, without Airflow
"""

from __future__ import annotations

import math
import shutil
from pathlib import Path

from fastnode_ops.pipeline_dir import PipelineDir
from ops_common import sweep_steps
from ops_common.errors import DataError
from ops_common.sweep import SweepPlan
from ops_common.sweep_steps import Result


def train_configuration(*, run_dir: str, configuration: str, rung: int, server: str = "") -> Result:
    """Train one configuration of a sweep to the steps of a rung, from where it stood, and note its loss.

    A training that fails (an infinite loss, a batch too large for the memory) is noted as failed, with the reason.

    Args:
        run_dir: Folder of the sweep, with the metainfo of the corpus.
        configuration: Its label, or its number and a colon.
        rung: From 0.
        server: Base URL of the graph data server; empty: one of this command's own.
    """

    def train(plan: SweepPlan, folder: Path, number: int, steps: int) -> float:
        return _train(plan, folder, number, steps, PipelineDir(Path(run_dir)).metainfo, server)

    return sweep_steps.train_one(run_dir, configuration, rung, train)


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


def _train(plan: SweepPlan, folder: Path, number: int, steps: int, metainfo: Path, server: str) -> float:
    """Train a configuration until it has done so many steps, and return the figure that decides."""
    from fastnode_ops.config import ExpressionConfig
    from fastnode_ops.training.pipeline import train_in
    from fastnode_ops.training.sources import ServedSamples
    from ops_common.config import load_config

    place = PipelineDir(folder)
    place.metainfo.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(metainfo, place.metainfo)
    chosen = [*plan.details["overrides"], *plan.configuration(number).overrides]
    config = load_config(ExpressionConfig, Path(plan.details["config_file"]), chosen)
    if not config.train.validation_steps:  # then at the end only: the sweep needs a figure
        # the same in every rung: other settings would begin the training anew
        at_the_end = config.train.model_copy(update={"validation_steps": plan.rung_steps[-1]})
        config = config.model_copy(update={"train": at_the_end})
    source = ServedSamples(Path(plan.details["corpus_dir"]), server)
    name = f"configuration-{number}"
    summary = train_in(place, source, config, steps=steps, model_name=name, is_held_out_needed=True)
    if not math.isfinite(summary.validation_loss):
        raise DataError(f"there is no finite {plan.figure} after {steps} steps", "a lower learning rate may help")
    return summary.validation_loss


def sweep(
    *,
    run_dir: str,
    work_dir: str,
    corpus_dir: str,
    config_file: str,
    space_file: str,
    server: str = "",
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
        work_dir: A pipeline's folder, whose metainfo all configurations are trained with.
        corpus_dir: Folder of the corpus.
        config_file: TOML file with the settings that all configurations share.
        space_file: TOML or JSON file: setting to a list of values, or to a range with low, high, scale, type and num.
        server: Base URL of the graph data server; empty: one of this command's own.
        overrides: Settings that replace those of the file in all configurations, as section.key=value.
        search: grid or random.
        num_configurations: How many a random search draws.
        sweep_seed: Seed of a random search.
        training_steps: Steps of a whole training.
        min_steps: Fewest steps after which a training is stopped.
        eta: After a rung the best one of so many trains on, to so many times as many steps.
    """
    from fastnode_ops.server.local import serving
    from fastnode_ops.sweep_request import plan_search
    from ops_common.config import read_values

    metainfo, corpus = PipelineDir(Path(work_dir)).metainfo, Path(corpus_dir).absolute()
    request = {
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
    trained_with = {"corpus_dir": str(corpus), "metainfo": _digest_of_metainfo(metainfo, corpus)}
    places = {"run_dir": Path(run_dir), "project_root": Path.cwd(), "corpus_dir": corpus}
    sweep_steps.plan_once(run_dir, {**request, **trained_with}, lambda: plan_search(request, **places))
    with serving(server, corpus) as url:

        def train(plan: SweepPlan, folder: Path, number: int, steps: int) -> float:
            return _train(plan, folder, number, steps, metainfo, url)

        return sweep_steps.run_all(run_dir, train)


def _digest_of_metainfo(path: Path, corpus_dir: Path) -> str:
    """Return the digest of a metainfo that describes a corpus; refuse it when it describes another one."""
    from fastnode_ops.samples.metainfo import read_metainfo
    from fastnode_ops.statistics.resources import open_resources

    metainfo = read_metainfo(path)
    if metainfo.header.corpus_digest not in ("", open_resources(corpus_dir).digest):
        raise DataError(
            f"{path} describes another corpus than {corpus_dir}", "name that one, or make the metainfo anew"
        )
    return metainfo.digest
