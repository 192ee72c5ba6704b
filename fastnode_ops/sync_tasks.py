"""The syncer of the distributed workflow, part of `tasks.py`: as a command, or on its own for the time of a run.

A run's syncer works beside the tasks that ask it; `tmp/syncer.json` of the pipeline's folder says which process it is.
"""

from __future__ import annotations

import logging
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fastnode_ops.pipeline_dir import PipelineDir
from ops_common.artifacts import make_folder

if TYPE_CHECKING:
    from ops_common.own_server import OwnServer

LOG = logging.getLogger(__name__)

Result = dict[str, str | int | float | bool]


def sync(
    *,
    hosts: list[str],
    local_dir: str,
    remote_dir: str = "",
    port: int = 3087,
    listen: str = "127.0.0.1",
    metainfo_file: str = "",
    max_local_bytes: float = 20e9,
    delete_remote: bool = False,
    ssh_key: str = "",
    ssh_known_hosts: str = "",
    ssh_config: str = "",
    poll_seconds: float = 5.0,
    max_wait_seconds: float = 60.0,
    ready_file: str = "",
) -> Result:
    """Bring finished sample files from hosts into a folder until it is interrupted; says over HTTP which are there.

    Args:
        hosts: Where the files are: [user@]name[:port], or with a slash in it a folder of this machine. Several in one
            value have spaces or commas between them.
        local_dir: Where they go.
        remote_dir: Absolute path of the folder with the files on the hosts.
        port: Port to listen on; 0: a free one.
        listen: Address to listen on; there is no password.
        metainfo_file: The metainfo that all files must be made from; empty: any.
        max_local_bytes: What the files may take here; copying stops there and goes on below 80 %.
        delete_remote: Whether files that were used are deleted on the hosts; then there is no other epoch.
        ssh_key: Private key for the hosts; empty: as ssh is configured.
        ssh_known_hosts: File with the keys of the hosts; empty: the user's.
        ssh_config: Configuration of ssh in the place of the user's.
        poll_seconds: Time between two looks at a host that has nothing new.
        max_wait_seconds: The longest time until a host is tried again that did not answer.
        ready_file: Where to write the URL as soon as it answers.
    """
    from fastnode_ops.remote.ssh import SshOptions, shared_connections
    from fastnode_ops.sync.copying import Pace
    from fastnode_ops.sync.program import SyncSettings, digest_of_metainfo, open_transports, run_sync

    digest = digest_of_metainfo(Path(metainfo_file)) if metainfo_file else ""
    pace = Pace(poll_seconds, max_wait_seconds)
    with shared_connections(SshOptions(_path(ssh_key), _path(ssh_known_hosts), _path(ssh_config))) as options:
        transports = open_transports(hosts, remote_dir, options)
        settings = SyncSettings(transports, Path(local_dir), int(max_local_bytes), delete_remote, digest, pace)
        state = run_sync(settings, host=listen, port=port, ready_file=_path(ready_file))
    names = ("epoch", "num_ready", "num_used", "num_verified", "num_batches_verified", "local_bytes", "num_duplicates")
    return {**{name: state[name] for name in names}, "num_refused": sum(state["refused"].values())}


def start_syncer(
    *,
    work_dir: str,
    hosts: list[str],
    data_dir: str,
    remote_dir: str = "",
    address: str = "127.0.0.1",
    max_local_bytes: float = 20e9,
    delete_remote: bool = False,
    ssh_key: str = "",
    ssh_known_hosts: str = "",
    ssh_config: str = "",
) -> Result:
    """Start the syncer of a run, and wait until it answers.

    Args:
        work_dir: The pipeline's folder, with `out/metainfo.json`, which all files must be made from.
        hosts: Where the files are, as `sync` takes them.
        data_dir: Where they go.
        remote_dir: Absolute path of the folder with the files on the hosts.
        address: Where the training reaches it, and it listens; there is no password.
        max_local_bytes: What the files may take here.
        delete_remote: Whether files that were used are deleted on the hosts; then there is no other epoch.
        ssh_key: Private key for the hosts; empty: as ssh is configured.
        ssh_known_hosts: File with the keys of the hosts; empty: the user's.
        ssh_config: Configuration of ssh in the place of the user's.
    """
    for host in hosts:
        if Path(host).is_relative_to(PipelineDir(Path(work_dir)).shares):
            make_folder(Path(host))  # empty until its task has made the first file, but not missing
    wanted: dict[str, Any] = {
        "metainfo_file": str(PipelineDir(Path(work_dir).absolute()).metainfo),
        "local_dir": str(Path(data_dir).absolute()),
        "remote_dir": remote_dir,
        "hosts": list(hosts),
        "listen": address,
        "max_local_bytes": max_local_bytes,
        "ssh_key": ssh_key,
        "ssh_known_hosts": ssh_known_hosts,
        "ssh_config": ssh_config,
    }
    own = _own_syncer(work_dir)
    state = own.running({**wanted, "delete_remote": delete_remote})
    if state:
        LOG.info("the syncer of this run answers already")
    else:
        own.stop()  # one that was started for something else, or does not answer
        words = [*wanted.items(), ("port", 0), ("ready_file", own.ready_path)]
        options = [
            f"--{name.replace('_', '-')}={one}"
            for name, value in words
            for one in (value if isinstance(value, list) else [value])
        ]
        switch = "--delete-remote" if delete_remote else "--no-delete-remote"
        state = own.start(
            [sys.executable, "-m", "fastnode_ops", "sync", *options, switch], {**wanted, "delete_remote": delete_remote}
        )
    return {"url": state["url"], "process_id": state["process_id"], "data_dir": wanted["local_dir"]}


def stop_syncer(*, work_dir: str) -> Result:
    """Stop the syncer that was started for a run, if it is running; what it brought stays.

    Args:
        work_dir: The pipeline's folder.
    """
    return {"was_running": _own_syncer(work_dir).stop()}


def _own_syncer(work_dir: str) -> OwnServer:
    from ops_common.own_server import OwnServer

    return OwnServer(PipelineDir(Path(work_dir).absolute()).tmp / "syncer.json", f"the syncer of {work_dir}")


def _path(text: str) -> Path | None:
    return Path(text) if text else None
