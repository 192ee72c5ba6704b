"""Generation on other hosts in one run of a workflow, part of `tasks.py`: planned once, then a task for each host.

`deploy_datagen` (datagen_remote_tasks.py) does all of it in one command, for a person. Here the shares are written down
first, so that each host is a task of its own, which can fail and be tried again by itself.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from fastnode_ops.datagen_remote_tasks import place_of, settings_of, stop_on_all
from fastnode_ops.pipeline_dir import PipelineDir
from ops_common.errors import ServiceError

if TYPE_CHECKING:
    from fastnode_ops.datagen.deploy import Deployment, Place, Work
    from fastnode_ops.remote.hosts import Host

Result = dict[str, str | int | float | bool | list[str]]


def plan_datagen(
    *,
    work_dir: str,
    corpus_dir: str,
    remote_dir: str,
    dataset: str,
    data_steps: int,
    hosts: list[str] | None = None,
    config_file: str = "",
    overrides: list[str] | None = None,
    samples_per_file: int = 500,
    data_dir: str = "",
    server: str = "",
    remote_python: str = "",
    num_workers: int = 0,
    max_bytes: int = 20_000_000_000,
    min_free_bytes: int = 2_000_000_000,
    ssh_key: str = "",
    ssh_known_hosts: str = "",
    ssh_config: str = "",
) -> Result:
    """Decide which host makes which steps, and make the bundle that all of them get.

    Args:
        work_dir: The pipeline's folder, with `out/metainfo.json`; bundle and plan are made in it.
        corpus_dir: Folder of the corpus.
        remote_dir: Our folder on every host, absolute; new, empty, or of an earlier deployment.
        dataset: Name of the samples' folder there, below `samples/`.
        data_steps: Training batches to make, all hosts together.
        hosts: Hosts as `[user@]name[:port]`; `this-machine` is this one. None: tasks of the workflow make samples.
        config_file: Settings (TOML); the defaults when empty.
        overrides: Settings to replace, each as section.key=value.
        samples_per_file: Training batches in a sample file, and in a range of steps.
        data_dir: Our folder that the files are brought to; those in it are not made again.
        server: Base URL of a graph data server that this machine asks when it is a host; empty: a private one.
        remote_python: Interpreter on the hosts that has all libraries. Empty: an environment is made there.
        num_workers: Processes on each host that make samples; 0: one per core.
        max_bytes: Bytes of finished files on a host at which it pauses until they are fetched.
        min_free_bytes: Room that a host must have beyond what is copied there.
        ssh_key: Private key to log in with. Empty: as the ssh configuration says.
        ssh_known_hosts: File with the keys of the hosts. Empty: as the ssh configuration says.
        ssh_config: Configuration of ssh. Empty: the user's own.
    """
    from fastnode_ops.datagen.work import Limits, finished_names, plan_work
    from fastnode_ops.remote.hosts import parse_hosts

    place = place_of(remote_dir, dataset, remote_python, ssh_key, ssh_known_hosts, ssh_config)
    folder = PipelineDir(Path(work_dir))
    work = plan_work(
        folder,
        Path(corpus_dir),
        settings_of(config_file, overrides),
        data_steps=data_steps,
        samples_per_file=samples_per_file,
        finished=finished_names(Path(data_dir) if data_dir else None, ""),
        limits=Limits(num_workers, max_bytes, min_free_bytes),
    )
    parsed = parse_hosts(hosts) if hosts else []
    return _planned(folder, parsed, place, work, [f"--server={server}"] if server else [])


def deploy_to_host(*, work_dir: str, host: str) -> Result:
    """Copy the generator to one host of the plan and start its share there; what it has made already stays.

    Args:
        work_dir: The pipeline's folder, in which the generation was planned.
        host: The host, as in the plan.
    """
    from fastnode_ops.datagen.deploy import deploy_to
    from fastnode_ops.datagen.plan_file import mark_started, read_plan, unmark
    from fastnode_ops.datagen.ranges import format_ranges

    folder = PipelineDir(Path(work_dir))
    plan = read_plan(folder)
    chosen, numbers = plan.share_of(host)
    unmark(folder, chosen)  # the task may be done again because the host has died
    left = deploy_to(chosen, plan.place, plan.work, numbers)
    mark_started(folder, chosen, numbers)
    return {"host": host, "num_ranges": len(numbers), "num_left": len(left), "ranges": format_ranges(left)}


def take_over_datagen(*, work_dir: str) -> Result:
    """Share out among the others what hosts of the plan were to make that could not be started.

    Args:
        work_dir: The pipeline's folder, in which the generation was planned.
    """
    from fastnode_ops.datagen.deploy import deploy
    from fastnode_ops.datagen.plan_file import mark_started, not_started, read_plan

    folder = PipelineDir(Path(work_dir))
    plan = read_plan(folder)
    missing = not_started(folder, plan)
    if not missing:
        return {"num_hosts": len(plan.shares), "num_failed": 0, "num_taken_over": 0, "failed": []}
    done = deploy(list(plan.shares), plan.place, plan.work)
    if not done.started and not done.idle:
        raise _nobody(done)
    for host, numbers in done.started.items():
        mark_started(folder, host, numbers)
    lost = {number for host in missing if host in done.failed for number in plan.shares[host]}
    return {
        "num_hosts": len(done.started) + len(done.idle),
        "num_failed": len(done.failed),
        "num_taken_over": len(lost),
        "failed": [str(host) for host in done.failed],
    }


def end_datagen(*, work_dir: str, keep_samples: bool = False) -> Result:
    """Stop the generation on the hosts of the plan; when the model is trained, delete its samples there and in shares.

    Args:
        work_dir: The pipeline's folder, in which the generation was planned.
        keep_samples: Leave the samples where they are, trained or not.
    """
    from fastnode_ops.datagen.plan_file import read_plan

    folder = PipelineDir(Path(work_dir))
    plan = read_plan(folder)
    cleans = folder.frozen_model.is_file() and not keep_samples
    done = stop_on_all(list(plan.shares), plan.place, "clean" if cleans else "stop", plan.place.dataset)
    if cleans:
        shutil.rmtree(folder.shares, ignore_errors=True)
    return {**done, "is_cleaned": cleans}


def _planned(folder: PipelineDir, hosts: list[Host], place: Place, work: Work, command_here: list[str]) -> Result:
    from dataclasses import replace

    from fastnode_ops.datagen.plan_file import make_plan, write_plan
    from fastnode_ops.datagen.ranges import format_ranges

    plan = make_plan(hosts, place, replace(work, command_here=command_here))
    write_plan(folder, plan)
    return {
        "hosts": [str(host) for host in plan.shares],
        "shares": [f"{host}: {format_ranges(numbers) or '-'}" for host, numbers in plan.shares.items()],
        "num_ranges": len(work.ranges),
        "num_finished": len(work.finished),
        "bundle_bytes": work.bundle.num_bytes,
    }


def _nobody(done: Deployment) -> ServiceError:
    lines = "\n".join(f"  {error.message}" for error in done.failed.values())
    hint = next((error.hint for error in done.failed.values()), "")
    return ServiceError(f"none of the {len(done.failed)} hosts can generate:\n{lines}", hint)
