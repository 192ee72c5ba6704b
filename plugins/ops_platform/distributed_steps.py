"""The steps between metainfo and training of a distributed run: samples are made elsewhere, and brought here.

plan_datagen >> each_host >> deploy_to_host (one for each host) >> take_over_datagen >> ... >> end_datagen in any case
             >> each_share >> generate_samples (one for each share; in the place of hosts)
start_syncer >> await_samples >> (the training) >> stop_syncer in any case
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from airflow.sdk import chain

from fastnode_ops.datagen_run_tasks import deploy_to_host, end_datagen, plan_datagen, take_over_datagen
from fastnode_ops.datagen_tasks import generate_samples
from fastnode_ops.sync_tasks import start_syncer, stop_syncer
from ops_platform import settings
from ops_platform.expression_steps import SERVER_LIMIT
from ops_platform.item_task import each_of, item_tasks
from ops_platform.op_task import Task, op_task, result_of
from ops_platform.sync_sensor import SyncSensor

HOST_RETRIES = 1
"""A host that fails twice is left to the others: they take its share over, and the run goes on."""

SENSOR_RETRIES = 3
_SENSOR_RETRY_DELAY = timedelta(seconds=10)
_END_LIMIT = timedelta(hours=1)
_SSH = ("ssh_key", "ssh_known_hosts", "ssh_config")


@dataclass(frozen=True)
class Samples:
    """How samples come.

    Args:
        arrived: The one after which the training may begin.
        syncer: The syncer's URL, as XCom.
        stop_syncer: The task that stops it whatever happens.
        end: The task that stops the hosts whatever happens.
    """

    arrived: SyncSensor
    syncer: Any
    stop_syncer: Task
    end: Task


def sample_steps(request: Any, server: Any, described: Task) -> Samples:
    """Have samples made by hosts, or by tasks of their own, and brought here.

    Args:
        request: The plan, as XCom.
        server: The graph data server's URL, as XCom; only this machine asks it, when it is one of the hosts.
        described: The task that makes the metainfo.
    """
    run_dir, work_dir = request["run_dir"], request["work_dir"]
    planned = _plan_step(request, server)
    each = each_of.override(task_id="each_host")(result_of(planned)["hosts"])
    deployed = item_tasks(
        deploy_to_host, item="host", items=each, run_dir=run_dir, retries=HOST_RETRIES, work_dir=work_dir
    )
    shared = each_of.override(task_id="each_share")(request["shares"])
    generated = _share_step(request, described, shared)
    taken_over = op_task(take_over_datagen, run_dir=run_dir, work_dir=work_dir, trigger_rule="all_done")
    ended = op_task(
        end_datagen,
        run_dir=run_dir,
        work_dir=work_dir,
        keep_samples=request["keep_samples"],
        execution_timeout=_END_LIMIT,
    )
    ended.as_teardown(setups=planned)
    syncing = _syncer_step(request)
    stopped = op_task(stop_syncer, run_dir=run_dir, work_dir=work_dir, execution_timeout=SERVER_LIMIT)
    stopped.as_teardown(setups=syncing)
    syncer = result_of(syncing)["url"]
    arrived = SyncSensor(
        task_id="await_samples",
        doc_md=SyncSensor.__doc__,
        syncer=syncer,
        num_files=request["min_files"],
        hours=request["first_files_hours"],
        retries=max(settings.load().retries, SENSOR_RETRIES),
        retry_delay=_SENSOR_RETRY_DELAY,
    )
    chain(described, planned, each, deployed, taken_over, syncing, arrived)
    chain(planned, shared, generated, ended)
    return Samples(arrived, syncer, stopped, ended)


def _plan_step(request: Any, server: Any) -> Task:
    """The shares of the hosts, and the bundle that all of them get."""
    return op_task(
        plan_datagen,
        run_dir=request["run_dir"],
        work_dir=request["work_dir"],
        corpus_dir=request["corpus_dir"],
        hosts=request["hosts"],
        remote_dir=request["remote_dir"],
        dataset=request["dataset"],
        data_steps=request["data_steps"],
        config_file=request["config_file"],
        overrides=request["overrides"],
        samples_per_file=request["samples_per_file"],
        data_dir=request["data_dir"],
        server=server,
        remote_python=request["remote_python"],
        num_workers=request["host_workers"],
        max_bytes=request["max_host_bytes"],
        min_free_bytes=request["min_free_bytes"],
        **{name: request[name] for name in _SSH},
    )


def _share_step(request: Any, described: Task, shares: Any) -> Any:
    """The shares of the samples, where tasks of the workflow make them; none where hosts do."""
    return item_tasks(
        generate_samples,
        item="share",
        items=shares,
        run_dir=request["share_dir"],
        pod=request["sample_pod"],
        metainfo_file=result_of(described)["metainfo"],
        corpus_dir=request["corpus_dir"],
        out_dir=request["share_samples"],
        data_steps=request["data_steps"],
        samples_per_file=request["samples_per_file"],
        num_workers=request["host_workers"],
        max_bytes=request["max_host_bytes"],
        patience_seconds=request["patience_seconds"],
        config_file=request["config_file"],
        overrides=request["overrides"],
    )


def _syncer_step(request: Any) -> Task:
    """The syncer of the run."""
    return op_task(
        start_syncer,
        run_dir=request["run_dir"],
        work_dir=request["work_dir"],
        hosts=request["synced_hosts"],
        data_dir=request["data_dir"],
        remote_dir=request["samples_dir"],
        address=request["syncer_address"],
        max_local_bytes=request["max_local_bytes"],
        delete_remote=request["delete_remote"],
        execution_timeout=SERVER_LIMIT,
        **{name: request[name] for name in _SSH},
    )
